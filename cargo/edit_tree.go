// What an edit may find in a file's values, and what it must leave there.

package cargo

import (
	"math"
	"reflect"
	"slices"
)

// checkTypes refuses values of a type that cargo refuses, and another index. line finds where a
// path of keys is first written.
func (s setting) checkTypes(tree map[string]any, line func(path []string) int) error {
	registry := []string{"registries", s.name}
	for _, path := range [][]string{registry[:1], registry} {
		value := lookup(tree, path...)
		if _, table := value.(map[string]any); value != nil && !table {
			return s.refuse(line(path), keyText(path)+" is not a table")
		}
	}
	provider := append(registry[:2:2], "credential-provider")
	switch lookup(tree, provider...).(type) {
	case nil, string, []any:
	default:
		return s.refuse(line(provider), keyText(provider)+" is neither a string nor a list")
	}
	index := append(registry[:2:2], "index")
	have := lookup(tree, index...)
	text, isText := have.(string)
	switch {
	case have == nil || isText && (s.index == "" || sameIndex(text, s.index)):
		return nil
	case !isText:
		return s.refuse(line(index), keyText(index)+" is not a string")
	}
	return &IndexConflictError{Line: line(index), Name: s.name, Have: showIndex(text), Want: s.index}
}

// applied is the tree that the edited text must decode to.
func (s setting) applied(tree map[string]any) map[string]any {
	words := make([]any, len(s.provider))
	for i, word := range s.provider {
		words[i] = word
	}
	child := func(parent map[string]any, key string) map[string]any {
		table, _ := parent[key].(map[string]any)
		copied := make(map[string]any, len(table)+1)
		for k, v := range table {
			copied[k] = v
		}
		parent[key] = copied
		return copied
	}
	root := map[string]any{"": tree}
	root = child(root, "")
	_, known := lookup(root, "registries", s.name).(map[string]any)
	registry := child(child(root, "registries"), s.name)
	registry["credential-provider"] = words
	if !known && s.index != "" {
		registry["index"] = s.index
	}
	return root
}

// sameTree compares decoded TOML; unlike in Go, nan equals itself.
func sameTree(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		other, ok := b.(map[string]any)
		if !ok || len(a) != len(other) {
			return false
		}
		for key, value := range a {
			if with, found := other[key]; !found || !sameTree(value, with) {
				return false
			}
		}
		return true
	case []any:
		other, ok := b.([]any)
		return ok && slices.EqualFunc(a, other, sameTree)
	case float64:
		other, ok := b.(float64)
		return ok && (a == other || math.IsNaN(a) && math.IsNaN(other))
	}
	return reflect.DeepEqual(a, b)
}

func equalWords(have []any, want []string) bool {
	return slices.EqualFunc(have, want, func(a any, b string) bool { return a == any(b) })
}
