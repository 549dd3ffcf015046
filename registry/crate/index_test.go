// The index line: its exact bytes, its way back, yanking, and ETags.

package crate

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const emptyLine = `{"name":"demo","vers":"1.0.0","deps":[],"cksum":"ab","features":{},"yanked":false,"links":null,"v":1}`

const fullLine = `{"name":"Demo","vers":"1.0.0-rc.1+b","deps":[` +
	`{"name":"renamed","req":"^1","features":["x"],"optional":true,"default_features":false,"target":"cfg(target_os = \"linux\")","kind":"build","registry":"` + CratesIO + `","package":"actual"},` +
	`{"name":"own","req":">=1, <2","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal","registry":null,"package":null}],` +
	`"cksum":"cd","features":{"default":["std"],"std":[]},"yanked":true,"links":"z","v":2,` +
	`"features2":{"ser":["dep:renamed","own?/x"],"weak":["own?/y"]},"rust_version":"1.70"}`

func entries() map[string]*Entry {
	return map[string]*Entry{
		emptyLine: {Name: "demo", Version: "1.0.0", Checksum: "ab"},
		fullLine: {
			Name: "Demo", Version: "1.0.0-rc.1+b", Checksum: "cd", Yanked: true, Links: "z", RustVersion: "1.70",
			Dependencies: []Dependency{
				{Name: "renamed", Requirement: "^1", Features: []string{"x"}, Optional: true, Target: `cfg(target_os = "linux")`, Kind: Build, Registry: CratesIO, Package: "actual"},
				{Name: "own", Requirement: ">=1, <2", DefaultFeatures: true, Kind: Normal},
			},
			Features: map[string][]string{"std": nil, "default": {"std"}, "ser": {"dep:renamed", "own?/x"}, "weak": {"own?/y"}},
		},
	}
}

func TestEntryLine(t *testing.T) {
	for want, entry := range entries() {
		line, err := entry.Line()
		if err != nil {
			t.Fatal(err)
		}
		if string(line) != want {
			t.Errorf("line is\n%s\nwant\n%s", line, want)
		}
		back, err := ParseEntry(line)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(entry, back, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("the line reads back other (-want +got):\n%s", diff)
		}
	}
}

func TestParseEntryRefuses(t *testing.T) {
	for _, line := range []string{"", "[]", emptyLine + emptyLine, emptyLine[:40], `{"new":1}`,
		`{"features":{"a":[]},"features2":{"a":["dep:b"]}}`} {
		if e, err := ParseEntry([]byte(line)); err == nil {
			t.Errorf("%s is read as %+v", line, e)
		}
	}
}

func TestSetYanked(t *testing.T) {
	yanked, err := SetYanked([]byte(emptyLine), true)
	if err != nil {
		t.Fatal(err)
	}
	if want := bytes.Replace([]byte(emptyLine), []byte(`"yanked":false`), []byte(`"yanked":true`), 1); !bytes.Equal(yanked, want) {
		t.Errorf("yanked line is %s", yanked)
	}
	back, err := SetYanked(yanked, false)
	if err != nil || string(back) != emptyLine {
		t.Errorf("line yanked and unyanked is %s (%v)", back, err)
	}
	if _, err := SetYanked([]byte("nonsense"), true); err == nil {
		t.Error("nonsense is yanked")
	}
}

func TestIndexFile(t *testing.T) {
	if got := string(IndexFile([][]byte{[]byte("a"), []byte("b")})); got != "a\nb\n" {
		t.Errorf("file is %q", got)
	}
	if got := IndexFile(nil); len(got) != 0 {
		t.Errorf("file of no lines is %q", got)
	}
}

func TestETag(t *testing.T) {
	a, b := ETag([]byte("a")), ETag([]byte("b"))
	if a == b || a != ETag([]byte("a")) || a[0] != '"' || a[len(a)-1] != '"' || len(a) != 45 {
		t.Errorf("ETags are %s and %s", a, b)
	}
}
