// The Cargo.toml inside a crate, as cargo normalizes it: the source of the index line.

package crate

import (
	"errors"
	"strconv"
	"strings"
	"unicode"

	"github.com/pelletier/go-toml/v2"
)

// A Manifest is what a registry needs of a crate's normalized Cargo.toml.
type Manifest struct {
	Name         string
	Version      string
	Dependencies []Dependency // sorted by target, kind and name; Registry as the file has it, "" meaning crates.io
	Features     map[string][]string
	Links        string
	RustVersion  string

	// For search and pages only; the index has none of them.
	Description   string
	License       string
	Homepage      string
	Documentation string
	Repository    string
	Keywords      []string
	Categories    []string
}

const (
	// maxDependencies bounds one line of the index, which every user of the crate fetches.
	// crates.io allows 500.
	maxDependencies = 1000
	// maxFeatures leaves room for generated bindings with a feature for each of 1,000 and more types.
	maxFeatures = 5000
	// maxMarks bounds the time that the TOML library takes, which grows with the square of the keys
	// in one table: a manifest of 1 MiB could else take minutes. It leaves room for all the above
	// at once.
	maxMarks = 25_000
)

// oldSpellings are what cargo reads as the hyphenated or newer name, but never writes. If one were
// ignored, the index would say less than cargo later reads in the crate.
var oldSpellings = []string{"project", "dev_dependencies", "build_dependencies"}

// ParseManifest reads the Cargo.toml inside a crate. It demands what cargo's own packaging
// guarantees: nothing inherited from a workspace, every dependency with a version and from a
// registry (a path, git or artifact dependency is refused, as is a registry by name alone), no old
// spellings of keys; and at most 1,000 dependencies and 5,000 features. Keys that a registry has no
// use for are passed over, of any type. The error is an [*Error] with code [ManifestInvalid],
// [NameInvalid] or [VersionInvalid].
func ParseManifest(text []byte) (*Manifest, error) {
	if marks(text) > maxMarks {
		return nil, refuse(ManifestInvalid, "the Cargo.toml inside the crate has more tables and keys than this registry reads: split the crate")
	}
	// Into a map, not a struct: the library matches struct fields in any case, cargo does not.
	var document map[string]any
	if err := toml.Unmarshal(text, &document); err != nil {
		return nil, refuse(ManifestInvalid, "the Cargo.toml inside the crate is not valid TOML%s: package it with cargo", position(err))
	}
	root := table{values: document}
	for _, key := range oldSpellings {
		if root.has(key) {
			return nil, root.refuse(key, "is a spelling that cargo publish never writes")
		}
	}
	m := &Manifest{}
	if err := m.readPackage(&root); err != nil {
		return nil, err
	}
	if err := m.readFeatures(&root); err != nil {
		return nil, err
	}
	if err := m.readDependencies(&root); err != nil {
		return nil, err
	}
	return m, nil
}

// marks counts the bytes that every key, table or part of a dotted key has one of.
func marks(text []byte) int {
	n := 0
	for _, b := range text {
		if b == '=' || b == '[' || b == '.' {
			n++
		}
	}
	return n
}

// position says where the TOML is wrong, without repeating its text.
func position(err error) string {
	var decode *toml.DecodeError
	if !errors.As(err, &decode) {
		return ""
	}
	row, column := decode.Position()
	return " at line " + strconv.Itoa(row) + ", column " + strconv.Itoa(column)
}

func (m *Manifest) readPackage(root *table) error {
	p := root.table("package")
	m.Name, m.Version = p.text("name"), p.text("version")
	m.Links, m.RustVersion = p.text("links"), p.text("rust-version")
	m.Description, m.License = p.text("description"), p.text("license")
	m.Homepage, m.Documentation, m.Repository = p.text("homepage"), p.text("documentation"), p.text("repository")
	m.Keywords, m.Categories = p.texts("keywords"), p.texts("categories")
	for _, err := range []error{root.err, p.err} {
		if err != nil {
			return err
		}
	}
	if err := CheckName(m.Name); err != nil {
		return err
	}
	if err := CheckVersion(m.Version); err != nil {
		return err
	}
	if p.has("links") && strings.TrimSpace(m.Links) == "" {
		return p.refuse("links", "is empty")
	}
	if p.has("rust-version") && !isRustVersion(m.RustVersion) {
		return p.refuse("rust-version", "is not a version of one to three numbers")
	}
	return nil
}

// isRustVersion accepts "1", "1.70" and "1.70.0", and no pre-release or build.
func isRustVersion(text string) bool {
	numbers := strings.Split(text, ".")
	for _, n := range numbers {
		if !isNumber(n) {
			return false
		}
	}
	return len(numbers) <= 3
}

func (m *Manifest) readFeatures(root *table) error {
	features := root.table("features")
	if len(features.values) > maxFeatures {
		return root.refuse("features", "has more features than a crate may have, "+strconv.Itoa(maxFeatures))
	}
	m.Features = make(map[string][]string, len(features.values))
	for _, name := range features.keys() {
		if !isFeatureName(name) {
			return features.refuse(name, "is not a name that a feature can have")
		}
		values := features.texts(name)
		for _, v := range values {
			if !isFeatureValue(v) {
				return features.refuse(name, "enables something that is neither a feature nor a dependency's")
			}
		}
		m.Features[name] = values
	}
	if root.err != nil {
		return root.err
	}
	return features.err
}

// isFeatureName follows cargo: letters, digits and "_", then also "-", "+" and ".".
func isFeatureName(name string) bool {
	for i, r := range name {
		inside := unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || r == '_'
		if !inside && (i == 0 || r != '-' && r != '+' && r != '.') {
			return false
		}
	}
	return name != ""
}

// isFeatureValue accepts "feature", "dep:name", "name/feature" and "name?/feature".
func isFeatureValue(text string) bool {
	if name, ok := strings.CutPrefix(text, "dep:"); ok {
		return checkDependencyName(name)
	}
	name, feature, ofDependency := strings.Cut(text, "/")
	if !ofDependency {
		return isFeatureName(text)
	}
	return checkDependencyName(strings.TrimSuffix(name, "?")) && isFeatureName(feature)
}
