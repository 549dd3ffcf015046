// The JSON that cargo sends beside a crate, read strictly.

package crate

import (
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Metadata is the JSON part of a publish request, as far as a registry needs it. Nothing of it
// goes to the index: it is only compared with the Cargo.toml inside the crate.
type Metadata struct {
	Name         string
	Version      string
	Dependencies []Dependency // Registry as sent: "" for the registry that is published to
	Features     map[string][]string
	Links        string // "" if null or absent
	RustVersion  string // "" if null or absent
}

// wireMetadata has every member that cargo 1.95 sends, so that each is checked for its type.
type wireMetadata struct {
	Name          string                       `json:"name"`
	Version       string                       `json:"vers"`
	Dependencies  sentDependencies             `json:"deps"`
	Features      map[string][]string          `json:"features"`
	Authors       []string                     `json:"authors"`
	Description   *string                      `json:"description"`
	Documentation *string                      `json:"documentation"`
	Homepage      *string                      `json:"homepage"`
	Readme        *string                      `json:"readme"`
	ReadmeFile    *string                      `json:"readme_file"`
	Keywords      []string                     `json:"keywords"`
	Categories    []string                     `json:"categories"`
	License       *string                      `json:"license"`
	LicenseFile   *string                      `json:"license_file"`
	Repository    *string                      `json:"repository"`
	Badges        map[string]map[string]string `json:"badges"`
	Links         *string                      `json:"links"`
	RustVersion   *string                      `json:"rust_version"`
}

// sentDependency is a dependency in the words of the publish API, which are not the index's.
type sentDependency struct {
	Name               string         `json:"name"` // in its registry, not in the Cargo.toml
	Requirement        string         `json:"version_req"`
	Features           []string       `json:"features"`
	Optional           bool           `json:"optional"`
	DefaultFeatures    *bool          `json:"default_features"`
	Target             *string        `json:"target"`
	Kind               Kind           `json:"kind"`
	Registry           *string        `json:"registry"`
	ExplicitNameInToml *string        `json:"explicit_name_in_toml"`
	Artifact           jsontext.Value `json:"artifact"`
}

// sentDependencies are the first of those sent, one more than a crate may have at most: an empty
// one takes 3 bytes of JSON and 50 times that in memory.
type sentDependencies []sentDependency

// UnmarshalJSONFrom reads an array, or null.
func (s *sentDependencies) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != jsontext.KindBeginArray {
		return json.UnmarshalDecode(d, (*[]sentDependency)(s))
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != jsontext.KindEndArray {
		if len(*s) > maxDependencies {
			if err := d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		var one sentDependency
		if err := json.UnmarshalDecode(d, &one); err != nil {
			return err
		}
		*s = append(*s, one)
	}
	_, err := d.ReadToken()
	return err
}

// ParseMetadata reads the JSON part of a publish request. Member names are case-sensitive;
// duplicate names, invalid UTF-8, another type than cargo sends, and anything after the object
// are refused. Unknown members are passed over, because the publish API demands it and cargo has
// added members over the years; absent members count as null, for the same reason. The error is
// an [*Error] with code [PublishMalformed], [NameInvalid] or [VersionInvalid].
func ParseMetadata(text []byte) (*Metadata, error) {
	var w wireMetadata
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, refuse(PublishMalformed, "the metadata of the publish request is not the JSON that cargo sends: %s; publish with cargo", describeJSON(err))
	}
	if err := CheckName(w.Name); err != nil {
		return nil, err
	}
	if err := CheckVersion(w.Version); err != nil {
		return nil, err
	}
	if len(w.Dependencies) > maxDependencies {
		return nil, refuse(PublishMalformed, "the metadata of the publish request has more than %d dependencies, the limit: split the crate", maxDependencies)
	}
	m := &Metadata{
		Name: w.Name, Version: w.Version, Features: w.Features,
		Links: value(w.Links), RustVersion: value(w.RustVersion),
	}
	for _, sent := range w.Dependencies {
		dependency, err := sent.dependency()
		if err != nil {
			return nil, err
		}
		m.Dependencies = append(m.Dependencies, dependency)
	}
	return m, nil
}

// dependency says the same in the words of the index, with requirement and target in normal form.
func (s *sentDependency) dependency() (Dependency, error) {
	d := Dependency{
		Name: s.Name, Features: s.Features, Optional: s.Optional, Kind: s.Kind,
		DefaultFeatures: s.DefaultFeatures == nil || *s.DefaultFeatures, Registry: value(s.Registry),
	}
	if explicit := value(s.ExplicitNameInToml); explicit != "" && explicit != s.Name {
		d.Name, d.Package = explicit, s.Name
	}
	if len(s.Artifact) > 0 && s.Artifact.Kind() != 'n' {
		return d, refuse(PublishMalformed, "the metadata's dependency %s is an artifact dependency, an unstable feature that this registry does not take: publish without it", quote(d.Name))
	}
	switch d.Kind {
	case Normal, Dev, Build:
	case "":
		d.Kind = Normal
	default:
		return d, refuse(PublishMalformed, "the metadata's dependency %s has the unknown kind %s: publish with cargo, which knows normal, dev and build", quote(d.Name), quote(string(d.Kind)))
	}
	var err error
	if d.Requirement, err = normalRequirement(s.Requirement); err != nil {
		return d, refuse(PublishMalformed, "the metadata's dependency %s has a version requirement that cargo could not read: %v; publish with cargo", quote(d.Name), err)
	}
	if d.Target, err = normalTarget(value(s.Target)); err != nil {
		return d, refuse(PublishMalformed, "the metadata's dependency %s has a target that cargo could not read: %v; publish with cargo", quote(d.Name), err)
	}
	return d, nil
}

// describeJSON says where the JSON is wrong. The place is given and not the text, which may be
// long or hold control characters.
func describeJSON(err error) string {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		return "a value of the wrong type at " + quote(string(semantic.JSONPointer))
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			return "a duplicate member at " + quote(string(syntactic.JSONPointer))
		case syntactic.Err != nil:
			return quote(syntactic.Err.Error()) + " at " + quote(string(syntactic.JSONPointer))
		}
	}
	return "it cannot be read"
}
