// Whether the metadata that cargo sent says the same as the Cargo.toml inside the crate.

package crate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// agrees compares by meaning: the order of dependencies, of features and of a feature's values
// does not count, nor does a value's repetition. Requirements and targets are in normal form on
// both sides already. In the metadata an absent registry means the one published to.
func (m *Metadata) agrees(e *Entry, origin Origin) error {
	texts := []struct{ field, sent, packed string }{
		{"name", m.Name, e.Name},
		{"vers", m.Version, e.Version},
		{"links", m.Links, e.Links},
		{"rust_version", m.RustVersion, e.RustVersion},
	}
	for _, t := range texts {
		if t.sent != t.packed {
			return disagree(t.field, "it is %s in the metadata and %s in the crate", quote(t.sent), quote(t.packed))
		}
	}
	if err := agreeOnFeatures(m.Features, e.Features); err != nil {
		return err
	}
	return agreeOnDependencies(m.Dependencies, e.Dependencies, origin)
}

func agreeOnFeatures(sent, packed map[string][]string) error {
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		values, ok := packed[name]
		switch {
		case !ok:
			return disagree("features", "%s is in the metadata only", quote(name))
		case !sameSet(values, sent[name]):
			return disagree("features", "%s enables %s in the metadata and %s in the crate", quote(name), quoteAll(sent[name]), quoteAll(values))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(packed)) {
		if _, ok := sent[name]; !ok {
			return disagree("features", "%s is in the crate only", quote(name))
		}
	}
	return nil
}

func agreeOnDependencies(sent, packed []Dependency, origin Origin) error {
	sent, packed = sortedForComparison(sent), sortedForComparison(packed)
	for i := range sent {
		sent[i].Registry = origin.registry(sent[i].Registry)
	}
	for i := range min(len(sent), len(packed)) {
		switch order := compareDependencies(sent[i], packed[i]); {
		case order < 0:
			return disagree("deps", "%s is in the metadata only", describe(sent[i]))
		case order > 0:
			return disagree("deps", "%s is in the crate only", describe(packed[i]))
		}
		if err := agreeOnDependency(sent[i], packed[i]); err != nil {
			return err
		}
	}
	switch {
	case len(sent) > len(packed):
		return disagree("deps", "%s is in the metadata only", describe(sent[len(packed)]))
	case len(packed) > len(sent):
		return disagree("deps", "%s is in the crate only", describe(packed[len(sent)]))
	}
	return nil
}

// sortedForComparison sorts a copy. One target spelled in two ways gives two dependencies of the
// same kind and name, so the rest has a say in the order.
func sortedForComparison(dependencies []Dependency) []Dependency {
	sorted := slices.Clone(dependencies)
	slices.SortFunc(sorted, func(a, b Dependency) int {
		return cmp.Or(compareDependencies(a, b), cmp.Compare(a.Package, b.Package), cmp.Compare(a.Requirement, b.Requirement),
			slices.Compare(set(a.Features), set(b.Features)), cmp.Compare(fmt.Sprint(a.Optional, a.DefaultFeatures), fmt.Sprint(b.Optional, b.DefaultFeatures)))
	})
	return sorted
}

// agreeOnDependency compares two of the same target, kind and name.
func agreeOnDependency(sent, packed Dependency) error {
	differences := []struct {
		field        string
		sent, packed string
	}{
		{"name", packageOf(sent), packageOf(packed)},
		{"version_req", sent.Requirement, packed.Requirement},
		{"registry", registryName(sent), registryName(packed)},
		{"optional", fmt.Sprint(sent.Optional), fmt.Sprint(packed.Optional)},
		{"default_features", fmt.Sprint(sent.DefaultFeatures), fmt.Sprint(packed.DefaultFeatures)},
	}
	for _, d := range differences {
		if d.sent != d.packed {
			return disagree("deps", "%s has the %s %s in the metadata and %s in the crate", describe(sent), d.field, quote(d.sent), quote(d.packed))
		}
	}
	if !sameSet(sent.Features, packed.Features) {
		return disagree("deps", "%s has the features %s in the metadata and %s in the crate", describe(sent), quoteAll(sent.Features), quoteAll(packed.Features))
	}
	return nil
}

// packageOf returns a dependency's name in its registry.
func packageOf(d Dependency) string { return cmp.Or(d.Package, d.Name) }

func registryName(d Dependency) string { return cmp.Or(d.Registry, "this registry") }

// describe names a dependency for an error.
func describe(d Dependency) string {
	text := fmt.Sprintf("the %s dependency %s", d.Kind, quote(d.Name))
	if d.Target != "" {
		text += " for " + quote(d.Target)
	}
	return text
}

func set(values []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(values)))
}

func sameSet(a, b []string) bool { return slices.Equal(set(a), set(b)) }

func quoteAll(values []string) string { return quote(fmt.Sprint(values)) }

func disagree(field, format string, args ...any) error {
	return refuse(MetadataDisagrees, "the publish metadata's %q disagrees with the Cargo.toml inside the crate: %s; publish with cargo, which makes both from one file",
		field, fmt.Sprintf(format, args...))
}
