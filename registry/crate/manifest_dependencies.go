// The dependency tables of a crate's Cargo.toml.

package crate

import (
	"cmp"
	"slices"
)

// dependencyTables are the names that cargo writes, at the root and below each target.
var dependencyTables = []struct {
	key  string
	kind Kind
}{
	{"dependencies", Normal},
	{"dev-dependencies", Dev},
	{"build-dependencies", Build},
}

// notNormalized are the keys of a dependency that packaging resolves or refuses; a crate that
// has one was not made by cargo publish, or uses what no stable cargo publishes.
var notNormalized = []string{
	"path", "base", "git", "branch", "tag", "rev", "workspace", "registry",
	"artifact", "lib", "default_features",
}

func (m *Manifest) readDependencies(root *table) error {
	if err := m.readTables(root, ""); err != nil {
		return err
	}
	targets := root.table("target")
	for _, name := range targets.keys() {
		target, err := normalTarget(name)
		if err != nil || name == "" {
			return targets.refuse(name, "is not a target that cargo can read")
		}
		one := targets.table(name)
		for _, old := range oldSpellings {
			if one.has(old) {
				return one.refuse(old, "is a spelling that cargo publish never writes")
			}
		}
		if err := m.readTables(one, target); err != nil {
			return err
		}
	}
	for _, err := range []error{root.err, targets.err} {
		if err != nil {
			return err
		}
	}
	if len(m.Dependencies) > maxDependencies {
		return refuse(ManifestInvalid, "the crate has %d dependencies, and the limit is %d: split it into several", len(m.Dependencies), maxDependencies)
	}
	slices.SortStableFunc(m.Dependencies, compareDependencies)
	return nil
}

// compareDependencies orders by what identifies a dependency within a crate.
func compareDependencies(a, b Dependency) int {
	return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

// readTables reads the three kinds below root, or below one target.
func (m *Manifest) readTables(parent *table, target string) error {
	for _, t := range dependencyTables {
		dependencies := parent.table(t.key)
		for _, name := range dependencies.keys() {
			d, err := readDependency(dependencies, name)
			if err != nil {
				return err
			}
			d.Kind, d.Target = t.kind, target
			if d.Optional && d.Kind == Dev {
				return dependencies.refuse(name, "is optional, which a dev-dependency cannot be")
			}
			m.Dependencies = append(m.Dependencies, d)
		}
	}
	return parent.err
}

// readDependency reads name = "1" or name = { version = "1", … }.
func readDependency(parent *table, name string) (Dependency, error) {
	d := Dependency{Name: name, DefaultFeatures: true, Features: []string{}}
	if !checkDependencyName(name) {
		return d, parent.refuse(name, "is not a name that a dependency can have")
	}
	requirement, short := parent.values[name].(string)
	if !short {
		t := parent.table(name)
		for _, key := range notNormalized {
			if t.has(key) {
				return d, t.refuse(key, "does not occur in what cargo publish packages on stable Rust")
			}
		}
		requirement = t.text("version")
		d.Package, d.Registry = t.text("package"), t.text("registry-index")
		d.Optional = t.boolean("optional", false)
		d.DefaultFeatures = t.boolean("default-features", true)
		d.Features = append(d.Features, t.texts("features")...)
		for _, err := range []error{parent.err, t.err} {
			if err != nil {
				return d, err
			}
		}
		if t.has("registry-index") && d.Registry == "" {
			return d, t.refuse("registry-index", "is empty")
		}
		if t.has("package") && !checkDependencyName(d.Package) {
			return d, t.refuse("package", "is not a name that a package can have")
		}
	}
	if d.Package == d.Name {
		d.Package = ""
	}
	for _, feature := range d.Features {
		if !isFeatureValue(feature) {
			return d, parent.refuse(name, "asks for something that is not a feature")
		}
	}
	var err error
	if d.Requirement, err = normalRequirement(requirement); err != nil {
		return d, parent.refuse(name, "has no version requirement that cargo can read: "+err.Error())
	}
	return d, nil
}
