// Cargo.toml: what packaging guarantees is demanded, and types are checked.

package crate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseManifest(t *testing.T) {
	m, err := ParseManifest([]byte(demoManifest + `
description = "what it is"
keywords = ["a", "b"]
unknown = { any = 1 }
[dependencies]
short = "1"
same = { version = "2", package = "same" }
[badges.x]
y = 1
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Manifest{
		Name: "demo", Version: "1.0.0", Description: "what it is", Keywords: []string{"a", "b"}, Categories: []string{}, Features: map[string][]string{},
		Dependencies: []Dependency{
			{Name: "same", Requirement: "^2", Features: []string{}, DefaultFeatures: true, Kind: Normal},
			{Name: "short", Requirement: "^1", Features: []string{}, DefaultFeatures: true, Kind: Normal},
		},
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
}

func TestParseManifestRefuses(t *testing.T) {
	tests := []struct {
		name, text string
		code       Code
		says       string
	}{
		{"empty", ``, NameInvalid, ""},
		{"not TOML", "[package\n", ManifestInvalid, "line 1"},
		{"duplicate key", "[package]\nname = \"a\"\nname = \"a\"\n", ManifestInvalid, ""},
		{"not UTF-8", "[package]\nname = \"\xff\"\n", ManifestInvalid, ""},
		{"other case", "[Package]\nname = \"demo\"\nversion = \"1.0.0\"\n", NameInvalid, ""},
		{"package is text", "package = \"x\"\n", ManifestInvalid, `"package" is not a table`},
		{"name of wrong type", "[package]\nname = 1\n", ManifestInvalid, `"package.name" is not a string`},
		{"inherited version", "[package]\nname = \"demo\"\nversion.workspace = true\n", ManifestInvalid, `"package.version"`},
		{"no version", "[package]\nname = \"demo\"\n", VersionInvalid, ""},
		{"project", "[project]\nname = \"demo\"\n", ManifestInvalid, "project"},
		{"empty links", demoManifest + "links = \"\"\n", ManifestInvalid, "links"},
		{"rust-version with pre-release", demoManifest + "rust-version = \"1.70-beta\"\n", ManifestInvalid, "rust-version"},
		{"rust-version of four", demoManifest + "rust-version = \"1.70.0.0\"\n", ManifestInvalid, "rust-version"},
		{"empty rust-version", demoManifest + "rust-version = \"\"\n", ManifestInvalid, "rust-version"},
		{"keywords of wrong type", demoManifest + "keywords = [1]\n", ManifestInvalid, "keywords"},
		{"underscored table", demoManifest + "[build_dependencies]\na = \"1\"\n", ManifestInvalid, "build_dependencies"},
		{"underscored target table", demoManifest + "[target.x.dev_dependencies]\na = \"1\"\n", ManifestInvalid, "dev_dependencies"},
		{"bad target", demoManifest + "[target.'cfg(a'.dependencies]\na = \"1\"\n", ManifestInvalid, "target"},
		{"target of wrong type", demoManifest + "[target]\nx = 1\n", ManifestInvalid, "target.x"},
		{"dependencies of wrong type", demoManifest + "[[dependencies]]\na = \"1\"\n", ManifestInvalid, "dependencies"},
		{"dependency of wrong type", demoManifest + "[dependencies]\na = 1\n", ManifestInvalid, "dependencies.a"},
		{"dependency without version", demoManifest + "[dependencies.a]\noptional = true\n", ManifestInvalid, "dependencies.a"},
		{"bad requirement", demoManifest + "[dependencies]\na = \"one\"\n", ManifestInvalid, "dependencies.a"},
		{"bad dependency name", demoManifest + "[dependencies]\n\"../a\" = \"1\"\n", ManifestInvalid, "name"},
		{"bad package name", demoManifest + "[dependencies.a]\nversion = \"1\"\npackage = \"../a\"\n", ManifestInvalid, "package"},
		{"path", demoManifest + "[dependencies.a]\nversion = \"1\"\npath = \"../a\"\n", ManifestInvalid, "path"},
		{"git", demoManifest + "[dependencies.a]\nversion = \"1\"\ngit = \"https://example.com\"\n", ManifestInvalid, "git"},
		{"workspace", demoManifest + "[dependencies.a]\nworkspace = true\n", ManifestInvalid, "workspace"},
		{"registry by name", demoManifest + "[dependencies.a]\nversion = \"1\"\nregistry = \"lab\"\n", ManifestInvalid, "registry"},
		{"empty registry-index", demoManifest + "[dependencies.a]\nversion = \"1\"\nregistry-index = \"\"\n", ManifestInvalid, "registry-index"},
		{"artifact", demoManifest + "[dependencies.a]\nversion = \"1\"\nartifact = \"bin\"\n", ManifestInvalid, "artifact"},
		{"old default_features", demoManifest + "[dependencies.a]\nversion = \"1\"\ndefault_features = false\n", ManifestInvalid, "default_features"},
		{"optional of wrong type", demoManifest + "[dependencies.a]\nversion = \"1\"\noptional = \"yes\"\n", ManifestInvalid, "optional"},
		{"optional dev", demoManifest + "[dev-dependencies.a]\nversion = \"1\"\noptional = true\n", ManifestInvalid, "optional"},
		{"features of wrong type", demoManifest + "[features]\na = \"b\"\n", ManifestInvalid, "features.a"},
		{"bad feature name", demoManifest + "[features]\n\"a/b\" = []\n", ManifestInvalid, "features.a/b"},
		{"bad feature value", demoManifest + "[features]\na = [\"dep:\"]\n", ManifestInvalid, "features.a"},
		{"bad dependency feature", demoManifest + "[dependencies.a]\nversion = \"1\"\nfeatures = [\"\"]\n", ManifestInvalid, "feature"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseManifest([]byte(test.text))
			wantCode(t, err, test.code, test.says)
		})
	}
}

func TestParseManifestLimits(t *testing.T) {
	numbered := func(table, value string, n int) []byte {
		var text strings.Builder
		text.WriteString(demoManifest + "[" + table + "]\n")
		for i := range n {
			fmt.Fprintf(&text, "a%d = %s\n", i, value)
		}
		return []byte(text.String())
	}
	for _, test := range []struct {
		table, value string
		limit        int
	}{{"dependencies", `"1"`, maxDependencies}, {"features", "[]", maxFeatures}} {
		if _, err := ParseManifest(numbered(test.table, test.value, test.limit)); err != nil {
			t.Errorf("%d %s: %v", test.limit, test.table, err)
		}
		_, err := ParseManifest(numbered(test.table, test.value, test.limit+1))
		wantCode(t, err, ManifestInvalid, test.table)
	}
}

// The TOML library searches a table's keys one by one, so many of them are refused before it sees them.
func TestParseManifestIsQuick(t *testing.T) {
	for name, line := range map[string]string{"keys": "k%d=1\n", "tables": "[k%d]\n", "parts": "z.k%d=1\n", "depth": "z" + strings.Repeat(".a", maxMarks) + "=%d\n"} {
		var text strings.Builder
		text.WriteString(demoManifest + "[x]\n")
		for i := range maxMarks {
			if text.Len() < 1<<20 {
				fmt.Fprintf(&text, line, i)
			}
		}
		_, err := ParseManifest([]byte(text.String()))
		t.Run(name, func(t *testing.T) { wantCode(t, err, ManifestInvalid, "tables and keys") })
	}
}

// An error repeats the publisher's text quoted and clipped.
func TestErrorsAreClipped(t *testing.T) {
	_, err := ParseManifest([]byte(demoManifest + "[dependencies]\n\"" + strings.Repeat("é\\u001b", 1000) + "\" = \"1\"\n"))
	wantCode(t, err, ManifestInvalid)
	if len(err.Error()) > 600 {
		t.Errorf("the detail has %d bytes", len(err.Error()))
	}
}
