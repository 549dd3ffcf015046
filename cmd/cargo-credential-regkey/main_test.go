// The program started by hand, and what it is made of.

package main_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestByHand(t *testing.T) {
	u := newUser(t)
	for _, test := range []struct {
		args   []string
		code   int
		stdout string // its beginning
		stderr string // its beginning
	}{
		{nil, 2, "", "cargo-credential-regkey signs what cargo asks"},
		{[]string{"get"}, 2, "", "cargo-credential-regkey signs what cargo asks"},
		{[]string{"--cargo-plugin", "--key", "x"}, 2, "", "cargo-credential-regkey signs what cargo asks"},
		{[]string{"--help"}, 0, "cargo-credential-regkey signs what cargo asks", ""},
		{[]string{"--version"}, 0, "cargo-credential-regkey ", ""},
	} {
		var out, stderr strings.Builder
		cmd := u.command(test.args...)
		cmd.Stdout, cmd.Stderr = &out, &stderr
		err := cmd.Run()
		code := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		} else {
			check(t, err)
		}
		if code != test.code || !strings.HasPrefix(out.String(), test.stdout) || (test.stdout == "") != (out.String() == "") ||
			!strings.HasPrefix(stderr.String(), test.stderr) || (test.stderr == "") != (stderr.String() == "") {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q", test.args, code, out.String(), stderr.String())
		}
		if test.code == 2 && !strings.Contains(stderr.String(), `credential-provider = ["`+program+`"]`) {
			t.Errorf("%q does not say how to configure it: %s", test.args, stderr.String())
		}
	}
}

// What is not linked cannot be attacked and need not be initialised.
func TestStaysLean(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	check(t, err)
	deps := strings.Fields(string(out))
	if len(deps) < 50 {
		t.Fatalf("dependencies are %q", deps)
	}
	for _, dep := range deps {
		// Without "net" there are no sockets; net/url and net/netip are only text.
		if dep == "net" {
			t.Error("net is linked")
		}
		for _, unwanted := range []string{"net/http", "crypto/tls", "runtime/cgo", "text/template", "github.com/urfave", "github.com/charmbracelet", "modernc.org", "github.com/cargo-regkey/regkey/registry"} {
			if dep == unwanted || strings.HasPrefix(dep, unwanted+"/") {
				t.Errorf("%s is linked", dep)
			}
		}
	}
}
