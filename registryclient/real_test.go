// The client against the real registry, over a real connection.

package registryclient_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/registryclient"
	"github.com/cargo-regkey/regkey/token"
)

var (
	_ enroll.Registry  = (*registryclient.Client)(nil)
	_ enroll.Proposals = (*registryclient.Client)(nil)
	_ enroll.Refusal   = (*registryclient.Error)(nil)
)

// A seen request is what reached the registry, and its answer's status.
type seen struct {
	request    string
	authorized bool
	status     int
}

// A lab is a registry that listens, its operator, and what it was asked.
type lab struct {
	t        *testing.T
	db       *storage.DB
	url      string
	index    string
	operator *registry.Operator

	mutex   sync.Mutex
	handler http.Handler
	asked   []seen
}

func newLab(t *testing.T, config registry.Config) *lab {
	t.Helper()
	l := &lab{t: t}
	var err error
	if l.db, err = storage.Open(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	listening := httptest.NewServer(l)
	t.Cleanup(func() {
		listening.Close()
		if err := l.db.Close(); err != nil {
			t.Error(err)
		}
	})
	l.url, l.index = listening.URL, registry.IndexURL(listening.URL)
	l.operator = &registry.Operator{Storage: l.db, Now: time.Now}
	l.serve(config)
	return l
}

// serve answers by config from now on.
func (l *lab) serve(config registry.Config) {
	l.t.Helper()
	config.Storage, config.URL, config.Log = l.db, l.url, slog.New(slog.DiscardHandler)
	server, err := registry.Open(l.t.Context(), config)
	if err != nil {
		l.t.Fatal(err)
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.handler = server
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (l *lab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mutex.Lock()
	handler := l.handler
	l.mutex.Unlock()
	noted := &statusWriter{w, http.StatusOK}
	handler.ServeHTTP(noted, r)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.asked = append(l.asked, seen{r.Method + " " + r.URL.RequestURI(), r.Header.Get("Authorization") != "", noted.status})
}

// requests are those since it was last asked.
func (l *lab) requests() []seen {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	all := l.asked
	l.asked = nil
	return all
}

func (l *lab) client(o registryclient.Options) *registryclient.Client {
	return registryclient.New(l.index, o)
}

func generate(t *testing.T) *keys.SoftwareKey {
	t.Helper()
	k, err := keys.Generate(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sign makes the version after standing, or version 1 for nil, with these keys that may do everything.
func (l *lab) sign(standing *enroll.SignedKeyset, listed []*keys.SoftwareKey, signers ...keys.Signer) *enroll.SignedKeyset {
	l.t.Helper()
	k := &enroll.Keyset{Registry: l.index, Account: "team", Version: 1, Issued: time.Now().UTC().Truncate(time.Second)}
	if standing != nil {
		k.Version, k.Previous = standing.Version+1, standing.Hash()
	}
	for _, key := range listed {
		k.Keys = append(k.Keys, enroll.Entry{Key: key.Public(), Can: enroll.CanEverything})
	}
	k.Sort()
	signed, err := enroll.SignKeyset(l.t.Context(), k, signers...)
	if err != nil {
		l.t.Fatal(err)
	}
	return signed
}

// invite is a code's key for the account "team".
func (l *lab) invite() *keys.SoftwareKey {
	l.t.Helper()
	code, _, err := l.operator.Invite(l.t.Context(), "team", time.Hour)
	if err != nil {
		l.t.Fatal(err)
	}
	key, err := enroll.InviteKey(code)
	if err != nil {
		l.t.Fatal(err)
	}
	return key
}

// enrol has the registry trust key.
func (l *lab) enrol(key *keys.SoftwareKey) *enroll.SignedKeyset {
	l.t.Helper()
	first := l.sign(nil, []*keys.SoftwareKey{key}, l.invite(), key)
	if err := l.client(registryclient.Options{}).Submit(l.t.Context(), "team", enroll.Submission{Note: first.Note}); err != nil {
		l.t.Fatal(err)
	}
	l.requests()
	return first
}

// reads signs read tokens with key and counts them.
func (l *lab) reads(key keys.Signer, made *int) registryclient.Options {
	return registryclient.Options{Token: func(ctx context.Context) (string, error) {
		*made++
		return token.Mint(ctx, key, token.Request{Index: l.index, Operation: token.Read}, time.Now())
	}}
}

func wantRefusal(t *testing.T, err error, status int, code string) *registryclient.Error {
	t.Helper()
	refused, ok := errors.AsType[*registryclient.Error](err)
	if !ok || refused.Status != status || refused.Code != code || refused.Detail == "" {
		t.Fatalf("%v, want a refusal %d %s with a reason", err, status, code)
	}
	return refused
}

func TestDiscover(t *testing.T) {
	for name, config := range map[string]registry.Config{
		"open": {}, "auth-required": {AuthRequired: true}, "challenge": {Challenge: true, Window: time.Minute}, "both": {AuthRequired: true, Challenge: true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, config)
			client := l.client(registryclient.Options{Token: func(context.Context) (string, error) {
				t.Error("discovery asked for a token: it must work before a key is trusted")
				return "", nil
			}})
			for range 2 {
				d, err := client.Discover(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				age := 300
				if config.Window != 0 {
					age = 60
				}
				if d.Version != 1 || d.Index != l.index || d.API != l.url+"/api/regkey/v1" || d.MaxAge != age || d.Challenge != config.Challenge ||
					d.AuthRequired != config.AuthRequired || !slices.Contains(d.Bootstrap, "code") || !slices.Contains(d.Tokens, "v4.public") {
					t.Errorf("discovered %+v", d)
				}
			}
			want := []seen{{"GET /index/config.json", false, 200}}
			if config.AuthRequired {
				want = []seen{{"GET /index/config.json", false, 401}, {"GET /.well-known/regkey.json", false, 200}}
			}
			if asked := l.requests(); !slices.Equal(asked, want) {
				t.Errorf("asked %v, want %v", asked, want)
			}
		})
	}
}

func TestDiscoverAnotherName(t *testing.T) {
	l := newLab(t, registry.Config{})
	user := strings.TrimSuffix(l.index, "/") // the same place by another name
	_, err := registryclient.New(user, registryclient.Options{}).Discover(t.Context())
	wrong, ok := errors.AsType[*registryclient.IndexError](err)
	if !ok || wrong.Want != user || wrong.Said != l.index {
		t.Errorf("%v, want an IndexError", err)
	}
}

func TestSubmit(t *testing.T) {
	l := newLab(t, registry.Config{})
	client := l.client(registryclient.Options{})
	key, code := generate(t), l.invite()
	first := l.sign(nil, []*keys.SoftwareKey{key}, code, key)
	for i, status := range []int{201, 200} {
		if err := client.Submit(t.Context(), "team", enroll.Submission{Note: first.Note}); err != nil {
			t.Fatal(err)
		}
		asked := l.requests()
		if last := asked[len(asked)-1]; last != (seen{"POST /api/regkey/v1/accounts/team/keysets", false, status}) {
			t.Errorf("submission %d: %v, want status %d", i, last, status)
		}
	}

	other := generate(t)
	rival := l.sign(nil, []*keys.SoftwareKey{other}, code, other)
	err := client.Submit(t.Context(), "team", enroll.Submission{Note: rival.Note})
	if refused := wantRefusal(t, err, 409, "keyset-conflict"); refused.Note != string(first.Note) {
		t.Errorf("the conflict shows %q, want what stands", refused.Note)
	}
	err = client.Submit(t.Context(), "team", enroll.Submission{Note: []byte("no keyset\n")})
	wantRefusal(t, err, 400, "keyset-malformed")
	err = client.Submit(t.Context(), "team", enroll.Submission{Note: l.sign(first, []*keys.SoftwareKey{other}, other).Note})
	wantRefusal(t, err, 403, "keyset-unmanaged")
	err = client.Submit(t.Context(), "nobody", enroll.Submission{Note: first.Note})
	wantRefusal(t, err, 403, "keyset-wrong-account")
	err = client.Submit(t.Context(), "team", enroll.Submission{Note: []byte(strings.Repeat("x", 70<<10))})
	wantRefusal(t, err, 413, "note-too-large")
}

func TestFetch(t *testing.T) {
	l := newLab(t, registry.Config{})
	key := generate(t)
	client := l.client(registryclient.Options{})
	chain := []*enroll.SignedKeyset{l.enrol(key)}
	for len(chain) < 103 {
		next := l.sign(chain[len(chain)-1], []*keys.SoftwareKey{key}, key)
		if err := client.Submit(t.Context(), "team", enroll.Submission{Note: next.Note}); err != nil {
			t.Fatal(err)
		}
		chain = append(chain, next)
	}
	note, revocations, err := client.Latest(t.Context(), "team")
	if err != nil || string(note) != string(chain[102].Note) || len(revocations) != 0 {
		t.Errorf("latest: %q and %d revocations (%v)", note, len(revocations), err)
	}
	for _, batch := range []struct {
		from, notes int
		more        bool
	}{{1, 100, true}, {4, 100, false}, {101, 3, false}, {104, 0, false}} {
		notes, more, err := client.Keysets(t.Context(), "team", batch.from)
		if err != nil || len(notes) != batch.notes || more != batch.more {
			t.Fatalf("from %d: %d notes, more %v (%v)", batch.from, len(notes), more, err)
		}
		for i, note := range notes {
			if string(note) != string(chain[batch.from-1+i].Note) {
				t.Errorf("from %d: note %d is not version %d", batch.from, i, batch.from+i)
			}
		}
	}
	_, _, err = client.Latest(t.Context(), "nobody")
	wantRefusal(t, err, 404, "account-unknown")
	_, _, err = client.Keysets(t.Context(), "nobody", 1)
	wantRefusal(t, err, 404, "account-unknown")
}

func TestRevokeAndKey(t *testing.T) {
	l := newLab(t, registry.Config{})
	key, spare := generate(t), generate(t)
	first := l.enrol(key)
	client := l.client(registryclient.Options{})
	second := l.sign(first, []*keys.SoftwareKey{key, spare}, key, spare)
	if err := client.Submit(t.Context(), "team", enroll.Submission{Note: second.Note}); err != nil {
		t.Fatal(err)
	}
	id := spare.Public().ID()
	state, err := client.Key(t.Context(), id)
	if err != nil || state.Key != id || state.Account != "team" || len(state.Can) != 5 || state.Revoked || state.Since.IsZero() || !state.Until.IsZero() {
		t.Errorf("before: %+v (%v)", state, err)
	}

	revocation, err := enroll.SignRevocation(t.Context(), &enroll.Revocation{Registry: l.index, Key: id, Reason: enroll.Lost}, spare)
	if err != nil {
		t.Fatal(err)
	}
	l.requests()
	for range 2 {
		if err := client.Revoke(t.Context(), revocation.Note); err != nil {
			t.Fatal(err)
		}
	}
	if asked := l.requests(); len(asked) != 2 || asked[0].status != 201 || asked[1].status != 200 {
		t.Errorf("revoking twice: %v", asked)
	}
	state, err = client.Key(t.Context(), id)
	if err != nil || !state.Revoked || state.Reason != "lost" || len(state.Can) != 0 {
		t.Errorf("after: %+v (%v)", state, err)
	}
	_, revocations, err := client.Latest(t.Context(), "team")
	if err != nil || len(revocations) != 1 || string(revocations[0]) != string(revocation.Note) {
		t.Errorf("latest shows %d revocations (%v)", len(revocations), err)
	}

	stranger := generate(t)
	_, err = client.Key(t.Context(), stranger.Public().ID())
	wantRefusal(t, err, 404, "key-unknown")
	unknown, err := enroll.SignRevocation(t.Context(), &enroll.Revocation{Registry: l.index, Key: stranger.Public().ID(), Reason: enroll.Lost}, stranger)
	if err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, client.Revoke(t.Context(), unknown.Note), 404, "key-unknown")
	wantRefusal(t, client.Revoke(t.Context(), []byte("no revocation\n")), 400, "revocation-malformed")
}

// Where reads need a token, one goes with every read, and with nothing else.
func TestAuthRequired(t *testing.T) {
	l := newLab(t, registry.Config{AuthRequired: true, Challenge: true})
	key := generate(t)
	first := l.enrol(key)
	made := 0
	client := l.client(l.reads(key, &made))
	if err := client.Submit(t.Context(), "team", enroll.Submission{Note: first.Note}); err != nil {
		t.Fatal(err)
	}
	if challenge, err := client.Challenge(t.Context()); err != nil || challenge == "" {
		t.Errorf("challenge %q (%v)", challenge, err)
	}
	if made != 0 {
		t.Errorf("%d tokens were made for requests that need none", made)
	}
	l.requests()
	if _, _, err := client.Latest(t.Context(), "team"); err != nil {
		t.Error(err)
	}
	if _, err := client.Key(t.Context(), key.Public().ID()); err != nil {
		t.Error(err)
	}
	for _, asked := range l.requests() {
		if !asked.authorized || asked.status != 200 {
			t.Errorf("%v: a registry that is known to want tokens was asked without one", asked)
		}
	}
	if made != 2 {
		t.Errorf("%d tokens for two reads", made)
	}

	_, _, err := l.client(registryclient.Options{}).Latest(t.Context(), "team")
	status, ok := errors.AsType[*registryclient.StatusError](err)
	if !ok || status.Status != 401 || status.Code != "token-missing" {
		t.Errorf("without a token: %v", err)
	}
	_, _, err = l.client(l.reads(generate(t), &made)).Latest(t.Context(), "team")
	wantRefusal(t, err, 403, "key-unknown")
}

// A registry that begins to want tokens after it was discovered is answered with one, after one 401.
func TestTokenAfter401(t *testing.T) {
	l := newLab(t, registry.Config{})
	key := generate(t)
	first := l.enrol(key)
	made := 0
	client := l.client(l.reads(key, &made))
	if _, _, err := client.Latest(t.Context(), "team"); err != nil || made != 0 {
		t.Fatalf("an open registry: %d tokens (%v)", made, err)
	}
	l.serve(registry.Config{AuthRequired: true})
	l.requests()
	for range 2 {
		note, _, err := client.Latest(t.Context(), "team")
		if err != nil || string(note) != string(first.Note) {
			t.Fatalf("%q (%v)", note, err)
		}
	}
	const latest = "GET /api/regkey/v1/accounts/team/keysets/latest"
	if asked := l.requests(); !slices.Equal(asked, []seen{{latest, false, 401}, {latest, true, 200}, {latest, true, 200}}) || made != 2 {
		t.Errorf("asked %v, %d tokens", asked, made)
	}
}

func TestTokenThatCannotBeMade(t *testing.T) {
	l := newLab(t, registry.Config{AuthRequired: true})
	fault := errors.New("the passphrase is not known")
	client := l.client(registryclient.Options{Token: func(context.Context) (string, error) { return "", fault }})
	if _, _, err := client.Latest(t.Context(), "team"); !errors.Is(err, fault) {
		t.Errorf("%v, want the reason why there is no token", err)
	}
	if asked := l.requests(); len(asked) != 2 {
		t.Errorf("asked %v, want discovery alone", asked)
	}
}
