// Owners: one request for each token, never an ownerless crate, and all of a request or nothing.

package registry_test

import (
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

func TestOwners(t *testing.T) {
	s := newScene(t)
	s.want(s.owners(s.theirs, "PUT", "demo", "other"), 403, "not-an-owner")
	s.want(s.owners(s.key, "PUT", "demo", "other", "nobody"), 400, "account-unknown")
	s.want(s.owners(s.key, "PUT", "demo", "No One"), 400, "account-unknown")
	s.want(s.owners(s.key, "PUT", "demo"), 400, "request-invalid")
	s.want(s.owners(s.key, "PUT", "none", "other"), 404, "crate-unknown")
	s.want(s.yank(s.theirs, "demo", "0.1.0"), 403, "not-an-owner")

	added := s.want(s.owners(s.key, "PUT", "demo", "other"), 200, "")
	if got, want := strings.TrimSpace(string(added.body)), `{"msg":"\"other\" was added to the owners of crate \"demo\"","ok":true}`; got != want {
		t.Errorf("adding answers %s, want %s", got, want)
	}
	s.want(s.yank(s.theirs, "demo", "0.1.0"), 200, "")
	listed := s.want(s.owners(s.limitedOwners(), "GET", "demo"), 200, "")
	if body := string(listed.body); !strings.Contains(body, `"login":"other"`) || !strings.Contains(body, `"login":"team"`) || !strings.Contains(body, `"id":`) {
		t.Errorf("listing answers %s", body)
	}
	s.want(s.owners(s.theirs, "DELETE", "demo", "team", "other"), 400, "last-owner")
	s.want(s.owners(s.theirs, "DELETE", "demo", "team"), 200, "")
	s.want(s.owners(s.theirs, "DELETE", "demo", "team"), 400, "not-an-owner")
	s.want(s.owners(s.theirs, "DELETE", "demo", "other"), 400, "last-owner")
	s.want(s.publish(s.key, s.next), 403, "not-an-owner")
}

// limitedOwners is the key of an account that owns nothing: anybody with an owners key may look.
func (s *scene) limitedOwners() *keys.SoftwareKey {
	k := generate(s.t, keys.Ed25519)
	s.enrol("looker", k)
	return k
}

func TestOwnersTokenServesOneRequest(t *testing.T) {
	s := newScene(t)
	s.want(s.owners(s.key, "PUT", "demo", "other"), 200, "")
	path := "/api/v1/crates/demo/owners"
	spend := func(method string, accounts ...string) string {
		text := s.mint(s.key, token.Request{Operation: token.Owners, Name: "demo"})
		s.ask(method, path, text, users(accounts...))
		return text
	}
	s.enrol("third", generate(t, keys.Ed25519))
	for name, test := range map[string]struct {
		text, method string
		accounts     []string
		says         []string
	}{
		"add, then remove": {spend("PUT", "third"), "DELETE", []string{"other"},
			[]string{`"third" was added to the owners of crate "demo"`, "now run `cargo owner --remove other demo`"}},
		"add, then remove two": {spend("PUT", "third", "other"), "DELETE", []string{"third", "other"},
			[]string{`"other" and "third" were added to the owners of crate "demo"`, "now run `cargo owner --remove other --remove third demo`"}},
		"list, then add": {spend("GET"), "PUT", []string{"other"},
			[]string{`the owners of crate "demo" were listed`, "now run `cargo owner --add other demo`"}},
		"add, then list": {spend("PUT", "third"), "GET", nil,
			[]string{`"third" was added`, "now run `cargo owner --list demo`"}},
		"the same again": {spend("PUT", "third"), "PUT", []string{"third"}, []string{"there is nothing more to do"}},
		"a first one that failed": {spend("PUT", "nobody"), "DELETE", []string{"other"},
			[]string{"changed nothing", "now run `cargo owner --remove other demo`"}},
		"a body that is none": {spend("PUT", "third"), "DELETE", []string{}, []string{"run the command again"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.want(s.ask(test.method, path, test.text, users(test.accounts...)), 403, "owners-one-at-a-time")
			for _, words := range test.says {
				if !strings.Contains(got.detail, words) {
					t.Errorf("the detail %q lacks %q", got.detail, words)
				}
			}
		})
	}
	if got := s.owners(s.key, "GET", "demo"); !strings.Contains(string(got.body), `"other"`) {
		t.Errorf("a refused request removed an owner: %s", got.body)
	}
}
