// Edits on disk: what is written where, with which mode, and what stays.

package cargo_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/cargo-regkey/regkey/cargo"
)

// openHome writes files into a new CARGO_HOME, modes 0600, and reads the configuration there.
func openHome(t *testing.T, files map[string]string) (*cargo.Config, string) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "cargo home")
	for name, text := range files {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return reopen(t, home), home
}

func reopen(t *testing.T, home string) *cargo.Config {
	t.Helper()
	config, err := cargo.OpenConfig(cargo.Environment{Dir: filepath.Dir(home), Environ: []string{"CARGO_HOME=" + home}})
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func plan(t *testing.T, config *cargo.Config) *cargo.Edit {
	t.Helper()
	edit, err := config.PlanProvider("lab", labIndex, []string{program})
	if err != nil {
		t.Fatal(err)
	}
	return edit
}

func write(t *testing.T, edit *cargo.Edit) {
	t.Helper()
	if err := edit.Write(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func checkMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want && runtime.GOOS != "windows" {
		t.Errorf("%s has mode %o, want %o", path, got, want)
	}
}

func TestEditNewFile(t *testing.T) {
	config, home := openHome(t, nil)
	edit := plan(t, config)
	if _, err := os.Stat(home); !edit.Changed() || edit.Before != nil || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("planning: changed %v, before %q, %v", edit.Changed(), edit.Before, err)
	}
	write(t, edit)
	path := filepath.Join(home, "config.toml")
	if got := read(t, path); edit.File != path || got != cargo.Lines("lab", labIndex, []string{program}) {
		t.Errorf("%s: %q", edit.File, got)
	}
	checkMode(t, path, 0o644)

	registry, err := reopen(t, home).Registry("lab")
	if err != nil || registry.Index != labIndex || len(registry.CredentialProvider) != 1 || registry.CredentialProvider[0] != program {
		t.Errorf("read again: %+v, %v", registry, err)
	}
	if again := plan(t, reopen(t, home)); again.Changed() {
		t.Errorf("a second run would write %q", again.After)
	}
}

func TestEditKeepsMode(t *testing.T) {
	config, home := openHome(t, map[string]string{"config.toml": "[build]\n"})
	write(t, plan(t, config))
	checkMode(t, filepath.Join(home, "config.toml"), 0o600)
}

// TestEditUnchanged: a file that holds the setting is not touched, not even by an equal one.
func TestEditUnchanged(t *testing.T) {
	config, home := openHome(t, map[string]string{"config.toml": cargo.Lines("lab", labIndex, []string{program})})
	path := filepath.Join(home, "config.toml")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	edit := plan(t, config)
	write(t, edit)
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if edit.Changed() || !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Error("the file was written again")
	}
}

func TestEditOldName(t *testing.T) {
	config, home := openHome(t, map[string]string{"config": "# old\n", "config.toml": "# new\n"})
	write(t, plan(t, config))
	if got := read(t, filepath.Join(home, "config.toml")); got != "# new\n" {
		t.Errorf("the file that cargo does not read was edited: %q", got)
	}
	if got := read(t, filepath.Join(home, "config")); got != "# old\n\n"+cargo.Lines("lab", labIndex, []string{program}) {
		t.Errorf("%q", got)
	}
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Skipf("symbolic links: %v", err)
	}
}

func TestEditFollowsLinks(t *testing.T) {
	config, home := openHome(t, map[string]string{"dotfiles/real.toml": "[build]\n"})
	link := filepath.Join(home, "config.toml")
	symlink(t, "second", link)
	symlink(t, filepath.Join("dotfiles", "real.toml"), filepath.Join(home, "second"))
	config = reopen(t, config.Home())
	write(t, plan(t, config))
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", info, err)
	}
	target := filepath.Join(home, "dotfiles", "real.toml")
	if got := read(t, target); got != "[build]\n\n"+cargo.Lines("lab", labIndex, []string{program}) {
		t.Errorf("%q", got)
	}
	checkMode(t, target, 0o600)
}

func TestEditRefusesDanglingLink(t *testing.T) {
	_, home := openHome(t, map[string]string{"x": ""})
	symlink(t, "nowhere", filepath.Join(home, "config.toml"))
	if edit, err := reopen(t, home).PlanProvider("lab", labIndex, []string{program}); err == nil {
		t.Errorf("planned to write %q", edit.After)
	}
	if _, err := os.Stat(filepath.Join(home, "nowhere")); err == nil {
		t.Error("the target was made")
	}
}

// TestEditRefusesChanges: who else wrote meanwhile is not overwritten.
func TestEditRefusesChanges(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"edited": {"config.toml": "[build]\n"}, "emptied": {"config.toml": ""}, "made": {"x": ""},
	} {
		t.Run(name, func(t *testing.T) {
			config, home := openHome(t, files)
			edit := plan(t, config)
			path := filepath.Join(home, "config.toml")
			if err := os.WriteFile(path, []byte("# other\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := edit.Write(); !errors.Is(err, cargo.ErrChanged) {
				t.Errorf("error %v", err)
			}
			if got := read(t, path); got != "# other\n" {
				t.Errorf("overwritten by %q", got)
			}
		})
	}
}

// TestEditErrorsNameTheFile, and nothing is written.
func TestEditErrorsNameTheFile(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"inline", "[registries]\nlab = {}\n", ":2: registry \"lab\" stands in an inline table or under a dotted key, which can't be edited safely"},
		{"conflict", "[registries.lab]\nindex = 'https://x.test/'\n", ":2: registry \"lab\" has the index https://x.test/, not " + labIndex},
	} {
		t.Run(test.name, func(t *testing.T) {
			config, home := openHome(t, map[string]string{"config.toml": test.text})
			path := filepath.Join(home, "config.toml")
			_, err := config.PlanProvider("lab", labIndex, []string{program})
			if want := "editing cargo's configuration: " + path + test.want; err == nil || err.Error() != want {
				t.Errorf("error %v\nwant  %s", err, want)
			}
			if got := read(t, path); got != test.text {
				t.Errorf("written: %q", got)
			}
		})
	}
}

// TestEditBroken: a file that broke after it was read is named with the line.
func TestEditBroken(t *testing.T) {
	config, home := openHome(t, map[string]string{"config.toml": "\n"})
	path := filepath.Join(home, "config.toml")
	if err := os.WriteFile(path, []byte("[a]\n[a]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.PlanProvider("lab", labIndex, []string{program})
	var syntax *cargo.SyntaxError
	if !errors.As(err, &syntax) || syntax.File != path || syntax.Line != 2 {
		t.Errorf("error %v", err)
	}
}

// TestEditRefusesStringBelow: cargo can't merge our list with a string in an included file.
func TestEditRefusesStringBelow(t *testing.T) {
	config, home := openHome(t, map[string]string{
		"config.toml": "include = ['more.toml']\n",
		"more.toml":   "[registries.lab]\n" + indexLine + "\ncredential-provider = 'x'\n",
	})
	_, err := config.PlanProvider("lab", labIndex, []string{program})
	var refused *cargo.NotEditableError
	if !errors.As(err, &refused) || refused.File != filepath.Join(home, "more.toml") || refused.Line != 3 {
		t.Errorf("error %v", err)
	}
}

// TestEditRefusesConflicts: what stands in an included file counts, and an index gets no second name.
func TestEditRefusesConflicts(t *testing.T) {
	config, home := openHome(t, map[string]string{
		"config.toml": "include = ['more.toml']\n",
		"more.toml":   "[registries.lab]\nindex = 'https://x.test/'\n[registries.old]\n" + indexLine + "\n",
	})
	_, err := config.PlanProvider("lab", labIndex, []string{program})
	var conflict *cargo.IndexConflictError
	if !errors.As(err, &conflict) || conflict.File != filepath.Join(home, "more.toml") || conflict.Line != 2 {
		t.Errorf("error %v", err)
	}
	_, err = config.PlanProvider("new", labIndex, []string{program})
	var second *cargo.NameConflictError
	if !errors.As(err, &second) || second.Existing != "old" || second.Where.Line != 4 {
		t.Errorf("error %v", err)
	}
	edit, err := config.PlanProvider("old", labIndex, []string{program})
	if err != nil || !edit.Changed() {
		t.Errorf("the name that the index has: %v", err)
	}
}

func TestEditRefusesLargeFiles(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "config.toml"), make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := cargo.OpenConfig(cargo.Environment{Dir: home, Environ: []string{"CARGO_HOME=" + home}})
	if err == nil {
		t.Error("more than 1 MiB was read")
	}
}
