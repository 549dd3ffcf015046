// Fuzzes reading and editing, and edits random files.

package cargo_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/cargo-regkey/regkey/cargo"
)

// seedTexts are all configuration files of the scenarios and of the edits, good and bad.
func seedTexts(f *testing.F) []string {
	f.Helper()
	var texts []string
	files, err := filepath.Glob("testdata/config/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, member := range archive.Files {
			if strings.HasSuffix(member.Name, ".toml") {
				texts = append(texts, string(member.Data))
			}
		}
	}
	for _, edit := range edits {
		texts = append(texts, edit.before)
	}
	if len(texts) < 100 {
		f.Fatalf("%d seeds found, want at least 100", len(texts))
	}
	return texts
}

// FuzzConfig: whatever a file and a variable hold, reading ends in a result or in an error that
// does not show the secret in it.
func FuzzConfig(f *testing.F) {
	for _, text := range seedTexts(f) {
		f.Add(text, "CARGO_REGISTRIES_LAB_INDEX=x", "lab")
	}
	f.Add("", "CARGO_REGISTRIES__INDEX=", "\x00")
	f.Fuzz(func(t *testing.T, text, variable, name string) {
		home := t.TempDir()
		if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(variable, "CARGO_HOME=") {
			return // it could name a folder outside
		}
		config, err := cargo.OpenConfig(cargo.Environment{Dir: home, Environ: []string{variable, "CARGO_HOME=" + home}})
		if err != nil {
			return
		}
		registry, err := config.Registry(name)
		if err == nil {
			named, found := config.RegistryByIndex(registry.Index)
			if !found {
				t.Errorf("%q leads to %q, which leads nowhere", name, registry.Index)
			} else if again, err := config.Registry(named.Name); err != nil || again.Index != named.Index {
				t.Errorf("%q found by index, by name: %+v, %v", named.Name, again, err)
			}
		}
		if providers, err := config.Providers(registry.Index); err == nil && len(providers) == 0 {
			t.Error("no provider and no error")
		}
		for _, w := range config.Warnings(name, registry.Index, []string{program}) {
			if w.Where == "" || w.What == "" || strings.ContainsAny(w.String(), "\x1b\n\r") {
				t.Errorf("warning %q", w)
			}
		}
	})
}

// FuzzSetProvider: an edit that succeeds changes one setting and no other, and a second one changes
// nothing.
func FuzzSetProvider(f *testing.F) {
	for _, text := range seedTexts(f) {
		f.Add([]byte(text), "lab", labIndex, program)
	}
	f.Add([]byte("[registries.\"a\\u0000b\"]"), "a", "", `C:\x "y"`)
	f.Fuzz(func(t *testing.T, text []byte, name, index, program string) {
		before := bytes.Clone(text)
		after, changed, err := cargo.SetProvider(text, name, index, []string{program})
		if !bytes.Equal(text, before) {
			t.Error("the text that was given changed")
		}
		if err != nil {
			if after != nil || changed {
				t.Errorf("%v, and yet %q", err, after)
			}
			return
		}
		if changed == bytes.Equal(before, after) {
			t.Errorf("changed = %v", changed)
		}
		checkEdit(t, before, after, name, index, []string{program})
	})
}

// TestSetProviderRandomFiles edits files made of random parts, of which each remembers whether the
// edit goes there, and compares with the bytes around that place.
func TestSetProviderRandomFiles(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		before, want := randomFile(r)
		after, changed, err := cargo.SetProvider([]byte(before), "lab", labIndex, []string{program})
		if err != nil || !changed {
			t.Fatalf("seed %d: changed = %v, error %v\n%s", seed, changed, err, before)
		}
		if string(after) != want {
			t.Fatalf("seed %d: got\n%q\nwant\n%q", seed, after, want)
		}
		checkEdit(t, []byte(before), after, "lab", labIndex, []string{program})
	}
}

// randomFile returns a valid file, and the same as the edit should leave it.
func randomFile(r *rand.Rand) (before, after string) {
	eol := []string{"\n", "\r\n"}[r.IntN(2)]
	one := func(of ...string) string { return strings.ReplaceAll(of[r.IntN(len(of))], "\n", eol) }
	noise := func() string {
		return one("", "", "\n", "# [registries.lab]\n", "\t# credential-provider = 'x'\n", "  \n")
	}
	values := func(table int) string {
		var b strings.Builder
		for i := range r.IntN(4) {
			fmt.Fprintf(&b, "%s%skey%d_%d%s=%s%s%s", noise(), one("", "  ", "\t"), table, i, one("", " ", "\t"), one("", " "),
				one("1", "'x'", "[1, 2]", "[ # ]\n 'a',\n\n]", "{a = 1, b.c = '}'}", "'''\n[x]\ny'''", "\"ż\\\"\"", "1e3", "1979-05-27"),
				one("\n", " # why\n", "\t#\n"))
		}
		return b.String()
	}
	tables := r.IntN(4)
	own := r.IntN(tables + 1) // no table of its own if it is the last
	before = one("", mark) + values(99)
	after = before
	both := func(text string) { before, after = before+text, after+text }
	for i := range tables {
		if i != own {
			both(noise() + fmt.Sprintf("[table%d]", i) + eol + values(i))
			continue
		}
		both(noise() + one("[registries.lab]", "[ registries . 'lab' ]", "[\"registries\".lab]") + one("\n", " # ours\n"))
		both(values(i) + "credential-provider = ")
		before += one("'x'", "\"a\\\" ]\"", "['x', \"y\"]", "[\n 'x', # ]\n]", "[]", "'''\n'''")
		after += `["` + program + `"]`
		both(one("\n", " # end\n") + values(100))
	}
	if own == tables {
		both("[build]" + eol + "jobs = 1" + eol + eol)
		after += strings.ReplaceAll(cargo.Lines("lab", labIndex, []string{program}), "\n", firstBreak(before))
	}
	return before, after
}

func firstBreak(text string) string {
	if at := strings.IndexByte(text, '\n'); at > 0 && text[at-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}
