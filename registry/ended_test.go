// From the moment at which a key has ended, nothing that it signed is good, whenever it signed it; and what narrows a key holds for
// every operation.

package registry_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/token"
)

// An operation as cargo asks for it.
type operation struct {
	name, method, path string
	request            token.Request
	body               []byte
}

// operations are all changes that a key of the scene's team can ask for on a crate.
func operations(t *testing.T, crate string) []operation {
	fresh := newSample(t, crate, "9.0.0")
	return []operation{
		{"publish", "PUT", "/api/v1/crates/new", fresh.request(), fresh.body},
		{"yank", "DELETE", "/api/v1/crates/" + crate + "/0.1.0/yank", token.Request{Operation: token.Yank, Name: crate, Version: "0.1.0"}, nil},
		{"unyank", "PUT", "/api/v1/crates/" + crate + "/0.1.0/unyank", token.Request{Operation: token.Unyank, Name: crate, Version: "0.1.0"}, nil},
		{"owners", "GET", "/api/v1/crates/" + crate + "/owners", token.Request{Operation: token.Owners, Name: crate}, nil},
		{"an owner more", "PUT", "/api/v1/crates/" + crate + "/owners", token.Request{Operation: token.Owners, Name: crate}, users("other")},
		{"an owner less", "DELETE", "/api/v1/crates/" + crate + "/owners", token.Request{Operation: token.Owners, Name: crate}, users("team")},
	}
}

func (s *scene) do(o operation, authorization string) answer {
	s.t.Helper()
	return s.ask(o.method, o.path, authorization, o.body)
}

func TestTokensMintedBeforeTheEnd(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(s *scene)
		code string
	}{
		"revoked": {func(s *scene) {
			s.want(s.postNote("/revocations", s.revocation(s.key.Public().ID(), s.key, enroll.Lost)), 201, "")
		}, "key-revoked"},
		"dropped": {func(s *scene) {
			k := s.team.draft(manages(s.spare))
			k.Revoked = []keys.ID{s.revoked.Public().ID()}
			s.team.submit(k, 201, "", s.key, s.spare)
		}, "key-unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, func(c *registry.Config) { c.AuthRequired = true })
			read := s.mint(s.key, token.Request{Operation: token.Read})
			const index = "/index/de/mo/demo"
			for range 2 { // the second time its signature is known to be good already
				s.want(s.ask("GET", index, read, nil), 200, "")
			}
			all, tokens := operations(t, "demo"), map[string]string{}
			for _, o := range all {
				tokens[o.name] = s.mint(s.key, o.request)
			}
			test.end(s)
			s.want(s.ask("GET", index, read, nil), 403, test.code)
			s.want(s.ask("GET", "/api/v1/crates/demo/0.1.0/download", read, nil), 403, test.code)
			for _, o := range all {
				if got := s.do(o, tokens[o.name]); got.status != 403 || got.code != test.code {
					t.Errorf("%s answers %v, want %s", o.name, got, test.code)
				}
			}
		})
	}
}

// A request whose token was judged, and that has not been carried out yet, is judged again.
func TestOwnersInFlight(t *testing.T) {
	s := newScene(t)
	reader, writer := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), "PUT", s.url+"/api/v1/crates/demo/owners", reader)
	check(t, err)
	body := users("other")
	request.ContentLength = int64(len(body))
	text := s.mint(s.key, token.Request{Operation: token.Owners, Name: "demo"})
	request.Header.Set("Authorization", text)
	parsed, err := token.Parse(text)
	check(t, err)
	go func() {
		_, _ = writer.Write(body[:3])
		for t.Context().Err() == nil { // the token is spent once the headers are judged
			if _, err := s.db.DoneBy(context.Background(), parsed.ReplayKey(s.key.Public())); err == nil {
				break
			}
		}
		s.want(s.postNote("/revocations", s.revocation(s.key.Public().ID(), s.key, enroll.Compromised)), 201, "")
		_, _ = writer.Write(body[3:])
		_ = writer.Close()
	}()
	response, err := s.client.Do(request)
	check(t, err)
	defer func() { _ = response.Body.Close() }()
	said, _ := io.ReadAll(response.Body)
	if response.StatusCode != 403 || !strings.Contains(string(said), "key-revoked") {
		t.Errorf("answered %d %s", response.StatusCode, said)
	}
	if owners, err := s.db.Owners(t.Context(), "demo"); err != nil || strings.Join(owners, " ") != "team" {
		t.Errorf("the owners are %q (%v)", owners, err)
	}
}

// A key for some crates can do nothing about others, whether they exist or not, and neither can one for some operations do others.
func TestLimitsHoldForEveryOperation(t *testing.T) {
	s := newScene(t)
	some, none := generate(t, keys.Ed25519), generate(t, keys.Ed25519)
	until := s.clock.now().Truncate(time.Second).Add(time.Hour)
	k := s.team.draft(manages(s.key),
		enroll.Entry{Key: some.Public(), Can: enroll.CanEverything &^ enroll.Manage, Crates: []string{"only_*", "Just-This"}, Until: until},
		enroll.Entry{Key: none.Public(), Can: enroll.Read, Until: until})
	k.Revoked = []keys.ID{s.revoked.Public().ID()}
	k.Sort()
	s.team.submit(k, 201, "", s.key, some, none)
	for _, name := range []string{"demo", "fresh", "only", "just-this-not"} {
		for _, o := range operations(t, name) {
			for _, key := range []*keys.SoftwareKey{some, none} {
				if got := s.do(o, s.mint(key, o.request)); got.status != 403 || got.code != "key-not-allowed" {
					t.Errorf("%s of %s answers %v", o.name, name, got)
				}
			}
		}
	}
	// Names are compared as the registry compares crates.
	for _, name := range []string{"only-me", "Only_You", "just_this"} {
		s.want(s.publish(some, newSample(t, name, "0.1.0")), 200, "")
		for _, o := range operations(t, name) {
			if got := s.do(o, s.mint(some, o.request)); got.code != "" && o.name != "an owner less" {
				t.Errorf("%s of %s answers %v", o.name, name, got)
			}
		}
		s.want(s.publish(none, newSample(t, name, "0.2.0")), 403, "key-not-allowed")
	}
	// A key that may not manage neither signs keysets nor ends others, whatever else it may do.
	widened := s.team.draft(s.team.standing.Keys...)
	for i := range widened.Keys {
		widened.Keys[i].Crates = nil
	}
	s.team.submit(widened, 403, "keyset-unmanaged", some)
	s.want(s.postNote("/revocations", s.revocation(none.Public().ID(), some, enroll.Lost)), 403, "revocation-signer")

	s.clock.pass(time.Hour + time.Second)
	for _, o := range operations(t, "only-me") {
		if got := s.do(o, s.mint(some, o.request)); got.status != 403 || got.code != "key-expired" {
			t.Errorf("past its end %s answers %v", o.name, got)
		}
	}
}
