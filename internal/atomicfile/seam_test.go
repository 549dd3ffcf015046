// Calls that go through a test, and those that do not.

package atomicfile_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// TestAround sees every call below its folder, in order, and none beside it.
func TestAround(t *testing.T) {
	dir := t.TempDir()
	inside, beside := filepath.Join(dir, "in"), filepath.Join(dir, "inner")
	for _, folder := range []string{inside, beside} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	end := atomicfile.SetAround(inside, func(what, path string, do func() error) error {
		seen = append(seen, what)
		return do()
	})
	path := filepath.Join(inside, "file")
	for _, step := range []struct {
		do   func(path string) error
		want []string
	}{
		{func(p string) error { return atomicfile.Write(p, []byte("x"), 0o600) }, []string{"create", "write", "chmod", "sync", "close", "rename", "sync folder"}},
		{func(p string) error { _, err := atomicfile.ReadFile(p); return err }, []string{"read"}},
		{readOpened, []string{"open", "stat open", "read", "read"}},
		{func(p string) error { _, err := atomicfile.Stat(p); return err }, []string{"stat"}},
		{func(p string) error { _, err := atomicfile.Lstat(p); return err }, []string{"lstat"}},
		{func(p string) error { _, err := atomicfile.EvalSymlinks(p); return err }, []string{"follow links"}},
		{func(p string) error { return atomicfile.Rename(p, p+"2") }, []string{"rename", "sync folder"}},
		{func(p string) error { return atomicfile.Create(p, []byte("x"), 0o600) }, []string{"lstat", "create", "write", "chmod", "sync", "close", "link", "remove", "sync folder"}},
		{atomicfile.Remove, []string{"read folder", "remove", "sync folder"}},
		{func(p string) error { return atomicfile.MkdirAll(p, 0o700) }, []string{"stat", "stat", "make folder", "sync folder"}},
		{func(p string) error { return atomicfile.Lock(p, func() error { return nil }) }, []string{"lock"}},
	} {
		seen = nil
		if err := step.do(path); err != nil || !slices.Equal(seen, step.want) {
			t.Errorf("seen are %q (%v), want %q", seen, err, step.want)
		}
		seen = nil
		if err := step.do(filepath.Join(beside, "file")); err != nil || len(seen) > 0 {
			t.Errorf("%q: of another folder %q was seen (%v)", step.want, seen, err)
		}
	}
	end()
	seen = nil
	if err := atomicfile.Write(filepath.Join(inside, "other"), nil, 0o600); err != nil || len(seen) > 0 {
		t.Errorf("after its end %q was seen (%v)", seen, err)
	}
}

func readOpened(path string) error {
	f, err := atomicfile.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Stat(); err != nil {
		return err
	}
	if text, err := io.ReadAll(f); err != nil || string(text) != "x" {
		return errors.Join(err, errors.New("another content"))
	}
	return nil
}

// TestFailingCalls has each call of Write and Create fail: then the old content stands and nothing else is
// there, but where only making it durable failed.
func TestFailingCalls(t *testing.T) {
	fails := errors.New("no")
	for what, do := range map[string]func(string) error{
		"Write":  func(p string) error { return atomicfile.Write(p, []byte("new"), 0o600) },
		"Create": func(p string) error { return atomicfile.Create(p, []byte("new"), 0o600) },
	} {
		n, at := 0, "the first"
		for ; at != ""; n++ {
			dir := t.TempDir()
			path, want := filepath.Join(dir, "file"), []string(nil)
			if what == "Write" {
				want = []string{"file", "old"}
				if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			count := 0
			at = ""
			end := atomicfile.SetAround(dir, func(call, _ string, do func() error) error {
				count++
				if count-1 == n {
					at = call
					return fails
				}
				return do()
			})
			err := do(path)
			end()
			switch {
			case at == "": // there are no more calls
				want = []string{"file", "new"}
			case what == "Create" && (at == "lstat" || at == "remove"): // the link and a second try decide
				want = []string{"file", "new"}
				if err != nil {
					t.Errorf("%s, %s failed: %v", what, at, err)
				}
			case what == "Write" && at == "sync folder":
				want = []string{"file", "new"}
				fallthrough
			default:
				if !errors.Is(err, fails) || errors.Is(err, fs.ErrExist) {
					t.Errorf("%s, %s failed: %v", what, at, err)
				}
			}
			checkFolder(t, dir, want...)
		}
		if n < 8 {
			t.Errorf("%s: only %d calls failed", what, n-1)
		}
	}
}

// TestLinkWhoseAnswerIsLost has the link of Create be made and reported as failed, as network file systems do: the
// file is there, so that is no failure. What another one made meanwhile is.
func TestLinkWhoseAnswerIsLost(t *testing.T) {
	for _, reported := range []error{errors.New("no answer"), fs.ErrExist} {
		for _, done := range []bool{true, false} {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			end := atomicfile.SetAround(dir, func(call, _ string, do func() error) error {
				if call != "link" {
					return do()
				}
				if done {
					return errors.Join(do(), reported)
				}
				return errors.Join(os.WriteFile(path, []byte("theirs"), 0o600), reported)
			})
			err := atomicfile.Create(path, []byte("new"), 0o600)
			end()
			if done != (err == nil) || !done && !errors.Is(err, reported) {
				t.Errorf("done: %v, reported: %v: %v", done, reported, err)
			}
			checkFolder(t, dir, "file", map[bool]string{true: "new", false: "theirs"}[done])
		}
	}
}
