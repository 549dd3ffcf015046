// How the provider fails: the sentences that cargo shows.

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

func TestFailures(t *testing.T) {
	const read = "read"
	tests := []struct {
		name    string
		prepare func(t *testing.T) *user
		request string
		want    string // kind, message and causes; HOME stands for the home
	}{
		{"key is gone", func(t *testing.T) *user {
			u := newUser(t)
			u.record(t, lab(index))
			return u
		}, read, `other
key "laptop", which signs for lab, is not here: bring its file back, or enrol another key with regkey enroll --registry lab --key NAME
unlocking key "laptop": reading "HOME/keys/laptop.key": no such file or directory`},
		{"no key is left", func(t *testing.T) *user {
			u := newUser(t)
			e := lab(index)
			e.Key, e.Name = "", ""
			u.record(t, e)
			return u
		}, read, "other\nno key of this machine is enrolled at " + index + " any more: run regkey enroll --registry " + index},
		{"key file is open to others", func(t *testing.T) *user {
			u := newUser(t)
			u.enrol(t, lab(index), keys.Ed25519, "")
			check(t, os.Chmod(filepath.Join(u.home, "keys", "laptop.key"), 0o644))
			return u
		}, read, `other
key "laptop", which signs for lab, cannot be opened
unlocking key "laptop": reading "HOME/keys/laptop.key": its mode is 0644, so that others may read or write it: chmod 600 makes it yours alone`},
		{"damaged enrolment", func(t *testing.T) *user {
			u := newUser(t)
			u.enrol(t, lab(index), keys.Ed25519, "")
			check(t, os.WriteFile(u.enrolmentFile(index), []byte("key = 'x'\nmore = 1\n"), 0o600))
			return u
		}, read, "other\nwhat regkey keeps about this registry cannot be read: repair or remove the file, then enrol again\n…"},
		{"relative home", func(t *testing.T) *user { return newUser(t).set("REGKEY_HOME", "here") }, read,
			"other\nregkey does not know where its keys are: set REGKEY_HOME to an absolute path\n…"},
		{"passphrase and no terminal", func(t *testing.T) *user {
			u := newUser(t)
			u.enrol(t, lab(index), keys.Ed25519, "correct horse")
			return u
		}, read, "other\n" + `key "laptop" needs a passphrase and there is no terminal to ask on: set REGKEY_PASSPHRASE_FILE to a file that holds it` + "\n…"},
		{"wrong passphrase in the file", func(t *testing.T) *user {
			u := newUser(t)
			u.enrol(t, lab(index), keys.Ed25519, "correct horse")
			return u.set("REGKEY_PASSPHRASE_FILE", file(t, "battery staple\n"))
		}, read, "other\n" + `REGKEY_PASSPHRASE_FILE does not hold the passphrase of key "laptop"`},
		{"no passphrase file", func(t *testing.T) *user {
			u := newUser(t)
			u.enrol(t, lab(index), keys.Ed25519, "correct horse")
			return u.set("REGKEY_PASSPHRASE_FILE", "/nowhere/passphrase")
		}, read, "other\n" + `REGKEY_PASSPHRASE_FILE cannot be read` + "\n" + `reading passphrase file "/nowhere/passphrase": no such file or directory`},
		{"checksum that is none", func(t *testing.T) *user {
			u := newUser(t)
			u.enrol(t, lab(index), keys.Ed25519, "")
			return u
		}, `{"v":1,"registry":{"index-url":"` + index + `"},"kind":"get","operation":"publish","name":"foo","vers":"1.2.3","cksum":"E3B0"}` + "\n",
			"other\nno token could be made to publish foo 1.2.3 to lab\nminting token: cksum is not a SHA-256 of 64 lower-case hex digits"},
		{"challenge and no regkey beside", func(t *testing.T) *user {
			u := newUser(t)
			e := lab(index)
			e.Challenge = true
			u.enrol(t, e, keys.Ed25519, "")
			return u
		}, "yank", "other\nlab wants a challenge in each token, and fetching one failed: try again, or run regkey status\n…"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			u := test.prepare(t)
			request := test.request
			if known, ok := requests(index)[request]; ok {
				request = known
			}
			cmd := u.command("--cargo-plugin")
			cmd.SysProcAttr = withoutTerminal()
			r := finish(t, cmd, request)
			got := strings.ReplaceAll(r.failure(t), u.home, "HOME")
			want, open := strings.CutSuffix(test.want, "…")
			if !strings.HasPrefix(got, want) || !open && got != want {
				t.Errorf("failure is\n%s\ninstead of\n%s", got, test.want)
			}
			if strings.Contains(r.out+r.stderr, "battery") || strings.Contains(r.out+r.stderr, "correct") {
				t.Errorf("the passphrase is told: %s%s", r.out, r.stderr)
			}
		})
	}
}
