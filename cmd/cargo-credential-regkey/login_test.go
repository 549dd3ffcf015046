// Login and logout, which have nothing to do and say so.

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

func TestLoginAndLogout(t *testing.T) {
	const pasted = "cio-pasted-by-mistake"
	enrolled, fresh := newUser(t), newUser(t)
	enrolled.enrol(t, lab(index), keys.Ed25519, "")
	tests := []struct {
		name                 string
		user                 *user
		request, out, stderr string
	}{
		{"login", enrolled, login(index, `,"login-url":"https://crates.example.com/me"`), `{"Ok":{"kind":"login"}}`,
			`lab needs no login: each request is signed with key "laptop"`},
		{"login with a token", enrolled, login(index, `,"token":"`+pasted+`"`),
			`{"Err":{"kind":"other","message":"lab needs no token: regkey signs each request with key \"laptop\"; the token that you gave was not kept","caused-by":[]}}`, ""},
		{"logout", enrolled, logout(index), `{"Ok":{"kind":"logout"}}`,
			`no token is kept for lab, so there is none to forget; key "laptop" can still sign: to end that, run regkey revoke`},
		{"login, not enrolled", fresh, login(index, `,"token":"`+pasted+`"`), `{"Err":{"kind":"url-not-supported"}}`,
			index + " is not enrolled: run regkey enroll --registry " + index},
		{"logout, not enrolled", fresh, logout(index), `{"Err":{"kind":"url-not-supported"}}`,
			index + " is not enrolled: there is nothing to log out of"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := test.user.talk(t, test.request)
			if want := "{\"v\":[1]}\n" + test.out + "\n"; r.out != want {
				t.Errorf("answer is %s instead of %s", r.out, want)
			}
			if want := strings.TrimSuffix("regkey: "+test.stderr+"\n", "regkey: \n"); r.stderr != want {
				t.Errorf("stderr is %q instead of %q", r.stderr, want)
			}
			if strings.Contains(r.out+r.stderr, pasted) {
				t.Error("the token is told")
			}
		})
	}
	err := filepath.WalkDir(filepath.Dir(enrolled.home), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), pasted) {
			t.Errorf("%s holds the token", path)
		}
		return err
	})
	check(t, err)
}
