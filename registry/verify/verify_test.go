// The middleware alone, as another registry would use it: no storage of ours behind it.

package verify_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry/verify"
	"github.com/cargo-regkey/regkey/token"
)

const index = "sparse+https://crates.example.com/index/"

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// oneKey is a registry that knows one key and remembers tokens in memory.
type oneKey struct {
	public keys.PublicKey
	fails  error
	mutex  sync.Mutex
	spent  map[[32]byte]bool
}

func (o *oneKey) LookupKey(_ context.Context, id keys.ID) (token.Key, error) {
	if o.fails != nil {
		return token.Key{}, o.fails
	}
	if id != o.public.ID() {
		return token.Key{}, token.ErrUnknownKey
	}
	return token.Key{Public: o.public, Account: "team", May: func(token.Operation, string) bool { return true }}, nil
}

func (o *oneKey) Spend(_ context.Context, replayKey [32]byte, _ time.Time) (bool, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	first := !o.spent[replayKey]
	o.spent[replayKey] = true
	return first, nil
}

func mint(t *testing.T, k keys.Signer, r token.Request) string {
	t.Helper()
	r.Index = index
	text, err := token.Mint(t.Context(), k, r, noon)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func setUp(t *testing.T) (*verify.Middleware, *oneKey, *keys.SoftwareKey, *bytes.Buffer) {
	t.Helper()
	k, err := keys.Generate(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	registry, log := &oneKey{public: k.Public(), spent: map[[32]byte]bool{}}, &bytes.Buffer{}
	return &verify.Middleware{
		Verifier: &token.Verifier{Index: index, Keys: registry, Spent: registry},
		LoginURL: "https://crates.example.com/me",
		Now:      func() time.Time { return noon },
		Log:      slog.New(slog.NewTextHandler(log, nil)),
	}, registry, k, log
}

func ask(h http.Handler, authorization string, body io.Reader) *httptest.ResponseRecorder {
	request := httptest.NewRequest("PUT", "/api/v1/crates/new", body)
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	return recorder
}

// unread fails the test if the middleware touches the body.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read before the token was judged")
	return 0, io.EOF
}

func TestRequire(t *testing.T) {
	m, _, key, log := setUp(t)
	var got *token.Grant
	h := m.Require(token.Yank, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = verify.GrantOf(r.Context()) }))
	text := mint(t, key, token.Request{Operation: token.Yank, Name: "demo", Version: "1.0.0"})

	missing := ask(h, "", unread{t})
	if missing.Code != 401 || missing.Header().Get("WWW-Authenticate") != `Cargo login_url="https://crates.example.com/me"` {
		t.Errorf("without a token: %d, %v", missing.Code, missing.Header())
	}
	if got != nil {
		t.Fatal("the handler ran without a token")
	}
	if good := ask(h, text, unread{t}); good.Code != 200 || got == nil || got.Account != "team" || got.Authorize("demo", "1.0.0", "") != nil {
		t.Errorf("with a good token: %d, %+v", good.Code, got)
	}
	again := ask(h, text, unread{t})
	if again.Code != 403 || again.Header().Get("WWW-Authenticate") != "" || !strings.HasPrefix(again.Body.String(), `{"errors":[{"code":"token-replayed","detail":"`) {
		t.Errorf("the second time: %d %s", again.Code, again.Body)
	}
	if strings.Contains(log.String(), text) || !strings.Contains(log.String(), "token-replayed") {
		t.Errorf("the log is %s", log)
	}
}

func TestReadTokensAreAuthorizedHere(t *testing.T) {
	m, _, key, _ := setUp(t)
	h := m.Require(token.Read, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	text := mint(t, key, token.Request{Operation: token.Read})
	for range 2 {
		if got := ask(h, text, nil); got.Code != 200 {
			t.Errorf("reading: %d %s", got.Code, got.Body)
		}
	}
}

func TestExplain(t *testing.T) {
	m, _, key, _ := setUp(t)
	m.Explain = func(_ *http.Request, refused *token.Error) *verify.Error {
		if refused.Code != token.CodeReplayed {
			return nil
		}
		return &verify.Error{Status: 418, Code: "better", Detail: "said better", RetryAfter: 1500 * time.Millisecond}
	}
	h := m.Require(token.Owners, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	text := mint(t, key, token.Request{Operation: token.Owners, Name: "demo"})
	ask(h, text, nil)
	if got := ask(h, text, nil); got.Code != 418 || !strings.Contains(got.Body.String(), "said better") || got.Header().Get("Retry-After") != "2" {
		t.Errorf("explained: %d %s %v", got.Code, got.Body, got.Header())
	}
	if got := ask(h, "nonsense", nil); got.Code != 403 || !strings.Contains(got.Body.String(), "token-malformed") {
		t.Errorf("left alone: %d %s", got.Code, got.Body)
	}
}

func TestFailuresAreTheServersOwn(t *testing.T) {
	m, registry, key, log := setUp(t)
	registry.fails = errors.New("database is on fire")
	h := m.Require(token.Read, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }))
	got := ask(h, mint(t, key, token.Request{Operation: token.Read}), nil)
	if got.Code != 500 || strings.Contains(got.Body.String(), "fire") || !strings.Contains(log.String(), "on fire") {
		t.Errorf("answered %d %s, logged %s", got.Code, got.Body, log)
	}
}

func TestGrantOfPanicsWithoutMiddleware(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("there was no panic")
		}
	}()
	verify.GrantOf(t.Context())
}

func TestWriteTakesAnyText(t *testing.T) {
	recorder := httptest.NewRecorder()
	verify.Write(recorder, &verify.Error{Status: 400, Code: "bad", Detail: "not UTF-8: \xff"})
	if body := recorder.Body.String(); recorder.Code != 400 || !strings.Contains(body, `"code":"bad"`) {
		t.Errorf("wrote %d %s", recorder.Code, body)
	}
}

// A registry that has its own storage must not have to link ours.
func TestNoStorageIsLinkedIn(t *testing.T) {
	list, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "github.com/cargo-regkey/regkey/registry/verify").Output()
	if err != nil || !bytes.Contains(list, []byte("regkey/token\n")) {
		t.Fatalf("listing what the package imports: %v", err)
	}
	for _, unwanted := range []string{"modernc.org/sqlite", "pressly/goose", "regkey/registry/storage", "regkey/enroll", "urfave"} {
		if bytes.Contains(list, []byte(unwanted)) {
			t.Errorf("the middleware imports %s", unwanted)
		}
	}
}
