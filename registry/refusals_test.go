// Every refusal of a change has its own code and a sentence, and changes nothing.

package registry_test

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/token"
)

// scene is a registry in which there is something to do wrong.
type scene struct {
	*lab
	team, other                        *account
	key, limited, revoked, old, theirs *keys.SoftwareKey
	spare                              *keys.SoftwareKey // of nobody yet
	demo                               sample            // published
	next                               sample            // not published
}

func newScene(t *testing.T, change ...func(*registry.Config)) *scene {
	s := &scene{lab: newLab(t, change...)}
	for _, k := range []**keys.SoftwareKey{&s.key, &s.limited, &s.revoked, &s.old, &s.theirs, &s.spare} {
		*k = generate(t, keys.Ed25519)
	}
	s.team = s.enrol("team", s.key)
	keyset := s.team.draft(
		enroll.Entry{Key: s.key.Public(), Can: enroll.CanEverything},
		enroll.Entry{Key: s.limited.Public(), Can: enroll.Publish, Crates: []string{"only-*"}},
		enroll.Entry{Key: s.revoked.Public(), Can: enroll.CanByDefault},
		enroll.Entry{Key: s.old.Public(), Can: enroll.CanByDefault, Until: s.clock.now().Truncate(time.Second).Add(time.Hour)},
	)
	s.team.submit(keyset, 201, "", s.key, s.limited, s.revoked, s.old)
	s.other = s.enrol("other", s.theirs)
	s.demo, s.next = newSample(t, "demo", "0.1.0"), newSample(t, "demo", "0.2.0")
	s.want(s.publish(s.key, s.demo), 200, "")
	s.want(s.postNote("/revocations", s.revocation(s.revoked.Public().ID(), s.revoked, enroll.Lost)), 201, "")
	return s
}

func TestPublishRefusals(t *testing.T) {
	stranger := generate(t, keys.Ed25519)
	s := newScene(t)
	now := s.clock.now()
	mintAt := func(at time.Time, r token.Request) string {
		r.Index = s.server.Index()
		text, err := token.Mint(t.Context(), s.key, r, at)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	good := s.next.request()
	with := func(change func(*token.Request)) token.Request {
		r := good
		change(&r)
		return r
	}
	for name, test := range map[string]struct {
		authorization string
		body          []byte
		status        int
		code          string
	}{
		"no token":          {"", s.next.body, 401, "token-missing"},
		"a plain token":     {"cio1234567890", s.next.body, 403, "token-malformed"},
		"another format":    {"v4.local.AAAA.AAAA", s.next.body, 403, "token-algorithm"},
		"unknown key":       {s.mint(stranger, good), s.next.body, 403, "key-unknown"},
		"revoked key":       {s.mint(s.revoked, good), s.next.body, 403, "key-revoked"},
		"key for others":    {s.mint(s.limited, good), s.next.body, 403, "key-not-allowed"},
		"another signature": {spoiled(s.mint(s.key, good)), s.next.body, 403, "signature-invalid"},
		"another registry":  {s.mint(s.key, with(func(r *token.Request) { r.Index = "sparse+https://elsewhere.example/" })), s.next.body, 403, "token-wrong-registry"},
		"too old":           {mintAt(now.Add(-5*time.Minute-time.Second), good), s.next.body, 403, "token-expired"},
		"from the future":   {mintAt(now.Add(31*time.Second), good), s.next.body, 403, "token-not-yet-valid"},
		"a subject":         {s.mint(s.key, with(func(r *token.Request) { r.Subject = "me" })), s.next.body, 403, "token-wrong-subject"},
		"a read token":      {s.mint(s.key, token.Request{Operation: token.Read}), s.next.body, 403, "token-wrong-operation"},
		"a yank token":      {s.mint(s.key, token.Request{Operation: token.Yank, Name: "demo", Version: "0.2.0"}), s.next.body, 403, "token-wrong-operation"},
		"another crate":     {s.mint(s.key, with(func(r *token.Request) { r.Name = "dem0" })), s.next.body, 403, "token-wrong-crate"},
		"another version":   {s.mint(s.key, with(func(r *token.Request) { r.Version = "0.2.1" })), s.next.body, 403, "token-wrong-version"},
		"another content":   {s.mint(s.key, good), newSample(t, "demo", "0.2.0", "evil").body, 403, "token-wrong-checksum"},
		"not an owner":      {s.mint(s.theirs, good), s.next.body, 403, "not-an-owner"},
		"a version again":   {s.mint(s.key, s.demo.request()), s.demo.body, 409, "version-exists"},
		"only a new build":  {s.mint(s.key, newSample(t, "demo", "0.1.0+b").request()), newSample(t, "demo", "0.1.0+b").body, 409, "version-exists"},
		"a name too near":   {s.mint(s.theirs, newSample(t, "DEMO", "1.0.0").request()), newSample(t, "DEMO", "1.0.0").body, 409, "crate-name-taken"},
		"a cut body":        {s.mint(s.key, good), s.next.body[:len(s.next.body)-1], 400, "publish-malformed"},
		"no body":           {s.mint(s.key, good), nil, 400, "publish-malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.want(s.ask("PUT", "/api/v1/crates/new", test.authorization, test.body), test.status, test.code)
			if test.authorization != "" && strings.Contains(string(got.body), test.authorization) {
				t.Error("the refusal repeats the token")
			}
		})
	}
	s.clock.pass(2 * time.Hour)
	s.want(s.publish(s.old, s.next), 403, "key-expired")
	if lines := bytes.Count(s.ask("GET", "/index/de/mo/demo", "", nil).body, []byte("\n")); lines != 1 {
		t.Errorf("after all these refusals the index has %d lines", lines)
	}
	if strings.Contains(s.log.String(), "v4.public.") {
		t.Error("a token is in the log")
	}
	s.want(s.publish(s.key, s.next), 200, "")
}

// spoiled is a token with another signature: the last byte of the second part changed.
func spoiled(text string) string {
	parts := strings.Split(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		panic(err)
	}
	raw[len(raw)-1] ^= 1
	parts[2] = base64.RawURLEncoding.EncodeToString(raw)
	return strings.Join(parts, ".")
}

// twin is the P-384 token with the other of the two signatures that verify, (r, n−s).
func twin(text string) string {
	parts := strings.Split(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		panic(err)
	}
	s := raw[len(raw)-48:]
	new(big.Int).Sub(elliptic.P384().Params().N, new(big.Int).SetBytes(s)).FillBytes(s)
	parts[2] = base64.RawURLEncoding.EncodeToString(raw)
	return strings.Join(parts, ".")
}

func TestReplayedMutations(t *testing.T) {
	named := func(c *registry.Config) { c.URL = "https://crates.example.com" }
	l := newLab(t, named)
	key := generate(t, keys.P384)
	l.enrol("team", key)
	demo := newSample(t, "demo", "0.1.0")
	requests := []struct {
		method, path string
		request      token.Request
		body         []byte
		code         string
	}{
		{"PUT", "/api/v1/crates/new", demo.request(), demo.body, "token-replayed"},
		{"DELETE", "/api/v1/crates/demo/0.1.0/yank", token.Request{Operation: token.Yank, Name: "demo", Version: "0.1.0"}, nil, "token-replayed"},
		{"PUT", "/api/v1/crates/demo/0.1.0/unyank", token.Request{Operation: token.Unyank, Name: "demo", Version: "0.1.0"}, nil, "token-replayed"},
		{"GET", "/api/v1/crates/demo/owners", token.Request{Operation: token.Owners, Name: "demo"}, nil, "owners-one-at-a-time"},
	}
	var captured []string
	for _, r := range requests {
		text := l.mint(key, r.request)
		captured = append(captured, text)
		l.want(l.ask(r.method, r.path, text, r.body), 200, "")
	}
	for _, later := range []time.Duration{0, time.Minute, 4 * time.Minute} {
		l.clock.pass(later)
		if err := l.server.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, r := range requests {
			l.want(l.ask(r.method, r.path, captured[i], r.body), 403, r.code)
			l.want(l.ask(r.method, r.path, twin(captured[i]), r.body), 403, r.code)
		}
		l.open(named) // a restart forgets nothing
	}
	l.clock.pass(time.Minute)
	for i, r := range requests {
		if got := l.ask(r.method, r.path, captured[i], r.body); got.status != 403 {
			t.Errorf("once it has expired %s answers %v", r.path, got)
		}
	}
}

func TestAClockSetBackRevivesNoToken(t *testing.T) {
	s := newScene(t)
	text := s.mint(s.key, s.next.request())
	s.want(s.ask("PUT", "/api/v1/crates/new", text, s.next.body), 200, "")
	s.clock.pass(30 * time.Minute)
	if err := s.server.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.clock.pass(-30 * time.Minute)
	s.want(s.ask("PUT", "/api/v1/crates/new", text, s.next.body), 403, "token-replayed")
}

func TestATokenIsSpentWhateverComesOfIt(t *testing.T) {
	s := newScene(t)
	text := s.mint(s.key, s.next.request())
	s.want(s.ask("PUT", "/api/v1/crates/new", text, []byte{1, 0, 0, 0, 0}), 400, "publish-malformed")
	s.want(s.ask("PUT", "/api/v1/crates/new", text, s.next.body), 403, "token-replayed")
}

func TestOneTokenManyRequests(t *testing.T) {
	s := newScene(t)
	text := s.mint(s.key, s.next.request())
	codes := map[string]int{}
	var mutex sync.Mutex
	var group sync.WaitGroup
	for range 12 {
		group.Go(func() {
			got := s.ask("PUT", "/api/v1/crates/new", text, s.next.body)
			mutex.Lock()
			defer mutex.Unlock()
			codes[got.code]++
		})
	}
	group.Wait()
	if codes[""] != 1 || codes["token-replayed"] != 11 {
		t.Errorf("12 requests with one token: %v", codes)
	}
}

func TestOneVersionManyTokens(t *testing.T) {
	s := newScene(t)
	codes := map[string]int{}
	var mutex sync.Mutex
	var group sync.WaitGroup
	for i := range 12 {
		upload := newSample(t, "fresh", "1.0.0", strings.Repeat("x", i))
		text := s.mint(s.key, upload.request())
		group.Go(func() {
			got := s.ask("PUT", "/api/v1/crates/new", text, upload.body)
			mutex.Lock()
			defer mutex.Unlock()
			codes[got.code]++
		})
	}
	group.Wait()
	if codes[""] != 1 || codes["version-exists"] != 11 {
		t.Errorf("12 uploads of one version: %v", codes)
	}
	index := s.ask("GET", "/index/fr/es/fresh", "", nil)
	file := s.ask("GET", "/api/v1/crates/fresh/1.0.0/download", "", nil)
	if tag := strings.Trim(file.header.Get("ETag"), `"`); file.status != 200 || !strings.Contains(string(index.body), tag) {
		t.Errorf("index %s, file %v", index.body, file)
	}
}

func TestKeyStateIsJudgedAgainAtCommit(t *testing.T) {
	narrowed := func(change func(e *enroll.Entry)) func(s *scene) {
		return func(s *scene) {
			k := s.team.draft()
			for _, e := range s.team.standing.Keys {
				switch e.Key {
				case s.revoked.Public():
					k.Revoked = append(k.Revoked, e.Key.ID())
					continue
				case s.key.Public():
					change(&e)
				}
				k.Keys = append(k.Keys, e)
			}
			k.Keys = append(k.Keys, manages(s.spare))
			k.Sort()
			s.team.submit(k, 201, "", s.key, s.spare)
		}
	}
	for name, test := range map[string]struct {
		meanwhile func(s *scene)
		code      string
	}{
		"revoked": {func(s *scene) {
			s.want(s.postNote("/revocations", s.revocation(s.key.Public().ID(), s.key, enroll.Lost)), 201, "")
		}, "key-revoked"},
		"no longer publishes":    {narrowed(func(e *enroll.Entry) { e.Can &^= enroll.Publish }), "key-not-allowed"},
		"no longer these crates": {narrowed(func(e *enroll.Entry) { e.Can, e.Crates = enroll.CanByDefault, []string{"other-*"} }), "key-not-allowed"},
		"past its end": {func(s *scene) {
			narrowed(func(e *enroll.Entry) {
				e.Can, e.Until = enroll.CanByDefault, s.clock.now().Truncate(time.Second).Add(time.Minute)
			})(s)
			s.clock.pass(2 * time.Minute)
		}, "key-expired"},
		"frozen": {func(s *scene) {
			if err := s.operator.Freeze(context.Background(), "team", true); err != nil {
				s.t.Error(err)
			}
		}, "account-frozen"},
		"reset": {func(s *scene) {
			if err := s.operator.Reset(context.Background(), "team"); err != nil {
				s.t.Error(err)
			}
		}, "key-unknown"},
		"no longer owner": {func(s *scene) {
			err := s.db.Update(context.Background(), func(tx *storage.Tx) error {
				_, err := tx.RemoveOwner(context.Background(), "demo", "team")
				return err
			})
			if err != nil {
				s.t.Error(err)
			}
		}, "not-an-owner"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			reader, writer := io.Pipe()
			request, err := http.NewRequestWithContext(t.Context(), "PUT", s.url+"/api/v1/crates/new", reader)
			if err != nil {
				t.Fatal(err)
			}
			request.ContentLength = int64(len(s.next.body))
			text := s.mint(s.key, s.next.request())
			request.Header.Set("Authorization", text)
			go func() {
				_, _ = writer.Write(s.next.body[:10])
				// The token is spent once the headers are judged: wait for that.
				parsed, _ := token.Parse(text)
				for {
					if _, err := s.db.DoneBy(context.Background(), parsed.ReplayKey(s.key.Public())); err == nil || t.Context().Err() != nil {
						break
					}
				}
				test.meanwhile(s)
				_, _ = writer.Write(s.next.body[10:])
				_ = writer.Close()
			}()
			response, err := s.client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			body, _ := io.ReadAll(response.Body)
			if response.StatusCode != 403 || !strings.Contains(string(body), `"`+test.code+`"`) {
				t.Errorf("answered %d %s, want %s", response.StatusCode, body, test.code)
			}
			if lines := bytes.Count(s.ask("GET", "/index/de/mo/demo", "", nil).body, []byte("\n")); lines != 1 {
				t.Errorf("the index has %d lines", lines)
			}
			if files, err := filepath.Glob(filepath.Join(s.dir, "*", "*", "*.crate")); err != nil || len(files) != 1 {
				t.Errorf("of one crate that was taken there are the files %q", files)
			}
		})
	}
}

func TestYankRefusals(t *testing.T) {
	s := newScene(t)
	s.want(s.yank(s.theirs, "demo", "0.1.0"), 403, "not-an-owner")
	s.want(s.yank(s.key, "demo", "9.9.9"), 404, "version-unknown")
	s.want(s.yank(s.key, "none", "0.1.0"), 404, "version-unknown")
	s.want(s.yank(s.limited, "demo", "0.1.0"), 403, "key-not-allowed")
	other := s.mint(s.key, token.Request{Operation: token.Yank, Name: "demo", Version: "0.1.1"})
	s.want(s.ask("DELETE", "/api/v1/crates/demo/0.1.0/yank", other, nil), 403, "token-wrong-version")
	unyank := s.mint(s.key, token.Request{Operation: token.Unyank, Name: "demo", Version: "0.1.0"})
	s.want(s.ask("DELETE", "/api/v1/crates/demo/0.1.0/yank", unyank, nil), 403, "token-wrong-operation")
}

func TestDroppedKeyIsToldSo(t *testing.T) {
	s := newScene(t)
	successor := generate(t, keys.Ed25519)
	k := s.team.draft(enroll.Entry{Key: successor.Public(), Can: enroll.CanEverything})
	k.Revoked = []keys.ID{s.revoked.Public().ID()}
	s.team.submit(k, 201, "", s.key, successor)
	got := s.want(s.publish(s.key, s.next), 403, "key-unknown")
	if !strings.Contains(got.detail, `no longer in the keyset of account "team"`) {
		t.Errorf("the detail is %q", got.detail)
	}
	s.want(s.publish(successor, s.next), 200, "")
}

func TestTwoAuthorizationHeaders(t *testing.T) {
	s := newScene(t)
	got := s.ask("PUT", "/api/v1/crates/new", s.mint(s.key, s.next.request()), s.next.body, "Authorization", "cio123")
	s.want(got, 403, "token-malformed")
}

func TestCrateTooLarge(t *testing.T) {
	l := newLab(t, func(c *registry.Config) { c.MaxCrate = 100 })
	key := generate(t, keys.Ed25519)
	l.enrol("team", key)
	l.want(l.publish(key, newSample(t, "demo", "0.1.0")), 413, "publish-too-large")
}
