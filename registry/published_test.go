// What one key has published, as its owner asks after it was stolen.

package registry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/registryclient"
	"github.com/cargo-regkey/regkey/token"
)

func TestPublished(t *testing.T) {
	s := newScene(t)
	path := api + "/keys/" + s.key.Public().ID().String() + "/published"
	s.clock.pass(time.Hour)
	s.want(s.publish(s.key, s.next), 200, "")
	s.want(s.yank(s.key, "demo", "0.1.0"), 200, "")
	second := s.clock.now().Truncate(time.Second)
	s.clock.pass(time.Hour)
	s.want(s.publish(s.key, newSample(t, "Another_One", "1.0.0")), 200, "")
	s.want(s.publish(s.theirs, newSample(t, "theirs", "1.0.0")), 200, "")
	check(t, s.operator.Delete(t.Context(), "Another_One", "1.0.0"))
	// It is asked when the key has ended.
	s.want(s.postNote("/revocations", s.revocation(s.key.Public().ID(), s.key, enroll.Compromised)), 201, "")

	for query, want := range map[string]string{
		"":                                      "demo 0.1.0 yanked, demo 0.2.0, Another_One 1.0.0 deleted",
		"?since":                                "demo 0.1.0 yanked, demo 0.2.0, Another_One 1.0.0 deleted",
		"?since=" + second.Format(time.RFC3339): "demo 0.2.0, Another_One 1.0.0 deleted",
		"?since=" + second.Add(time.Second-1).Format(time.RFC3339Nano): "demo 0.2.0, Another_One 1.0.0 deleted",
		"?since=" + second.Add(time.Second).Format(time.RFC3339):       "Another_One 1.0.0 deleted",
		"?since=" + second.Format("2006-01-02T15:04:05") + "%2B01:00":  "demo 0.1.0 yanked, demo 0.2.0, Another_One 1.0.0 deleted",
		"?since=" + second.Add(24*time.Hour).Format(time.RFC3339):      "",
		"?skip=1": "demo 0.2.0, Another_One 1.0.0 deleted",
		"?skip=9": "",
		"?skip=1&since=" + second.Format(time.RFC3339): "Another_One 1.0.0 deleted",
	} {
		var said struct {
			Published []struct {
				Name     string    `json:"name"`
				Version  string    `json:"vers"`
				Checksum string    `json:"cksum"`
				At       time.Time `json:"at"`
				Yanked   bool      `json:"yanked"`
				Deleted  bool      `json:"deleted"`
			} `json:"published"`
			More bool `json:"more"`
		}
		got := s.want(s.ask("GET", path+query, "", nil), 200, "")
		if err := json.Unmarshal(got.body, &said, json.RejectUnknownMembers(true)); err != nil || said.More || !strings.Contains(string(got.body), `"published":[`) {
			t.Fatalf("%s: %s (%v)", query, got, err)
		}
		var found []string
		for _, v := range said.Published {
			text := v.Name + " " + v.Version
			if v.Yanked {
				text += " yanked"
			}
			if v.Deleted {
				text += " deleted"
			}
			if len(v.Checksum) != 64 || v.At.IsZero() {
				t.Errorf("%s: %+v", query, v)
			}
			found = append(found, text)
		}
		if got := strings.Join(found, ", "); got != want {
			t.Errorf("%s shows %q, want %q", query, got, want)
		}
	}
	for _, query := range []string{"?since=yesterday", "?since=2026-11-22", "?skip=-1", "?skip=x", "?skip=99999999999999999999"} {
		s.want(s.ask("GET", path+query, "", nil), 400, "request-invalid")
	}
	for _, key := range []string{generate(t, keys.Ed25519).Public().ID().String(), "nonsense"} {
		s.want(s.ask("GET", api+"/keys/"+key+"/published", "", nil), 404, "key-unknown")
	}
	none := s.want(s.ask("GET", api+"/keys/"+s.limited.Public().ID().String()+"/published", "", nil), 200, "")
	if got := strings.TrimSpace(string(none.body)); got != `{"published":[],"more":false}` {
		t.Errorf("of a key that has published nothing is shown %s", got)
	}
}

// More than fits into one answer comes in several, each version once.
func TestPublishedInBatches(t *testing.T) {
	s := newScene(t)
	const many = 2500
	update := func(tx *storage.Tx) error {
		check(t, tx.CreateCrate(t.Context(), storage.Crate{Canonical: "many", Name: "many", Path: "many", Created: s.clock.now()}, "team"))
		for i := range many {
			version := fmt.Sprintf("0.0.%d", i)
			check(t, tx.SaveVersion(t.Context(), storage.Version{
				Crate: "many", Precedence: version, Version: version, Checksum: s.demo.checksum, Line: "{}", Account: "team",
				KeyID: s.limited.Public().ID().String(), Published: s.clock.now().Add(time.Duration(i/100) * time.Second),
			}))
		}
		return nil
	}
	check(t, s.db.Update(t.Context(), update))
	found, more, err := registryclient.New(s.server.Index(), registryclient.Options{}).Published(t.Context(), s.limited.Public().ID(), time.Time{})
	if err != nil || more || len(found) != many {
		t.Fatalf("%d versions, more %v (%v)", len(found), more, err)
	}
	for i, v := range found {
		if v.Version != fmt.Sprintf("0.0.%d", i) {
			t.Fatalf("number %d is %s", i, v.Version)
		}
	}
}

func TestPublishedIsReadLikeTheKey(t *testing.T) {
	l := newLab(t, func(c *registry.Config) { c.AuthRequired = true })
	key := generate(t, keys.Ed25519)
	l.enrol("team", key)
	path := api + "/keys/" + key.Public().ID().String() + "/published"
	l.want(l.ask("GET", path, "", nil), 401, "token-missing")
	l.want(l.ask("GET", path, l.mint(key, token.Request{Operation: token.Read}), nil), 200, "")
}
