// Reading a TOML table by exact keys and with types checked.

package crate

import (
	"maps"
	"slices"
)

// A table reads values of a TOML table. The first value of a wrong type stays in err, and every
// later one reads as zero, so that a caller checks once.
type table struct {
	path   string // for errors: "package.", "" at the root
	values map[string]any
	err    error
}

func (t *table) has(key string) bool {
	_, ok := t.values[key]
	return ok
}

// keys returns the keys in order, so that of several errors it is always the same one that is
// reported.
func (t *table) keys() []string { return slices.Sorted(maps.Keys(t.values)) }

// table returns the table at key, empty if there is none. A wrong type is an error of t.
func (t *table) table(key string) *table {
	child := &table{path: t.path + key + "."}
	child.values, _ = read[map[string]any](t, key, "a table")
	return child
}

func (t *table) text(key string) string {
	text, _ := read[string](t, key, "a string")
	return text
}

func (t *table) boolean(key string, absent bool) bool {
	b, ok := read[bool](t, key, "true or false")
	if !ok {
		return absent
	}
	return b
}

// texts returns an array of strings, never nil.
func (t *table) texts(key string) []string {
	array, _ := read[[]any](t, key, "an array of strings")
	texts := make([]string, 0, len(array))
	for _, v := range array {
		text, ok := v.(string)
		if !ok {
			t.fail(key, "an array of strings")
			break
		}
		texts = append(texts, text)
	}
	return texts
}

// read returns the value at key, and whether it is there with the right type.
func read[T any](t *table, key, kind string) (T, bool) {
	v, there := t.values[key]
	typed, ok := v.(T)
	if there && !ok {
		t.fail(key, kind)
	}
	return typed, ok
}

func (t *table) fail(key, kind string) {
	if t.err == nil {
		t.err = t.refuse(key, "is not "+kind)
	}
}

// refuse says what is wrong with the value at key.
func (t *table) refuse(key, what string) error {
	return refuse(ManifestInvalid, "in the Cargo.toml inside the crate, %s %s; mend that, and publish again with cargo", quote(t.path+key), what)
}
