// The everyday round: publish, index, download, yank, owners, search, over real HTTP.

package registry_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registry/crate"
	"github.com/cargo-regkey/regkey/token"
)

func TestEverydayRound(t *testing.T) {
	for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.P384} {
		t.Run(algorithm.String(), func(t *testing.T) {
			l := newLab(t)
			key := generate(t, algorithm)
			l.enrol("team", key)
			demo := newSample(t, "My_Demo", "0.1.0")
			published := l.want(l.publish(key, demo), 200, "")
			if want := `{"warnings":{"invalid_badges":[],"invalid_categories":[],"other":[]}}`; strings.TrimSpace(string(published.body)) != want {
				t.Errorf("publish answers %s", published.body)
			}

			index := l.want(l.ask("GET", "/index/my/_d/my_demo", "", nil), 200, "")
			entry, err := crate.ParseEntry(bytes.TrimSuffix(index.body, []byte("\n")))
			if err != nil || entry.Name != "My_Demo" || entry.Checksum != demo.checksum || entry.Yanked {
				t.Fatalf("index line %s (%v)", index.body, err)
			}
			file := l.want(l.ask("GET", "/api/v1/crates/My_Demo/0.1.0/download", "", nil), 200, "")
			if !bytes.HasSuffix(demo.body, file.body) || len(file.body) == 0 {
				t.Error("another file came back than was published")
			}

			for _, change := range []struct {
				method, verb string
				op           token.Operation
				yanked       bool
			}{{"DELETE", "yank", token.Yank, true}, {"DELETE", "yank", token.Yank, true}, {"PUT", "unyank", token.Unyank, false}} {
				got := l.ask(change.method, "/api/v1/crates/My_Demo/0.1.0/"+change.verb, l.mint(key, token.Request{Operation: change.op, Name: "My_Demo", Version: "0.1.0"}), nil)
				l.want(got, 200, "")
				if strings.TrimSpace(string(got.body)) != `{"ok":true}` {
					t.Errorf("%s answers %s", change.verb, got.body)
				}
				entry, err := crate.ParseEntry(bytes.TrimSpace(l.ask("GET", "/index/my/_d/my_demo", "", nil).body))
				if err != nil || entry.Yanked != change.yanked {
					t.Errorf("after %s: %+v, %v", change.verb, entry, err)
				}
			}

			found := l.want(l.ask("GET", "/api/v1/crates?q=my-demo&per_page=3", "", nil), 200, "")
			if want := `{"crates":[{"name":"My_Demo","max_version":"0.1.0","description":"About My_Demo"}],"meta":{"total":1}}`; strings.TrimSpace(string(found.body)) != want {
				t.Errorf("search answers %s", found.body)
			}
			l.want(l.publish(key, newSample(t, "My_Demo", "0.2.0-rc.1")), 200, "")
			l.want(l.publish(key, newSample(t, "My_Demo", "0.2.0")), 200, "")
			l.want(l.yank(key, "My_Demo", "0.2.0"), 200, "")
			if found := l.ask("GET", "/api/v1/crates?q=demo", "", nil); !strings.Contains(string(found.body), `"max_version":"0.1.0"`) {
				t.Errorf("search shows %s, though 0.2.0 is yanked", found.body)
			}
			if leftovers, err := os.ReadDir(l.db.Uploads()); err != nil || len(leftovers) != 0 {
				t.Errorf("uploads left behind: %v, %v", leftovers, err)
			}
		})
	}
}

func TestIndexCaching(t *testing.T) {
	l := newLab(t)
	key := generate(t, keys.Ed25519)
	l.enrol("team", key)
	l.want(l.publish(key, newSample(t, "demo", "0.1.0")), 200, "")
	const path = "/index/de/mo/demo"
	fresh := l.want(l.ask("GET", path, "", nil), 200, "")
	if fresh.header.Get("Last-Modified") != "" {
		t.Error("the time of change is told while its second may see another change")
	}
	l.clock.pass(time.Minute)
	first := l.ask("GET", path, "", nil)
	tag, modified := first.header.Get("ETag"), first.header.Get("Last-Modified")
	if tag == "" || modified == "" || tag != fresh.header.Get("ETag") {
		t.Fatalf("ETag %q, Last-Modified %q", tag, modified)
	}
	for _, header := range [][]string{{"If-None-Match", tag}, {"If-Modified-Since", modified}} {
		if again := l.ask("GET", path, "", nil, header...); again.status != http.StatusNotModified || len(again.body) != 0 {
			t.Errorf("with %v: %v", header, again)
		}
	}
	l.want(l.yank(key, "demo", "0.1.0"), 200, "")
	if changed := l.ask("GET", path, "", nil, "If-None-Match", tag); changed.status != 200 || changed.header.Get("ETag") == tag {
		t.Errorf("after a change: %v, %v", changed, changed.header)
	}
	config := l.ask("GET", "/index/config.json", "", nil)
	if again := l.ask("GET", "/index/config.json", "", nil, "If-None-Match", config.header.Get("ETag")); again.status != http.StatusNotModified {
		t.Errorf("config.json again: %v", again)
	}
}

func TestOnlyTheOnePathOfAnIndexFile(t *testing.T) {
	l := newLab(t)
	key := generate(t, keys.Ed25519)
	l.enrol("team", key)
	l.want(l.publish(key, newSample(t, "demo", "0.1.0")), 200, "")
	for _, path := range []string{
		"/index/", "/index/demo", "/index/de/demo", "/index/de/mo/Demo", "/index/DE/MO/demo", "/index/de/mo/demo/", "/index/de/mo/dem",
		"/index/de/mo/%2e%2e/demo", "/index/de/mo/demo%00", "/index/..%2fregistry.db",
	} {
		if got := l.ask("GET", path, "", nil); got.status != 404 {
			t.Errorf("%s answers %v", path, got)
		}
	}
	for _, path := range []string{
		"/api/v1/crates/Demo/0.1.0/download", "/api/v1/crates/demo/0.1/download", "/api/v1/crates/demo/0.1.0+x/download",
		"/api/v1/crates/..%2f..%2fregistry.db/0.1.0/download", "/api/v1/crates/demo/..%2f0.1.0/download",
	} {
		l.want(l.ask("GET", path, "", nil), 404, "version-unknown")
	}
	for _, path := range []string{"/", "/registry.db", "/crates", "/api", "/api/v1/crates/demo", "/uploads/"} {
		l.want(l.ask("GET", path, "", nil), 404, "not-found")
	}
}

func TestDiscovery(t *testing.T) {
	for _, closed := range []bool{false, true} {
		l := newLab(t, func(c *registry.Config) { c.AuthRequired, c.Challenge, c.Window = closed, closed, 2*time.Minute })
		key := generate(t, keys.Ed25519)
		l.enrol("team", key)
		var authorization string
		if closed {
			refused := l.want(l.ask("GET", "/index/config.json", "", nil), 401, "token-missing")
			if got, want := refused.header.Get("WWW-Authenticate"), `Cargo login_url="`+l.url+`/me"`; got != want {
				t.Errorf("www-authenticate: %s, want %s", got, want)
			}
			authorization = l.mint(key, token.Request{Operation: token.Read})
		}
		type discovery struct {
			Version   int      `json:"version"`
			Index     string   `json:"index"`
			Former    []string `json:"former"`
			API       string   `json:"api"`
			Tokens    []string `json:"tokens"`
			MaxAge    int      `json:"max-age"`
			Bootstrap []string `json:"bootstrap"`
			Challenge bool     `json:"challenge"`
		}
		var config struct {
			Download     string    `json:"dl"`
			API          string    `json:"api"`
			AuthRequired bool      `json:"auth-required"`
			Regkey       discovery `json:"regkey"`
		}
		var open struct {
			Regkey discovery `json:"regkey"`
		}
		strict := json.RejectUnknownMembers(true)
		if err := json.Unmarshal(l.want(l.ask("GET", "/index/config.json", authorization, nil), 200, "").body, &config, strict); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(l.want(l.ask("GET", "/.well-known/regkey.json", "", nil), 200, "").body, &open, strict); err != nil {
			t.Fatal(err)
		}
		d := config.Regkey
		if config.API != l.url || config.Download != l.url+"/api/v1/crates" || config.AuthRequired != closed || d.Challenge != closed ||
			d.Index != "sparse+"+l.url+"/index/" || d.API != l.url+api || d.MaxAge != 120 || d.Former == nil || len(d.Tokens) != 2 || d.Version != 1 || len(d.Bootstrap) == 0 {
			t.Errorf("config.json says %+v", config)
		}
		if open.Regkey.Index != d.Index || open.Regkey.API != d.API {
			t.Errorf("regkey.json says %+v", open)
		}
	}
}

func TestAuthRequiredCoversEveryRead(t *testing.T) {
	l := newLab(t, func(c *registry.Config) { c.AuthRequired = true })
	key := generate(t, keys.Ed25519)
	l.enrol("team", key)
	l.want(l.publish(key, newSample(t, "demo", "0.1.0")), 200, "")
	read := l.mint(key, token.Request{Operation: token.Read})
	for _, path := range []string{
		"/index/config.json", "/index/de/mo/demo", "/api/v1/crates/demo/0.1.0/download", "/api/v1/crates?q=demo",
		api + "/accounts/team/keysets", api + "/accounts/team/keysets/latest", api + "/keys/" + key.Public().ID().String(),
	} {
		l.want(l.ask("GET", path, "", nil), 401, "token-missing")
		l.want(l.ask("GET", path, "Bearer secret", nil), 403, "token-malformed")
		l.want(l.ask("GET", path, read, nil), 200, "")
	}
	for _, path := range []string{"/me", "/.well-known/regkey.json", api + "/challenge"} {
		l.want(l.ask("GET", path, "", nil), 200, "")
	}
	l.clock.pass(6 * time.Minute)
	l.want(l.ask("GET", "/index/de/mo/demo", read, nil), 403, "token-expired")
}

func TestRegistryBelowAPath(t *testing.T) {
	l := newLab(t, func(c *registry.Config) { c.URL += "/rust/" })
	if want := "sparse+" + l.url + "/rust/index/"; l.server.Index() != want {
		t.Errorf("index %s, want %s", l.server.Index(), want)
	}
	for _, path := range []string{"/rust/index/config.json", "/index/config.json"} {
		l.want(l.ask("GET", path, "", nil), 200, "")
	}
}

func TestOpenRefusesURLs(t *testing.T) {
	l := newLab(t)
	for _, url := range []string{"", "crates.example.com", "ftp://a", "https://", "https://u:p@a", "https://a/?q", "https://a/#f", "https://a\"b", "https://a b"} {
		if _, err := registry.Open(t.Context(), registry.Config{Storage: l.db, URL: url}); err == nil {
			t.Errorf("the URL %q was taken", url)
		}
	}
}

func TestMovedRegistry(t *testing.T) {
	l := newLab(t)
	key := generate(t, keys.Ed25519)
	team := l.enrol("team", key)
	before := l.server.Index()
	old := l.mint(key, newSample(t, "demo", "0.1.0").request())
	l.open()
	if l.server.Index() == before {
		t.Fatal("the registry has not moved")
	}
	demo := newSample(t, "demo", "0.1.0")
	l.want(l.ask("PUT", "/api/v1/crates/new", old, demo.body), 403, "token-wrong-registry")
	l.want(l.publish(key, demo), 200, "")
	// A document that names the former URL is as good as one that names the new one.
	next := team.draft(team.standing.Keys...)
	next.Registry = before
	team.submit(next, 201, "", key)
	if config := l.ask("GET", "/index/config.json", "", nil); !strings.Contains(string(config.body), `"former":["`+before+`"]`) {
		t.Errorf("config.json says %s", config.body)
	}
}

func TestDataFolder(t *testing.T) {
	l := newLab(t)
	key := generate(t, keys.Ed25519)
	l.enrol("team", key)
	demo := newSample(t, "demo", "0.1.0")
	l.want(l.publish(key, demo), 200, "")
	file, err := os.ReadFile(filepath.Join(l.dir, "crates", demo.checksum[:2], demo.checksum+".crate"))
	if err != nil || !bytes.HasSuffix(demo.body, file) {
		t.Errorf("the crate file is not where the documentation says: %v", err)
	}
}
