// A registry that has moved: what names its former index URL, and which way a chain may go.

package registry_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registryclient"
	"github.com/cargo-regkey/regkey/token"
)

const (
	oldest = "sparse+https://oldest.example/index/"
	older  = "sparse+https://older.example/git/index"
)

func moved(c *registry.Config) { c.Former = []string{oldest, older} }

func TestFormerIndexes(t *testing.T) {
	l := newLab(t, moved)
	d, err := registryclient.New(l.server.Index(), registryclient.Options{}).Discover(t.Context())
	if err != nil || !slices.Equal(d.Former, []string{oldest, older}) {
		t.Errorf("discovered former URLs %q (%v)", d.Former, err)
	}
	for _, bad := range []string{"", "https:/x", "old", "sparse+https://a b/", l.server.Index()} {
		if _, err := registry.Open(t.Context(), registry.Config{Storage: l.db, URL: l.url, Former: []string{bad}}); err == nil {
			t.Errorf("the former index URL %q was taken", bad)
		}
	}
	key := generate(t, keys.Ed25519)
	l.enrol("team", key)
	for index, says := range map[string]string{oldest: "this registry has moved", older: l.server.Index(), "sparse+https://evil.example/": "check the index URL"} {
		for _, r := range []token.Request{{Operation: token.Yank, Name: "demo", Version: "0.1.0"}, {Operation: token.Read}} {
			r.Index = index
			got := l.want(l.ask("DELETE", "/api/v1/crates/demo/0.1.0/yank", l.mint(key, r), nil), 403, "token-wrong-registry")
			if !strings.Contains(got.detail, says) || !strings.Contains(got.detail, l.server.Index()) {
				t.Errorf("a token for %s is told %q", index, got.detail)
			}
		}
	}
}

// A chain may go on under the URL that it has, for what was signed before the move, or change to the present one, and not elsewhere.
func TestChainMovesOnce(t *testing.T) {
	l := newLab(t, moved)
	key, second := generate(t, keys.Ed25519), generate(t, keys.Ed25519)
	now := l.server.Index()
	code := l.invite("team")
	team := &account{lab: l, name: "team"}
	step := func(index string, status int, refused string, signers ...keys.Signer) {
		t.Helper()
		k := team.draft(manages(key))
		k.Registry = index
		team.submit(k, status, refused, signers...)
	}
	step(oldest, 201, "", code, key)
	step(older, 403, "keyset-wrong-registry", key)
	step(oldest, 201, "", key)
	step(now, 201, "", key)
	step(oldest, 403, "keyset-wrong-registry", key)
	step(now, 201, "", key)

	// So does a proposal.
	wanted := team.adding(second)
	wanted.Registry = older
	team.propose(wanted, 403, "keyset-wrong-registry", second)
	wanted.Registry = now
	team.propose(wanted, 201, "", second)
	team.submit(team.adding(second), 201, "", key, second)

	// A certificate from before any of the moves is good.
	for i, k := range []*keys.SoftwareKey{second, key} {
		index := []string{older, "sparse+https://evil.example/"}[i]
		r, err := enroll.SignRevocation(t.Context(), &enroll.Revocation{Registry: index, Key: k.Public().ID(), Reason: enroll.Lost}, k)
		check(t, err)
		if i == 0 {
			l.want(l.postNote("/revocations", r.Note), 201, "")
		} else {
			l.want(l.postNote("/revocations", r.Note), 403, "revocation-wrong-registry")
		}
	}
}

// A registry that is told of fewer former URLs than a chain names does not lock its accounts out.
func TestForgottenFormerURL(t *testing.T) {
	l := newLab(t, moved)
	key := generate(t, keys.Ed25519)
	team := &account{lab: l, name: "team"}
	first := team.draft(manages(key))
	first.Registry = oldest
	team.submit(first, 201, "", l.invite("team"), key)
	l.open(func(c *registry.Config) { c.Passing = true })
	next := team.draft(manages(key))
	next.Registry = oldest
	team.submit(next, 403, "keyset-wrong-registry", key)
	team.submit(team.draft(manages(key)), 201, "", key)
}
