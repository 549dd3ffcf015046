// What cargo was recorded to send is accepted and indexed, and each disagreement is named.

package crate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// receiveRecorded makes an upload of the recorded package, after the given changes of its parts.
func receiveRecorded(t *testing.T, metadata, manifest []byte) (*Release, error) {
	t.Helper()
	data := archive(t, file{name: recordedName + "-" + recordedVersion + "/Cargo.toml", text: string(manifest)})
	upload, err := Receive(t.TempDir(), bytes.NewReader(publishBody(metadata, data)), -1, 0)
	if err != nil {
		return nil, err
	}
	defer upload.Discard()
	return upload.Inspect(recorded, ArchiveLimits{})
}

func TestInspectRecorded(t *testing.T) {
	release, err := receiveRecorded(t, load(t, "metadata.json"), load(t, "Cargo.toml"))
	if err != nil {
		t.Fatal(err)
	}
	e := release.Entry
	if e.Name != recordedName || e.Version != recordedVersion || e.Links != "native-everything" || e.RustVersion != "1.70" || len(e.Checksum) != 64 || e.Yanked {
		t.Errorf("entry is %+v", e)
	}
	want := []Dependency{
		{Name: "lab-dep", Requirement: "^1.2.0", Features: []string{"x"}, Optional: true, Kind: Normal},
		{Name: "other-dep", Requirement: ">=1, <2", Features: []string{}, DefaultFeatures: true, Kind: Normal, Registry: "sparse+http://127.0.0.1:8080/other/"},
		{Name: "renamed", Requirement: "~1.2", Features: []string{}, Optional: true, DefaultFeatures: true, Kind: Normal, Registry: CratesIO, Package: "actual"},
		{Name: "renamed-lab", Requirement: "=1.2.3", Features: []string{}, DefaultFeatures: true, Kind: Normal, Package: "Upper"},
		{Name: "spaced", Requirement: ">=1.2, <3", Features: []string{}, DefaultFeatures: true, Kind: Normal, Registry: CratesIO},
		{Name: "wsdep", Requirement: "^1.2", Features: []string{"std", "derive"}, Optional: true, Kind: Normal, Registry: CratesIO},
		{Name: "plain", Requirement: "^1.2", Features: []string{}, DefaultFeatures: true, Kind: Dev, Registry: CratesIO},
		{Name: "lab-build", Requirement: "^1", Features: []string{}, DefaultFeatures: true, Kind: Build},
		{Name: "win-dep", Requirement: "^1", Features: []string{}, Optional: true, DefaultFeatures: true, Kind: Normal, Registry: CratesIO, Target: `cfg(all(windows, target_arch = "x86_64"))`},
		{Name: "helperv", Requirement: "^0.5.1", Features: []string{}, DefaultFeatures: true, Kind: Dev, Target: "cfg(unix)", Package: "helper"},
		{Name: "tgt-build", Requirement: "^1", Features: []string{}, DefaultFeatures: true, Kind: Build, Registry: CratesIO, Target: "x86_64-unknown-linux-gnu"},
	}
	for _, w := range want {
		found := false
		for _, got := range e.Dependencies {
			if compareDependencies(got, w) == 0 {
				found = true
				if diff := cmp.Diff(w, got); diff != "" {
					t.Errorf("dependency %s (-want +got):\n%s", w.Name, diff)
				}
			}
		}
		if !found {
			t.Errorf("dependency %s of kind %s for %q is missing", w.Name, w.Kind, w.Target)
		}
	}
	if len(e.Dependencies) != 27 {
		t.Errorf("the entry has %d dependencies; the recorded metadata has 27", len(e.Dependencies))
	}
	line, err := e.Line()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"v":2`, `"features2":{"lab-dep":["dep:lab-dep"],"ser":["dep:wsdep","lab-dep?/x","plain/std"]}`, `"features":{"c++17":[],"default":["std"],"std":[]}`} {
		if !strings.Contains(string(line), part) {
			t.Errorf("the line lacks %s:\n%s", part, line)
		}
	}
}

// A registry that moved still knows the dependencies that name its former index as its own.
func TestInspectFormerIndex(t *testing.T) {
	manifest, err := ParseManifest(load(t, "Cargo.toml"))
	if err != nil {
		t.Fatal(err)
	}
	moved := Origin{Index: "sparse+https://new.example/index/", Former: []string{recorded.Index}}
	for _, d := range manifest.Entry(moved).Dependencies {
		if d.Name == "lab-dep" && d.Registry != "" {
			t.Errorf("a dependency on the former index has the registry %q", d.Registry)
		}
	}
	elsewhere := Origin{Index: "sparse+https://new.example/index/"}
	for _, d := range manifest.Entry(elsewhere).Dependencies {
		if d.Name == "lab-dep" && d.Registry != recorded.Index {
			t.Errorf("a dependency on another index has the registry %q", d.Registry)
		}
	}
}

// disagreements are edits of the recorded metadata alone, with what the refusal must name.
var disagreements = []struct{ field, old, new, says string }{
	{"links", `"links":"native-everything"`, `"links":null`, `"native-everything"`},
	{"rust_version", `"rust_version":"1.70"`, `"rust_version":"1.71"`, `"1.71"`},
	{"rust_version", `"rust_version":"1.70"`, `"rust_version":null`, `"1.70"`},
	{"features", `"std":[]`, `"std":["ser"]`, `"std"`},
	{"features", `"std":[]`, `"std":[],"extra":[]`, `"extra"`},
	{"features", `,"std":[]}`, `}`, `"std"`},
	{"deps", `"name":"caret"`, `"name":"carrot"`, `"caret"`},
	{"deps", `"version_req":"^0.5"`, `"version_req":"^0.6"`, `version_req`},
	{"deps", `"name":"actual"`, `"name":"other"`, `"actual"`},
	{"deps", `"version_req":"^1.2.0","target":null,"kind":"normal"`, `"version_req":"^1.2.0","target":null,"kind":"normal","registry":"https://evil.example/"`, `registry`},
	{"deps", `"optional":true,"default_features":false,"name":"lab-dep"`, `"optional":false,"default_features":false,"name":"lab-dep"`, `optional`},
	{"deps", `"optional":true,"default_features":false,"name":"lab-dep"`, `"optional":true,"default_features":true,"name":"lab-dep"`, `default_features`},
	{"deps", `"features":["x"]`, `"features":["x","y"]`, `features`},
	{"deps", `"kind":"dev"`, `"kind":"build"`, `only`},
	{"deps", `"target":"cfg(unix)"`, `"target":"cfg(windows)"`, `only`},
	{"deps", `"explicit_name_in_toml":"renamed"`, `"explicit_name_in_toml":"renamed2"`, `"renamed"`},
	{"deps", `,"kind":"build","registry":"https://github.com/rust-lang/crates.io-index"}],`, `,"kind":"build"}],`, `this registry`},
}

func TestInspectRefusesDisagreement(t *testing.T) {
	metadata, manifest := load(t, "metadata.json"), load(t, "Cargo.toml")
	for i, d := range disagreements {
		t.Run(fmt.Sprint(i, d.field), func(t *testing.T) {
			changed := bytes.Replace(metadata, []byte(d.old), []byte(d.new), 1)
			if bytes.Equal(changed, metadata) {
				t.Fatalf("the recorded metadata has no %s", d.old)
			}
			_, err := receiveRecorded(t, changed, manifest)
			wantCode(t, err, MetadataDisagrees, fmt.Sprintf("%q", d.field), d.says)
		})
	}
	for _, member := range []struct{ old, new, field string }{
		{`name = "everything"`, `name = "everythinG"`, `"name"`},
		{`version = "1.2.3-rc.1+build.5"`, `version = "1.2.3-rc.1+build.6"`, `"vers"`},
	} {
		changed := bytes.Replace(manifest, []byte(member.old), []byte(member.new), 1)
		_, err := receiveRecorded(t, metadata, changed)
		wantCode(t, err, MetadataDisagrees, member.field)
	}
}

// What means the same agrees.
func TestInspectComparesMeaning(t *testing.T) {
	metadata, manifest := load(t, "metadata.json"), load(t, "Cargo.toml")
	for _, same := range [][2]string{
		{`"features":["std","derive"]`, `"features":["derive","std","std"]`},
		{`["dep:wsdep","lab-dep?/x","plain/std"]`, `["plain/std","dep:wsdep","lab-dep?/x"]`},
		{`"version_req":">=1, <2"`, `"version_req":">= 1,<2"`},
		{`"version_req":"^0.5"`, `"version_req":"0.5"`},
		{`"target":"cfg(unix)"`, `"target":"cfg( unix )"`},
		{`"registry":"https://github.com/rust-lang/crates.io-index"`, `"registry":"sparse+https://index.crates.io/"`},
		{`"kind":"normal"},`, `"kind":"normal","registry":"sparse+http://127.0.0.1:8080/lab/"},`},
		{`"authors":`, `"new-member":{"a":1},"authors":`},
	} {
		changed := bytes.Replace(metadata, []byte(same[0]), []byte(same[1]), 1)
		if bytes.Equal(changed, metadata) {
			t.Fatalf("the recorded metadata has no %s", same[0])
		}
		if _, err := receiveRecorded(t, changed, manifest); err != nil {
			t.Errorf("%s: %v", same[1], err)
		}
	}
}

func TestInspectMissingFile(t *testing.T) {
	upload := &Upload{Path: filepath.Join(t.TempDir(), "none"), Metadata: &Metadata{Name: "demo", Version: "1.0.0"}}
	if _, err := upload.Inspect(recorded, ArchiveLimits{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v; want the missing file's", err)
	}
}

// A crate can be small and yet have a line that every build of everybody would download.
func TestLongIndexLine(t *testing.T) {
	features := func(lists int) (manifest, metadata []byte) {
		var toml, json strings.Builder
		for i := range lists {
			if i > 0 {
				json.WriteString(",")
			}
			values := strings.TrimSuffix(strings.Repeat(`"other/feature",`, 1000), ",")
			fmt.Fprintf(&toml, "f%d = [%s]\n", i, values)
			fmt.Fprintf(&json, `"f%d":[%s]`, i, values)
		}
		return fmt.Appendf(nil, "[package]\nedition = \"2021\"\nname = %q\nversion = %q\ndescription = \"d\"\n[features]\n%s[dependencies.other]\nversion = \"1\"\n", recordedName, recordedVersion, toml.String()),
			fmt.Appendf(nil, `{"name":%q,"vers":%q,"description":"d","features":{%s},"deps":[{"name":"other","version_req":"^1","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal","registry":"https://github.com/rust-lang/crates.io-index"}]}`,
				recordedName, recordedVersion, json.String())
	}
	manifest, metadata := features(30)
	release, err := receiveRecorded(t, metadata, manifest)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := release.Entry.Line(); err != nil || len(line) > maxLine || len(line) < 400_000 {
		t.Errorf("a line of %d bytes (%v)", len(line), err)
	}
	manifest, metadata = features(40)
	_, err = receiveRecorded(t, metadata, manifest)
	wantCode(t, err, PublishTooLarge, "index line", "524288")
}
