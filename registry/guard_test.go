// What protects the process: panics, failures by address, challenges of another process.

package registry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/registry/verify"
	"github.com/cargo-regkey/regkey/token"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestPanicIsAnswered(t *testing.T) {
	var log strings.Builder
	s := &Server{log: slog.New(slog.NewTextHandler(&log, nil))}
	server := httptest.NewServer(s.guarded(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("at once") })))
	defer server.Close()
	for range 2 { // the second shows that the process lives
		response, err := server.Client().Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != 500 || !strings.Contains(string(body), `"internal-error"`) || strings.Contains(string(body), "at once") {
			t.Errorf("answered %d %s", response.StatusCode, body)
		}
	}
	if !strings.Contains(log.String(), "at once") {
		t.Error("the panic is not in the log")
	}
}

// A connection is what a writer with deadlines stands for.
type connection struct {
	*httptest.ResponseRecorder
	read, write time.Time
}

func (c *connection) SetReadDeadline(t time.Time) error  { c.read = t; return nil }
func (c *connection) SetWriteDeadline(t time.Time) error { c.write = t; return nil }

// Whoever has shown no token holds a connection for a minute, whatever address he names and length he announces.
func TestDeadlines(t *testing.T) {
	for _, test := range []struct {
		method, path string
		body         io.Reader
		limit        time.Duration
	}{
		{"GET", "/index/config.json", nil, shortRequest},
		{"PUT", "/api/v1/crates/new", strings.NewReader("x"), shortRequest},
		{"POST", "/nowhere/crates/new", strings.NewReader("x"), shortRequest},
		{"GET", "/api/v1/crates/a/1.0.0/download", strings.NewReader("x"), shortRequest},
		{"GET", "/api/v1/crates/a/1.0.0/download", http.NoBody, longRequest},
	} {
		s := &Server{log: slog.New(slog.DiscardHandler)}
		c := &connection{ResponseRecorder: httptest.NewRecorder()}
		before := time.Now()
		s.guarded(http.NotFoundHandler()).ServeHTTP(c, httptest.NewRequest(test.method, test.path, test.body))
		for _, deadline := range []time.Time{c.read, c.write} {
			if deadline.Before(before.Add(test.limit)) || deadline.After(time.Now().Add(test.limit)) {
				t.Errorf("%s %s may last %v, want %v", test.method, test.path, deadline.Sub(before), test.limit)
			}
		}
	}
	s := &Server{}
	s.config.MaxCrate = 1 << 20
	c := &connection{ResponseRecorder: httptest.NewRecorder()}
	before := time.Now()
	upload := s.uploadBody(c, httptest.NewRequest("PUT", "/api/v1/crates/new", strings.NewReader("x")))
	if _, err := upload.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if c.write.Before(before.Add(longRequest)) || c.read.After(time.Now().Add(shortRequest)) {
		t.Errorf("an upload may last %v, and %v without a byte", c.write.Sub(before), c.read.Sub(before))
	}
}

func TestInternalErrorsStayInside(t *testing.T) {
	var log strings.Builder
	s := &Server{log: slog.New(slog.NewTextHandler(&log, nil))}
	recorder := httptest.NewRecorder()
	s.answerError(recorder, httptest.NewRequest("PUT", "/x", nil), errors.New("disk of the server is full"))
	if recorder.Code != 500 || strings.Contains(recorder.Body.String(), "disk") || !strings.Contains(log.String(), "disk") {
		t.Errorf("answered %d %s, logged %s", recorder.Code, recorder.Body, log.String())
	}
}

func TestFailureLimit(t *testing.T) {
	f := newFailureLimit()
	const bad, good = "192.0.2.1:1000", "192.0.2.2:1000"
	for i := range failureBurst {
		if err := f.check(bad, noon); err != nil {
			t.Fatalf("refused after %d failures", i)
		}
		f.fail(bad, noon)
	}
	err := f.check("192.0.2.1:2000", noon) // another port is the same address
	var refused *verify.Error
	if !errors.As(err, &refused) || refused.Status != 429 || refused.RetryAfter <= 0 {
		t.Errorf("after %d failures: %v", failureBurst, err)
	}
	if err := f.check(good, noon); err != nil {
		t.Errorf("another address: %v", err)
	}
	if err := f.check(bad, noon.Add(failureEvery)); err != nil {
		t.Errorf("a little later: %v", err)
	}
	for i := range 3 * maxAddresses {
		f.fail(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String()+":1", noon)
	}
	if n := len(f.younger) + len(f.older); n > 2*maxAddresses {
		t.Errorf("%d addresses are remembered", n)
	}
}

func TestNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1/32", "[::ffff:192.0.2.1]:80": "192.0.2.1/32", "[2001:db8::1]:80": "2001:db8::/64",
		"[2001:db8::ffff]:81": "2001:db8::/64", "[fe80::1%eth0]:80": "fe80::/64", "nonsense": "invalid Prefix", "@": "invalid Prefix",
	} {
		if got := network(remote).String(); got != want {
			t.Errorf("network(%q) is %s, want %s", remote, got, want)
		}
	}
}

func TestClientBehindProxy(t *testing.T) {
	for _, c := range []struct{ peer, forwarded, want string }{
		{"192.0.2.1:80", "", "192.0.2.1:80"},
		{"192.0.2.1:80", "198.51.100.7", "192.0.2.1:80"}, // a stranger's word
		{"127.0.0.1:80", "", "127.0.0.1:80"},
		{"127.0.0.1:80", "198.51.100.7", "198.51.100.7"},
		{"[::1]:80", "203.0.113.9, 198.51.100.7", "198.51.100.7"}, // what the proxy itself added
	} {
		request := httptest.NewRequest("POST", "/", nil)
		request.RemoteAddr = c.peer
		if c.forwarded != "" {
			request.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := client(request); got != c.want {
			t.Errorf("%s for %q is counted as %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}

func TestCountedLetsGoodRevocationsThrough(t *testing.T) {
	s := &Server{failures: newFailureLimit(), now: func() time.Time { return noon }}
	refused := refuse(http.StatusForbidden, "no", "no")
	failing := func(http.ResponseWriter, *http.Request) error { return refused }
	good := func(http.ResponseWriter, *http.Request) error { return nil }
	request := httptest.NewRequest("POST", "/", nil)
	for range failureBurst - 1 {
		if err := s.counted(false, failing)(nil, request); err != error(refused) {
			t.Fatalf("a failure is answered %v", err)
		}
	}
	for _, limited := range []bool{true, false} {
		_ = s.counted(limited, failing)(nil, request)
	}
	if err := s.counted(false, failing)(nil, request); refusal(err).Status != 429 {
		t.Errorf("the failure beyond the limit is answered %v", err)
	}
	if err := s.counted(true, good)(nil, request); refusal(err).Status != 429 {
		t.Errorf("a keyset after too many failures is answered %v", err)
	}
	if err := s.counted(false, good)(nil, request); err != nil {
		t.Errorf("a good revocation after too many failures is answered %v", err)
	}
}

func TestChallengeOfAnotherProcess(t *testing.T) {
	spend := func(context.Context, string, time.Time) (bool, error) { return true, nil }
	mine, theirs := newChallenges(time.Minute, spend), newChallenges(time.Minute, spend)
	text, expires := theirs.issue(noon)
	if !expires.Equal(noon.Add(time.Minute)) {
		t.Errorf("expires at %v", expires)
	}
	if err := mine.Redeem(t.Context(), text, noon); !errors.Is(err, token.ErrChallenge) {
		t.Errorf("another process's challenge: %v", err)
	}
	if err := theirs.Redeem(t.Context(), text, noon.Add(time.Minute)); err != nil {
		t.Errorf("in its last moment: %v", err)
	}
	if err := theirs.Redeem(t.Context(), text, noon.Add(time.Minute+time.Millisecond)); !errors.Is(err, token.ErrChallenge) {
		t.Errorf("after its time: %v", err)
	}
}
