// What a run that is stopped does, and what it does not do any more.

package faults_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/internal/faults"
	"github.com/cargo-regkey/regkey/keys"
)

// working writes a file twice, and is how a program that cleans up behaves.
func working(dir string) error {
	for _, text := range []string{"one", "two"} {
		if err := atomicfile.Write(filepath.Join(dir, "file"), []byte(text), 0o600); err != nil {
			_ = atomicfile.Remove(filepath.Join(dir, "file")) // which after a crash does nothing
			return err
		}
	}
	return nil
}

func TestFiles(t *testing.T) {
	recorded := faults.Record()
	dir := t.TempDir()
	end := recorded.Files(dir)
	if err := working(dir); err != nil {
		t.Fatal(err)
	}
	end()
	calls := recorded.Calls()
	again := faults.Record()
	other := t.TempDir()
	end = again.Files(other)
	if err := working(other); err != nil || !slices.Equal(calls, again.Calls()) {
		t.Fatalf("%v: the same run makes other calls: %v and %v", err, calls, again.Calls())
	}
	end()
	first := slices.IndexFunc(calls, func(c faults.Call) bool { return c.What == "rename" })
	for mode, want := range map[faults.Mode]string{
		faults.CrashBefore: "", faults.CrashAfter: "one", faults.Error: "", faults.ErrorAfter: "",
	} {
		dir := t.TempDir()
		run := faults.Stop(first, mode)
		end := run.Files(dir)
		err := working(dir)
		end()
		crash := strings.HasPrefix(string(mode), "crash")
		if errors.Is(err, faults.ErrCrashed) != crash || errors.Is(err, faults.ErrInjected) == crash {
			t.Errorf("%s: %v", mode, err)
		}
		if at, reached := run.Stopped(); !reached || at != calls[first] {
			t.Errorf("%s: stopped at %v", mode, at)
		}
		text, _ := os.ReadFile(filepath.Join(dir, "file"))
		left, _ := filepath.Glob(filepath.Join(dir, ".*.tmp"))
		if string(text) != want || (len(left) > 0) != (mode == faults.CrashBefore) {
			t.Errorf("%s: the file is %q, and beside it lie %q", mode, text, left)
		}
	}
}

// A power cut leaves the entries of a folder as they were when it was synced last, also where the run has ended.
func TestPowerCut(t *testing.T) {
	recorded := faults.Record()
	dir := t.TempDir()
	end := recorded.Files(dir)
	if err := working(dir); err != nil {
		t.Fatal(err)
	}
	end()
	want := ""
	calls := recorded.Calls()
	for n := 0; n <= len(calls); n++ {
		if n < len(calls) && calls[n].What == "sync folder" {
			want = map[string]string{"": "one", "one": "two"}[want]
		}
		dir := t.TempDir()
		end := faults.Stop(n, faults.PowerCut).Files(dir)
		err := working(dir)
		end()
		text, _ := os.ReadFile(filepath.Join(dir, "file"))
		left, _ := os.ReadDir(dir)
		if string(text) != want || len(left) > 1 || (err == nil) != (n == len(calls)) {
			t.Errorf("call %d of %v: the file is %q, want %q; there are %v: %v", n, calls, text, want, left, err)
		}
	}
	if want != "two" {
		t.Errorf("the last is %q", want)
	}
}

// What nobody synced is lost in a power cut, though its name may be durable; and what was moved is where it was durable.
func TestPowerCutOfWhatWasNotSynced(t *testing.T) {
	dir := t.TempDir()
	path := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	if err := errors.Join(os.Mkdir(path("a"), 0o700), os.Mkdir(path("b"), 0o700), os.WriteFile(path("a", "old"), []byte("old"), 0o600)); err != nil {
		t.Fatal(err)
	}
	end := faults.Stop(1000, faults.PowerCut).Files(dir)
	err := errors.Join(
		os.WriteFile(path("temp"), []byte("not synced"), 0o600), atomicfile.Rename(path("temp"), path("empty")),
		atomicfile.Rename(path("a"), path("b", "a")), os.WriteFile(path("b", "a", "lost"), nil, 0o600),
		os.Mkdir(path("c"), 0o700), atomicfile.Write(path("c", "file"), []byte("synced"), 0o600),
	)
	end()
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		text, _ := os.ReadFile(path)
		left = append(left, strings.TrimPrefix(filepath.ToSlash(path), filepath.ToSlash(dir))+" "+string(text))
		return err
	})
	if got := strings.Join(left, ","); got != " ,/b ,/b/a ,/b/a/old old,/empty " {
		t.Errorf("left are %q", got)
	}
}

// A crash amid a writing leaves a part of the content.
func TestCrashAmid(t *testing.T) {
	dir := t.TempDir()
	run := faults.Stop(1, faults.CrashAmid) // after the file was made
	end := run.Files(dir)
	err := working(dir)
	end()
	left, _ := filepath.Glob(filepath.Join(dir, ".file.*.tmp"))
	if !errors.Is(err, faults.ErrCrashed) || len(left) != 1 {
		t.Fatalf("%v; left are %q", err, left)
	}
	if text, _ := os.ReadFile(left[0]); len(text) == 0 || string(text) == "one" {
		t.Errorf("it holds %q", text)
	}
}

func TestRequests(t *testing.T) {
	for mode, want := range map[faults.Mode]struct {
		served  int  // of three requests, the second of which is repeated once
		crashed bool // so that the third is not served
	}{
		"": {4, false}, faults.CrashBefore: {1, true}, faults.CrashAfter: {2, true},
		faults.Error: {2, false}, faults.Timeout: {3, false}, faults.AnswerLost: {3, false},
	} {
		served := 0
		run := faults.Stop(1, mode)
		if mode == "" {
			run = faults.Record()
		}
		client := run.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			served++
			_, _ = io.Copy(w, r.Body)
		}))
		ask := func(path string) (string, error) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://one.example"+path, bytes.NewReader([]byte("a long answer")))
			if err != nil {
				t.Fatal(err)
			}
			answer, err := client.RoundTrip(r)
			if err != nil {
				return "", err
			}
			text, err := io.ReadAll(answer.Body)
			return string(text), errors.Join(err, answer.Body.Close())
		}
		if text, err := ask("/1"); err != nil || text != "a long answer" {
			t.Errorf("%s: the first: %q, %v", mode, text, err)
		}
		for try := range 2 {
			text, err := ask("/2")
			if (err == nil) != (mode == "") || text == "a long answer" && mode != "" {
				t.Errorf("%s: the second, try %d: %q, %v", mode, try, text, err)
			}
			if half := mode == faults.AnswerLost && try == 0; half != (err != nil && text != "") {
				t.Errorf("%s: the second, try %d: %q of the answer came", mode, try, text)
			}
		}
		if _, err := ask("/3"); (err != nil) != want.crashed || err != nil && !errors.Is(err, faults.ErrCrashed) {
			t.Errorf("%s: the third: %v", mode, err)
		}
		if served != want.served {
			t.Errorf("%s: %d requests were served, want %d", mode, served, want.served)
		}
	}
}

func TestSigner(t *testing.T) {
	key, err := keys.Generate(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []faults.Mode{faults.Error, faults.CrashBefore, faults.CrashAfter} {
		signer := faults.Stop(0, mode).Signer(key)
		if signature, err := signer.Sign(t.Context(), []byte("m")); err == nil || signature != nil {
			t.Errorf("%s: %x, %v", mode, signature, err)
		}
		if _, err := signer.Sign(t.Context(), []byte("m")); (err == nil) != (mode == faults.Error) {
			t.Errorf("%s: the second signature: %v", mode, err)
		}
	}
}
