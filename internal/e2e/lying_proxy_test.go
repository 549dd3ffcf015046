// What stands between a client and the real registry, and answers something else: every program reaches it
// as its HTTP proxy, so that many liars can speak for one registry at the same time.

package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/internal/lab"
)

// liedAbout is the registry's host, which only the proxies know.
const liedAbout = "crates.test"

// A told is a whole answer.
type told struct {
	status int
	header http.Header
	body   []byte
}

// A liar is one proxy. What it does is settled before [liar.env] starts it.
type liar struct {
	server   *httptest.Server
	registry *url.URL // where the real one listens
	// lie changes an honest answer; nil leaves it.
	lie func(r *http.Request, honest told) told
	// instead answers in the registry's place, and reports whether it did.
	instead func(w http.ResponseWriter, r *http.Request) bool

	mu       sync.Mutex
	requests []lab.Captured
	strayed  []string // requests to other hosts, and the tokens that came along
}

func newLiar(t *testing.T, registry *url.URL) *liar {
	t.Helper()
	l := &liar{registry: registry}
	l.server = httptest.NewUnstartedServer(l)
	t.Cleanup(l.server.Close)
	return l
}

// env has a program go through the liar.
func (l *liar) env() []string {
	if l.server.URL == "" {
		l.server.Start()
	}
	return []string{"HTTP_PROXY=" + l.server.URL, "http_proxy=" + l.server.URL, "NO_PROXY=", "no_proxy="}
}

// forget begins to count anew, and returns what was asked before.
func (l *liar) forget() (requests []lab.Captured, strayed []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	requests, strayed = l.requests, l.strayed
	l.requests, l.strayed = nil, nil
	return requests, strayed
}

func (l *liar) note(r *http.Request, body []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, lab.Captured{Method: r.Method, Path: r.URL.RequestURI(), Token: r.Header.Get("Authorization"), Body: body})
	if r.URL.Host != liedAbout {
		l.strayed = append(l.strayed, r.Method+" "+r.URL.String()+" "+r.Header.Get("Authorization"))
	}
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	l.note(r, body)
	if l.instead != nil && l.instead(w, r) {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer, err := l.ask(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if l.lie != nil {
		answer = l.lie(r, answer)
	}
	for name, values := range answer.header {
		if name != "Content-Length" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body)
}

// ask has the real registry answer.
func (l *liar) ask(r *http.Request) (told, error) {
	out := r.Clone(r.Context())
	out.RequestURI, out.Host = "", liedAbout
	out.URL.Scheme, out.URL.Host = l.registry.Scheme, l.registry.Host
	response, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		return told{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return told{response.StatusCode, response.Header, body}, err
}

// The questions that a client asks.

func asksDiscovery(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/config.json") }
func asksLatest(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/keysets/latest")
}
func asksKeysets(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/keysets")
}
func asksProposal(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/proposals/")
}
func asksKey(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/api/regkey/v1/keys/")
}
func asksAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/regkey/") }
func sends(r *http.Request) bool   { return r.Method == http.MethodPost && asksAPI(r) }

// with is the told with members of its JSON changed.
func (a told) with(change func(map[string]any)) told {
	all := map[string]any{}
	if a.status/100 != 2 || json.Unmarshal(a.body, &all) != nil {
		return a
	}
	change(all)
	return says(a.status, all)
}

// says is a told in the registry's place.
func says(status int, document any) told {
	body, err := json.Marshal(document)
	if err != nil {
		panic(err) // a lie that nobody would hear
	}
	return told{status, http.Header{"Content-Type": {"application/json"}}, body}
}
