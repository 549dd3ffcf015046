// The client against servers that lie, break off or never end. These are scripts and not the real
// registry, because the real one does none of this: what is tested is that a client survives one
// that does.

package registryclient

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/lab"
)

// A liar serves an honest config.json, and everything else by script.
type liar struct {
	url   string
	posts atomic.Int32 // documents received
	asked atomic.Int32 // requests for something else than config.json
}

// newLiar returns it with a client that has its own record of how long it would have waited.
func newLiar(t *testing.T, script http.HandlerFunc) (*liar, *Client, *[]time.Duration) {
	t.Helper()
	l := &liar{}
	listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/index/config.json" {
			fmt.Fprintf(w, `{"dl":"x","regkey":{"version":1,"index":%q,"api":%q}}`, "sparse+"+l.url+"/index/", l.url+"/api")
			return
		}
		l.asked.Add(1)
		if r.Method == http.MethodPost {
			_, _ = io.Copy(io.Discard, r.Body)
			l.posts.Add(1)
		}
		script(w, r)
	}))
	t.Cleanup(listening.Close)
	l.url = listening.URL
	client, waited := recording(New("sparse+"+l.url+"/index/", Options{}))
	return l, client, waited
}

// recording lets c wait no time, and notes how long it would have.
func recording(c *Client) (*Client, *[]time.Duration) {
	waited := &[]time.Duration{}
	c.wait = func(ctx context.Context, d time.Duration) error {
		*waited = append(*waited, d)
		return ctx.Err()
	}
	return c, waited
}

// say answers with a status and a body.
func say(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func submit(t *testing.T, c *Client) error {
	t.Helper()
	note, _ := someKeyset(t)
	return c.Submit(t.Context(), "team", enroll.Submission{Note: []byte(note)})
}

// undecided checks that err leaves open what the registry has done, and that it can be shown.
func undecided(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	var refused enroll.Refusal
	if errors.As(err, &refused) {
		t.Errorf("%v passes for a decision of the registry", err)
	}
	shows(t, err)
}

// shows checks that an error's text is fit for a terminal.
func shows(t *testing.T, err error) {
	t.Helper()
	unfit := func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }
	if text := err.Error(); strings.ContainsFunc(text, unfit) || len(text) > 2*maxShown+500 {
		t.Errorf("not fit for a terminal, or too long: %d bytes, %.300q", len(text), text)
	}
}

func TestAnswersThatAreNoYes(t *testing.T) {
	for name, script := range map[string]http.HandlerFunc{
		"a page":              say(200, "<!doctype html><title>Sign in</title>"),
		"nothing":             say(200, ""),
		"no content":          say(204, ""),
		"accepted for later":  say(202, `{"version":1}`),
		"reset content":       say(205, ""),
		"null":                say(200, "null"),
		"a list":              say(200, `[{"version":1}]`),
		"a number":            say(201, "1"),
		"no version":          say(201, "{}"),
		"another version":     say(201, `{"version":9}`),
		"version as text":     say(201, `{"version":"1"}`),
		"version twice":       say(201, `{"version":1,"version":2}`),
		"another case":        say(201, `{"Version":1}`),
		"broken off":          say(201, `{"version":1`),
		"more behind it":      say(201, `{"version":1} {}`),
		"invalid UTF-8":       say(201, "{\"version\":1,\"x\":\"\xff\"}"),
		"a lone surrogate":    say(201, `{"version":1,"x":"\ud800"}`),
		"deep nesting":        say(201, `{"version":1,"x":`+strings.Repeat("[", 1<<18)),
		"a long name twice":   say(201, `{"`+strings.Repeat("x", 100_000)+`":1,"`+strings.Repeat("x", 100_000)+`":1}`),
		"a control character": say(201, "{\"\x1b[31m\":1,\"\x1b[31m\":1}"),
	} {
		t.Run(name, func(t *testing.T) {
			l, client, waited := newLiar(t, script)
			undecided(t, submit(t, client))
			if l.posts.Load() != 1 || len(*waited) != 0 {
				t.Errorf("sent %d times, waited %v: another try would have the same answer", l.posts.Load(), *waited)
			}
		})
	}
}

// An answer has an end, packed or not.
func TestEndlessBodies(t *testing.T) {
	endless := func(w io.Writer) {
		chunk := []byte(`{"challenge":"` + strings.Repeat("A", 1<<16))
		for err := error(nil); err == nil; {
			_, err = w.Write(chunk)
		}
	}
	for name, script := range map[string]http.HandlerFunc{
		"plain":       func(w http.ResponseWriter, _ *http.Request) { endless(w) },
		"of an error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403); endless(w) },
		"a compression bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			endless(gzip.NewWriter(w))
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, client, _ := newLiar(t, script)
			for _, ask := range []struct {
				limit int
				call  func() error
			}{
				{maxAnswer, func() error { _, err := client.Challenge(t.Context()); return err }},
				{maxBatch, func() error { _, _, err := client.Latest(t.Context(), "team"); return err }},
				{maxBatch, func() error { _, _, err := client.Keysets(t.Context(), "team", 1); return err }},
			} {
				err := ask.call()
				undecided(t, err)
				if !strings.Contains(err.Error(), fmt.Sprintf("at most %d bytes, and more came", ask.limit)) {
					t.Errorf("%v, want the limit %d", err, ask.limit)
				}
			}
		})
	}
}

// A packed answer that stays below the limit is read like any other.
func TestCompressedAnswer(t *testing.T) {
	_, client, _ := newLiar(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		_, _ = io.WriteString(zip, `{"challenge":"abc"}`)
		_ = zip.Close()
	})
	if challenge, err := client.Challenge(t.Context()); challenge != "abc" || err != nil {
		t.Errorf("%q (%v)", challenge, err)
	}
}

func TestLargeHeader(t *testing.T) {
	_, client, _ := newLiar(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Filler", strings.Repeat("A", 1<<20))
		_, _ = io.WriteString(w, `{"challenge":"abc"}`)
	})
	_, err := client.Challenge(t.Context())
	undecided(t, err)
}

// Whoever waits for an answer can stop waiting; and nobody waits for ever.
func TestSlowAnswers(t *testing.T) {
	for name, begin := range map[string]string{"before the header": "", "in the body": `{"challenge":`} {
		t.Run(name, func(t *testing.T) {
			arrived, done := make(chan struct{}, maxTries), make(chan struct{})
			_, client, waited := newLiar(t, func(w http.ResponseWriter, r *http.Request) {
				if begin != "" {
					_, _ = io.WriteString(w, begin)
					_ = http.NewResponseController(w).Flush()
				}
				arrived <- struct{}{}
				<-done
			})
			defer close(done)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-arrived; cancel() }()
			_, err := client.Challenge(ctx)
			undecided(t, err)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want the end of the context", err)
			}

			client.http.Timeout = 50 * time.Millisecond
			_, err = client.Challenge(t.Context())
			undecided(t, err)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want the end of the time", err)
			}
			if len(*waited) != 0 {
				t.Error("what took all its time was tried again")
			}
		})
	}
}

// breakOff closes the connection in the middle of an answer, with a reset.
func breakOff(t *testing.T, w http.ResponseWriter, begin string) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = io.WriteString(connection, begin)
	if tcp, ok := connection.(*net.TCPConn); ok && begin == "" {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}

// A registry that took the document, and whose answer got lost, has refused nothing, whatever the
// beginning of its answer says.
func TestLostAnswers(t *testing.T) {
	for name, begin := range map[string]string{
		"reset":                "",
		"half a header":        "HTTP/1.1 201 Cre",
		"half a body":          "HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{\"version\":1}",
		"half a refusal":       "HTTP/1.1 403 Forbidden\r\nContent-Length: 500\r\n\r\n{\"errors\":[{\"code\":\"keyset-unmanaged\",\"detail\":\"no\"}]}",
		"half a chunk":         "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{\"errors\":[{\"code\":\"x\",\"detail\":\"no\"}]}",
		"no HTTP":              "SSH-2.0-OpenSSH_9.9\r\n",
		"no header":            "HTTP/1.1 200 OK\r\n\x1b[31mred \x1b]0;title\x07\r\n\r\n",
		"a long line":          "HTTP/1.1 200 OK\r\n" + strings.Repeat("red", 10_000) + "\r\n\r\n",
		"control characters":   "HTTP/1.1 200 OK\r\n\x1b[31mred: \x1b]0;title\x07\r\n\r\n",
		"a status that is not": "HTTP/1.1 2x0 OK\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			l, client, waited := newLiar(t, func(w http.ResponseWriter, _ *http.Request) { breakOff(t, w, begin) })
			err := submit(t, client)
			undecided(t, err)
			if _, ok := errors.AsType[*NetworkError](err); !ok {
				t.Errorf("%v, want a NetworkError", err)
			}
			if l.posts.Load() != maxTries || !slices.Equal(*waited, []time.Duration{300 * time.Millisecond, 600 * time.Millisecond}) {
				t.Errorf("sent %d times, waited %v", l.posts.Load(), *waited)
			}
		})
	}
	t.Run("once", func(t *testing.T) {
		var l *liar
		l, client, _ := newLiar(t, func(w http.ResponseWriter, _ *http.Request) {
			if l.posts.Load() == 1 {
				breakOff(t, w, "")
				return
			}
			_, _ = io.WriteString(w, `{"version":2}`)
		})
		if err := submit(t, client); err != nil || l.posts.Load() != 2 {
			t.Errorf("%v after %d documents", err, l.posts.Load())
		}
	})
}

func TestNobodyListens(t *testing.T) {
	address, release, err := lab.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	client, waited := recording(New("sparse+http://"+address+"/index/", Options{}))
	_, err = client.Discover(t.Context())
	undecided(t, err)
	if !errors.Is(err, syscall.ECONNREFUSED) || len(*waited) != 0 {
		t.Errorf("%v after waiting %v, want a refused connection at once", err, *waited)
	}
}

// A certificate that nobody vouches for is told as that, and not tried again.
func TestUnknownCertificate(t *testing.T) {
	listening := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("spoken to") }))
	listening.Config.ErrorLog = log.New(io.Discard, "", 0)
	listening.StartTLS()
	defer listening.Close()
	client, waited := recording(New("sparse+"+listening.URL+"/index/", Options{}))
	_, err := client.Discover(t.Context())
	undecided(t, err)
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) || !strings.Contains(err.Error(), "certificate") || len(*waited) != 0 {
		t.Errorf("%v after waiting %v, want an unknown authority at once", err, *waited)
	}
}

func TestPlainServerOnHTTPS(t *testing.T) {
	listening := httptest.NewServer(http.NotFoundHandler())
	defer listening.Close()
	client, waited := recording(New("sparse+https"+strings.TrimPrefix(listening.URL, "http")+"/index/", Options{}))
	_, err := client.Discover(t.Context())
	undecided(t, err)
	if !strings.Contains(err.Error(), "HTTP response to HTTPS client") || len(*waited) != 0 {
		t.Errorf("%v after waiting %v", err, *waited)
	}
}

// The limits hold over HTTP/2 as well, on which one connection carries all requests.
func TestHTTP2(t *testing.T) {
	var listening *httptest.Server
	listening = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("spoke %s", r.Proto)
		}
		switch r.URL.Path {
		case "/index/config.json":
			fmt.Fprintf(w, `{"regkey":{"version":1,"index":%q,"api":%q}}`, "sparse+"+listening.URL+"/index/", listening.URL+"/api")
		case "/api/challenge":
			_, _ = io.WriteString(w, `{"challenge":"abc"}`)
		case "/api/accounts/broken/keysets/latest":
			panic(http.ErrAbortHandler) // RST_STREAM
		default:
			chunk := make([]byte, 1<<16)
			for err := error(nil); err == nil; {
				_, err = w.Write(chunk)
			}
		}
	}))
	listening.EnableHTTP2, listening.Config.ErrorLog = true, log.New(io.Discard, "", 0)
	listening.StartTLS()
	defer listening.Close()
	client, waited := recording(New("sparse+"+listening.URL+"/index/", Options{}))
	trusting := transport.(*http.Transport).Clone()
	trusting.TLSClientConfig = listening.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	client.http.Transport = trusting
	if challenge, err := client.Challenge(t.Context()); challenge != "abc" || err != nil {
		t.Fatalf("%q (%v)", challenge, err)
	}
	_, _, err := client.Latest(t.Context(), "endless")
	if undecided(t, err); !strings.Contains(err.Error(), "without end") {
		t.Error(err)
	}
	_, _, err = client.Latest(t.Context(), "broken")
	undecided(t, err)
	if _, ok := errors.AsType[*NetworkError](err); !ok || len(*waited) != 2 {
		t.Errorf("%v after waiting %v", err, *waited)
	}
}

// A proxy of the environment is used for other machines, and never for this one. The environment
// itself is read once in a process, so the test asks the transport's own rule.
func TestProxies(t *testing.T) {
	if transport.(*http.Transport).Proxy == nil {
		t.Fatal("the transport has no rule for proxies, and the package's comment says that it has")
	}
	var through []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through = append(through, r.Method+" "+r.RequestURI)
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	client, _ := recording(New("sparse+https://crates.example.com/index/", Options{}))
	proxied := transport.(*http.Transport).Clone()
	proxied.Proxy = http.ProxyURL(at)
	client.http.Transport = proxied
	_, err = client.Discover(t.Context())
	undecided(t, err)
	if len(through) == 0 || through[0] != "CONNECT crates.example.com:443" {
		t.Errorf("the proxy saw %q, want the host alone", through)
	}
}

// A registry that answers about another key than it was asked for has said nothing.
func TestAnotherKey(t *testing.T) {
	id := someKey(t)
	for body, ok := range map[string]bool{
		fmt.Sprintf(`{"key":%q,"account":"a\u001b[31m","can":["\u202epublish"],"revoked":false}`, id): true,
		fmt.Sprintf(`{"key":%q}`, someKey(t)): false, `{}`: false, `{"key":"k4.pid.x"}`: false,
		fmt.Sprintf(`{"key":%q,"since":"yesterday"}`, id): false, fmt.Sprintf(`{"key":%q,"can":"publish"}`, id): false,
	} {
		_, client, _ := newLiar(t, say(200, body))
		state, err := client.Key(t.Context(), id)
		if !ok {
			undecided(t, err)
		} else if err != nil || state.Account != "a [31m" || state.Can[0] != " publish" {
			t.Errorf("%s: %+v (%v)", body, state, err)
		}
	}
}

func TestChallengesThatAreNone(t *testing.T) {
	for _, body := range []string{`{}`, `{"challenge":""}`, `{"challenge":"a b"}`, `{"challenge":"\u001b[31m"}`, `{"challenge":"ä"}`, `{"challenge":7}`,
		`{"challenge":"` + strings.Repeat("a", 1001) + `"}`} {
		_, client, _ := newLiar(t, say(200, body))
		_, err := client.Challenge(t.Context())
		undecided(t, err)
	}
}
