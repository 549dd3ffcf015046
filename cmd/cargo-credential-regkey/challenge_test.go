// Challenges, from a regkey that lies beside the provider.

//go:build unix

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

// beside is a copy of the provider with a script as the regkey beside it, and another on PATH.
func beside(t *testing.T, script string) (provider, path string) {
	t.Helper()
	dir, path := t.TempDir(), t.TempDir()
	provider = filepath.Join(dir, "cargo-credential-regkey")
	data, err := os.ReadFile(program)
	check(t, err)
	check(t, os.WriteFile(provider, data, 0o700))
	check(t, os.WriteFile(filepath.Join(path, "regkey"), []byte("#!/bin/sh\necho from-path\n"), 0o700))
	if script != "" {
		check(t, os.WriteFile(filepath.Join(dir, "regkey"), []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	}
	return provider, path
}

func TestChallenge(t *testing.T) {
	u := newUser(t)
	enrolment := lab(index)
	enrolment.Challenge = true
	key := u.enrol(t, enrolment, keys.Ed25519, "")
	failed := "other\nlab wants a challenge in each token, and fetching one failed: try again, or run regkey status\nfetching challenge: "
	tests := []struct{ name, script, challenge, failure string }{
		{"given", `[ "$*" = "challenge --index ` + index + `" ] && echo c-123`, "c-123", ""},
		{"CRLF", `printf 'c-123\r\n'`, "c-123", ""},
		{"refused", `echo "regkey: the registry\033[2J says no" >&2; exit 3`, "", `regkey: the registry\x1b[2J says no`},
		{"failed in silence", `exit 3`, "", "exit status 3"},
		{"empty", `true`, "", "regkey printed nothing, or more than 1024 bytes"},
		{"endless", `yes | head -c 100000`, "", "regkey printed nothing, or more than 1024 bytes"},
		{"two lines", `printf 'a\nb\n'`, "", "what regkey printed is not one word of printable ASCII"},
		{"no UTF-8", `printf 'a\377\n'`, "", "what regkey printed is not one word of printable ASCII"},
		{"no regkey beside", "", "", "fork/exec "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			provider, path := beside(t, test.script)
			run := func(operation string) reply {
				cmd := u.command("--cargo-plugin")
				cmd.Path, cmd.Args[0] = provider, provider
				cmd.Env = append(cmd.Env, "PATH="+path+":"+os.Getenv("PATH"))
				return finish(t, cmd, requests(index)[operation])
			}
			for _, operation := range []string{"publish", "yank", "unyank", "owners"} {
				r := run(operation)
				if test.failure != "" {
					if got := r.failure(t); !strings.HasPrefix(got, failed+test.failure) {
						t.Errorf("failure is %q instead of %q", got, failed+test.failure)
					}
					continue
				}
				made, err := token.Verify(r.token(t), key.Public())
				check(t, err)
				if made.Claims().Challenge != test.challenge {
					t.Errorf("claims are %+v", made.Claims())
				}
			}
			// Reading needs none.
			made, err := token.Verify(run("read").token(t), key.Public())
			check(t, err)
			if made.Claims().Challenge != "" {
				t.Errorf("claims are %+v", made.Claims())
			}
		})
	}
}
