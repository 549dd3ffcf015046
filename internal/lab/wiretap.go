// A wiretap: what somebody on the network sees, and keeps.

package lab

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// A Wiretap stands between everybody and a registry, and keeps every request.
type Wiretap struct {
	server  *httptest.Server
	target  *url.URL
	release func() // the registry's address

	mu       sync.Mutex
	requests []Captured
	all      bytes.Buffer
}

// Captured is a request as it crossed the network.
type Captured struct {
	Method, Path, Token string // Path is with its query; Token is the Authorization header
	Body                []byte
}

// Mutation reports whether the request carries a token that is not only for reading.
func (c Captured) Mutation() bool {
	return c.Token != "" && (c.Method != http.MethodGet || strings.HasSuffix(c.Path, "/owners"))
}

// ServeTapped starts a wiretap, and behind it a registry that the world knows by the wiretap's URL.
func (l *Lab) ServeTapped(ctx context.Context, data string, args ...string) (*Wiretap, *Registry, error) {
	address, release, err := Reserve() // where --url is given the registry does not tell its port
	if err != nil {
		return nil, nil, err
	}
	w := &Wiretap{target: &url.URL{Scheme: "http", Host: address}, release: release}
	w.server = httptest.NewServer(w)
	r, err := l.Serve(ctx, data, append([]string{"--listen", address, "--url", w.server.URL}, args...)...)
	if err != nil {
		w.Close()
		return nil, nil, err
	}
	return w, r, nil
}

// Close ends the wiretap; the registry behind it goes on.
func (w *Wiretap) Close() {
	w.server.Close()
	w.release()
}

// Requests are those captured so far, oldest first.
func (w *Wiretap) Requests() []Captured {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Captured(nil), w.requests...)
}

// All is every byte of requests and answers so far.
func (w *Wiretap) All() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}

// ServeHTTP passes a request on and keeps it.
func (w *Wiretap) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadGateway)
		return
	}
	head, err := httputil.DumpRequest(request, false)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadGateway)
		return
	}
	w.keep(append(head, body...), &Captured{request.Method, request.URL.RequestURI(), request.Header.Get("Authorization"), body})
	request.Body = io.NopCloser(bytes.NewReader(body))
	proxy := httputil.NewSingleHostReverseProxy(w.target)
	proxy.ModifyResponse = func(response *http.Response) error {
		content, err := io.ReadAll(response.Body)
		w.keep(content, nil)
		response.Body = io.NopCloser(bytes.NewReader(content))
		return err
	}
	proxy.ServeHTTP(answer, request)
}

func (w *Wiretap) keep(data []byte, request *Captured) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.Write(data)
	if request != nil {
		w.requests = append(w.requests, *request)
	}
}
