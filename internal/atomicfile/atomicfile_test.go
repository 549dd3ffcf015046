// Files that are whole or not there: replacing, creating, racing, failing.

package atomicfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

func TestMain(m *testing.M) {
	if fault := os.Getenv(faultVariable); fault != "" {
		os.Exit(runFault(fault))
	}
	os.Exit(m.Run())
}

// checkFolder fails unless dir holds exactly these files, name then content.
func checkFolder(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			text = []byte(entry.Type().String())
		}
		got = append(got, entry.Name(), string(text))
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("folder holds %q, want %q", got, want)
	}
}

func checkMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != want {
		t.Errorf("%s: mode %v (%v), want %v", path, info.Mode(), err, want)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for i, c := range []struct {
		text string
		mode fs.FileMode
	}{{"one", 0o600}, {"", 0o600}, {strings.Repeat("large", 1<<18), 0o644}, {"two", 0o666}, {"three", 0o600}} {
		if err := atomicfile.Write(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(i, err)
		}
		checkFolder(t, dir, "file", c.text)
		checkMode(t, path, c.mode)
	}
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := atomicfile.Create(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	checkMode(t, path, 0o600)
	if err := atomicfile.Create(path, []byte("second"), 0o644); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	checkFolder(t, dir, "file", "first")
	checkMode(t, path, 0o600)
}

func TestCreateBesideFolderAndLink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "b")); err != nil {
		t.Skip(err)
	}
	for _, name := range []string{"a", "b"} {
		if err := atomicfile.Create(filepath.Join(dir, name), []byte("x"), 0o600); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	checkFolder(t, dir, "a", "d---------", "b", "L---------")
}

func TestWriteReplacesLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := os.WriteFile(target, []byte("target"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", link); err != nil {
		t.Skip(err)
	}
	if err := atomicfile.Write(link, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	checkFolder(t, dir, "a", "target", "b", "new")
}

func TestFaultsLeaveNothing(t *testing.T) {
	for what, do := range map[string]func(string, []byte, fs.FileMode) error{"Write": atomicfile.Write, "Create": atomicfile.Create} {
		dir := t.TempDir()
		folder, file := filepath.Join(dir, "folder"), filepath.Join(dir, "file")
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		for name, path := range map[string]string{
			"target is a folder":  folder,
			"folder is a file":    filepath.Join(file, "x"),
			"folder is missing":   filepath.Join(dir, "none", "x"),
			"name is too long":    filepath.Join(dir, strings.Repeat("n", 300)),
			"name has a NUL byte": filepath.Join(dir, "a\x00b"),
		} {
			if err := do(path, []byte("new"), 0o600); err == nil {
				t.Errorf("%s: %s: no error", what, name)
			}
		}
		checkFolder(t, dir, "file", "old", "folder", "d---------")
		checkFolder(t, folder)
	}
}

func TestConcurrentCreate(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		errs := make([]error, 16)
		start := make(chan struct{})
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() {
				<-start
				errs[i] = atomicfile.Create(path, bytes.Repeat([]byte{byte('a' + i)}, 1000), 0o600)
			})
		}
		close(start)
		group.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner >= 0:
				t.Fatalf("%d and %d both created it", winner, i)
			case err == nil:
				winner = i
			case !errors.Is(err, fs.ErrExist):
				t.Errorf("%d: %v", i, err)
			}
		}
		if winner < 0 {
			t.Fatal("nobody created it")
		}
		checkFolder(t, dir, "file", strings.Repeat(string(rune('a'+winner)), 1000))
	}
}

// TestReadersSeeWholeFiles reads while others replace: each content seen is one that was written.
func TestReadersSeeWholeFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	content := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 1<<16+i) }
	if err := atomicfile.Write(path, content(0), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for range 25 {
				if err := atomicfile.Write(path, content(i), 0o600); err != nil {
					t.Error(err)
				}
			}
		})
	}
	go func() { writers.Wait(); close(done) }()
	for reads := 0; ; reads++ {
		text, err := os.ReadFile(path)
		if err != nil || len(text) == 0 || !bytes.Equal(text, content(int(text[0]-'a'))) {
			t.Fatalf("read %d: %d bytes that nobody wrote (%v)", reads, len(text), err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	kept := []string{".file..tmp", ".file.tmp", ".file.x.tmp", ".file2.1.tmp", ".other.1.tmp", "file.123.tmp"}
	var want []string
	for _, name := range kept {
		want = append(want, name, "x")
	}
	for _, name := range append(kept, "file", ".file.123.tmp", ".file.456.tmp") {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time there is nothing
		if err := atomicfile.Remove(filepath.Join(dir, "file")); err != nil {
			t.Fatal(err)
		}
		checkFolder(t, dir, want...)
	}
	if err := atomicfile.Remove(filepath.Join(dir, "none", "file")); err != nil {
		t.Errorf("in no folder: %v", err)
	}
	if err := atomicfile.Remove(filepath.Join(dir, ".file.tmp", "x")); err == nil {
		t.Error("in a file: no error")
	}
	if err := os.MkdirAll(filepath.Join(dir, "full", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Remove(filepath.Join(dir, "full")); err == nil {
		t.Error("a full folder: no error")
	}
}

func TestIsTemp(t *testing.T) {
	for name, want := range map[string]bool{
		".file.123.tmp": true, ".a.b.1.tmp": true, "..x.1.tmp": true,
		"": false, ".": false, ".tmp": false, ".123.tmp": false, "..123.tmp": false, ".file.tmp": false, ".file..tmp": false,
		".file.x.tmp": false, "file.1.tmp": false, ".file.1": false, ".file.1.tmp2": false,
	} {
		if got := atomicfile.IsTemp(name); got != want {
			t.Errorf("IsTemp(%q) = %v", name, got)
		}
	}
}

func TestTidy(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"file", ".file.123.tmp", ".file2.1.tmp", ".file.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := atomicfile.Tidy(filepath.Join(dir, "file")); err != nil {
			t.Fatal(err)
		}
		checkFolder(t, dir, ".file.tmp", "x", ".file2.1.tmp", "x", "file", "x")
	}
}

func TestMkdirAll(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b", "c")
	for range 2 {
		if err := atomicfile.MkdirAll(deep, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, made := range []string{deep, filepath.Join(dir, "a")} {
		checkMode(t, made, 0o700)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{filepath.Join(dir, "file"), filepath.Join(dir, "file", "x"), filepath.Join(dir, "file", "x", "y")} {
		if err := atomicfile.MkdirAll(bad, 0o700); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := atomicfile.MkdirAll(filepath.Join(dir, "x", "y", "z"), 0o700); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	if err := atomicfile.MkdirAll(filepath.Join(dir, "link"), 0o700); err == nil {
		t.Error("a dangling link: no error")
	}
}
