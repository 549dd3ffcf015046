// The index: where a crate's file is, what one line of it says, and its ETag.

package crate

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
)

// CratesIO is how the index names crates.io as the home of a dependency.
const CratesIO = "https://github.com/rust-lang/crates.io-index"

// A Kind says for what a dependency is needed, in the words of the index.
type Kind string

// The kinds.
const (
	Normal Kind = "normal"
	Dev    Kind = "dev"
	Build  Kind = "build"
)

// A Dependency is one dependency as the index has it (The Cargo Book, "Index Format").
type Dependency struct {
	Name            string   // the name in the dependent's Cargo.toml
	Requirement     string   // in the form that cargo prints: "^1.2", ">=1, <2"
	Features        []string // asked of the dependency
	Optional        bool
	DefaultFeatures bool
	Target          string // "" for every target, else a triple or a "cfg(…)" in the form that cargo prints
	Kind            Kind
	Registry        string // "" for the registry that this index is, else an index URL
	Package         string // "" unless renamed, else the name in its registry
}

// An Entry is one version of a crate as the index has it. The index keeps features of one kind;
// [Entry.Line] sorts them into "features" and "features2".
type Entry struct {
	Name         string
	Version      string
	Dependencies []Dependency
	Checksum     string // SHA-256 of the .crate file, 64 lower-case hexadecimal digits
	Features     map[string][]string
	Yanked       bool
	Links        string // "" if the crate links to no native library
	RustVersion  string // "" if the crate names none
}

// wireDependency is a dependency of the index, member by member in the order written.
type wireDependency struct {
	Name            string   `json:"name"`
	Requirement     string   `json:"req"`
	Features        []string `json:"features"`
	Optional        bool     `json:"optional"`
	DefaultFeatures bool     `json:"default_features"`
	Target          *string  `json:"target"`
	Kind            Kind     `json:"kind"`
	Registry        *string  `json:"registry"`
	Package         *string  `json:"package"`
}

// wireEntry is a line of the index, member by member in the order written.
type wireEntry struct {
	Name         string              `json:"name"`
	Version      string              `json:"vers"`
	Dependencies []wireDependency    `json:"deps"`
	Checksum     string              `json:"cksum"`
	Features     map[string][]string `json:"features"`
	Yanked       bool                `json:"yanked"`
	Links        *string             `json:"links"`
	Schema       int                 `json:"v"`
	Features2    map[string][]string `json:"features2,omitempty"`
	RustVersion  string              `json:"rust_version,omitempty"`
}

// IndexPath returns where the index has the file of a crate, relative to its root: "1/a",
// "2/ab", "3/a/abc", "ab/cd/abcdef", in lower case. The name must have passed [CheckName].
func IndexPath(name string) string {
	name = strings.ToLower(name)
	switch len(name) {
	case 0:
		return ""
	case 1, 2:
		return fmt.Sprintf("%d/%s", len(name), name)
	case 3:
		return "3/" + name[:1] + "/" + name
	}
	return name[:2] + "/" + name[2:4] + "/" + name
}

// Line returns the entry as one line of JSON without its line break. The same entry gives the
// same bytes. Features that use "dep:" or "?/" go to "features2" with "v":2, so that a cargo
// from before 1.60 passes over the version instead of failing on it.
func (e *Entry) Line() ([]byte, error) {
	w := wireEntry{
		Name: e.Name, Version: e.Version, Checksum: e.Checksum, Yanked: e.Yanked,
		Links: optional(e.Links), RustVersion: e.RustVersion, Schema: 1,
		Features: map[string][]string{},
	}
	for _, d := range e.Dependencies {
		w.Dependencies = append(w.Dependencies, wireDependency{
			Name: d.Name, Requirement: d.Requirement, Features: d.Features, Optional: d.Optional,
			DefaultFeatures: d.DefaultFeatures, Target: optional(d.Target), Kind: d.Kind,
			Registry: optional(d.Registry), Package: optional(d.Package),
		})
	}
	for name, values := range e.Features {
		if !usesNewSyntax(values) {
			w.Features[name] = values
			continue
		}
		if w.Features2 == nil {
			w.Features2, w.Schema = map[string][]string{}, 2
		}
		w.Features2[name] = values
	}
	line, err := json.Marshal(w, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encoding index line of %s: %w", quote(e.Name), err)
	}
	return line, nil
}

// usesNewSyntax reports whether a feature needs cargo 1.60.
func usesNewSyntax(values []string) bool {
	for _, v := range values {
		if strings.HasPrefix(v, "dep:") || strings.Contains(v, "?/") {
			return true
		}
	}
	return false
}

// ParseEntry reads a line that [Entry.Line] wrote, without its line break; an unknown member is
// an error, since writing the entry again would lose it.
func ParseEntry(line []byte) (*Entry, error) {
	var w wireEntry
	if err := json.Unmarshal(line, &w, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("reading index line: %w", err)
	}
	e := &Entry{
		Name: w.Name, Version: w.Version, Checksum: w.Checksum, Yanked: w.Yanked,
		Links: value(w.Links), RustVersion: w.RustVersion, Features: map[string][]string{},
	}
	for _, d := range w.Dependencies {
		e.Dependencies = append(e.Dependencies, Dependency{
			Name: d.Name, Requirement: d.Requirement, Features: d.Features, Optional: d.Optional,
			DefaultFeatures: d.DefaultFeatures, Target: value(d.Target), Kind: d.Kind,
			Registry: value(d.Registry), Package: value(d.Package),
		})
	}
	for name, values := range w.Features {
		e.Features[name] = values
	}
	for name, values := range w.Features2 {
		if _, twice := e.Features[name]; twice {
			return nil, errors.New("reading index line: a feature stands in both maps")
		}
		e.Features[name] = values
	}
	return e, nil
}

// SetYanked returns a line that [Entry.Line] wrote with its "yanked" set; nothing else changes.
func SetYanked(line []byte, yanked bool) ([]byte, error) {
	e, err := ParseEntry(line)
	if err != nil {
		return nil, err
	}
	e.Yanked = yanked
	return e.Line()
}

// IndexFile assembles a crate's file from its lines, in the order given, each ended by a line feed.
func IndexFile(lines [][]byte) []byte {
	var file bytes.Buffer
	for _, line := range lines {
		file.Write(line)
		file.WriteByte('\n')
	}
	return file.Bytes()
}

// ETag returns a strong entity tag of content, quotes included (RFC 9110, section 8.8.3): equal
// for equal bytes, and by SHA-256 for no others.
func ETag(content []byte) string {
	sum := sha256.Sum256(content)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`
}

// optional turns "" into JSON's null.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func value(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
