// Package e2e runs whole programs against each other: regkey, the credential provider, the
// registry, and the real cargo where it is installed.
package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/internal/lab"
	"github.com/cargo-regkey/regkey/internal/realcargo"
)

// everyMoment is for "make kills", which leaves nothing out; the tests take every third.
var everyMoment = os.Getenv("REGKEY_KILLS") == "all"

// bin holds the programs, built once, and fixtures the one that serves virtual tokens, where it is of use.
var bin, fixtures string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "regkey-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = filepath.Join(dir, "bin")
	if err := lab.Build(context.Background(), bin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if lab.HardwareTools(context.Background()) == nil {
		fixtures = filepath.Join(dir, "fixtures")
		if err := lab.BuildTokens(context.Background(), fixtures); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// needCargo skips, with the reason, where the real cargo can't be used.
func needCargo(t *testing.T) {
	t.Helper()
	if _, _, err := realcargo.Find(); err != nil {
		t.Skipf("this test runs the real cargo, and %v", err)
	}
}

// newLab is a fresh user.
func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := lab.New(t.TempDir(), bin)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve runs a registry until the test ends. If the test fails, its log is shown.
func serve(t *testing.T, l *lab.Lab, args ...string) *lab.Registry {
	t.Helper()
	r, err := l.Serve(context.WithoutCancel(t.Context()), "registry", args...)
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, r)
	return r
}

func stopAfter(t *testing.T, r *lab.Registry) {
	t.Helper()
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Errorf("the registry did not stop gracefully: %v", err)
		}
		if t.Failed() {
			t.Logf("the registry's log:\n%s", r.Log())
		}
	})
}

// must runs a program that is to succeed, and returns what it wrote to standard output.
func must(t *testing.T, l *lab.Lab, dir, stdin, name string, args ...string) string {
	t.Helper()
	r := ends(t, l, 0, dir, stdin, name, args...)
	return r.Stdout
}

// ends runs a program that is to end with that exit code.
func ends(t *testing.T, l *lab.Lab, exit int, dir, stdin, name string, args ...string) lab.Result {
	t.Helper()
	r, err := l.Run(t.Context(), dir, stdin, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	if r.Exit != exit {
		t.Fatalf("%s %s: exit %d instead of %d\nstdout: %s\nstderr: %s", name, strings.Join(args, " "), r.Exit, exit, r.Stdout, r.Stderr)
	}
	return r
}

// enrolled makes a key and enrols it at r, which cargo calls lab.
func enrolled(t *testing.T, l *lab.Lab, r *lab.Registry, key, account string, initArgs ...string) {
	t.Helper()
	if err := r.Name("lab"); err != nil {
		t.Fatal(err)
	}
	must(t, l, "", "", "regkey", append([]string{"init", key, "--no-passphrase"}, initArgs...)...)
	code, err := r.Invite(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	must(t, l, "", code+"\n", "regkey", "enroll", "--registry", "lab", "--key", key, "--account", account, "--code-stdin")
}

// sample is a crate in l's folder.
func sample(t *testing.T, l *lab.Lab, name, version string, deps ...string) string {
	t.Helper()
	dir, err := l.Crate(name, version, "lab", deps...)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// contains fails unless text holds every part.
func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s lacks %q:\n%s", what, part, text)
		}
	}
}

// lacks fails if text holds any of the parts, and shows neither.
func lacks(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%s holds what it must not", what)
		}
	}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
