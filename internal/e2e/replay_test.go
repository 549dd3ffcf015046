// A passive attacker: everything that crossed the network is sent again, at once and later, as it was and altered.

package e2e

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cargo-regkey/regkey/internal/lab"
	"github.com/cargo-regkey/regkey/keys"
)

// A wiretap stands between everybody and the registry and keeps every request.
type wiretap struct {
	*httptest.Server
	mu       sync.Mutex
	target   *url.URL
	requests []captured
	all      bytes.Buffer // every byte of requests and answers
}

type captured struct {
	method, path, token string
	body                []byte
}

// tap starts a wiretap, and a registry behind it that the world knows by the wiretap's URL.
func tap(t *testing.T, l *lab.Lab, args ...string) (*wiretap, *lab.Registry) {
	t.Helper()
	w := &wiretap{}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	r := serve(t, l, append([]string{"--listen", address, "--url", w.URL}, args...)...)
	w.target = &url.URL{Scheme: "http", Host: address}
	return w, r
}

func (w *wiretap) ServeHTTP(rw http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	w.mu.Lock()
	w.requests = append(w.requests, captured{request.Method, request.URL.RequestURI(), request.Header.Get("Authorization"), body})
	dump, _ := httputil.DumpRequest(request, false)
	w.all.Write(dump)
	w.all.Write(body)
	w.mu.Unlock()
	request.Body = io.NopCloser(bytes.NewReader(body))
	proxy := httputil.NewSingleHostReverseProxy(w.target)
	proxy.ModifyResponse = func(answer *http.Response) error {
		content, err := io.ReadAll(answer.Body)
		w.mu.Lock()
		w.all.Write(content)
		w.mu.Unlock()
		answer.Body = io.NopCloser(bytes.NewReader(content))
		return err
	}
	proxy.ServeHTTP(rw, request)
}

func TestReplay(t *testing.T) {
	needCargo(t)
	for _, algorithm := range []string{"ed25519", "p384"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			w, r := tap(t, l, "--auth-required")
			enrolled(t, l, r, "laptop", "crates-team", "--algorithm", algorithm)
			one := sample(t, l, "one", "0.1.0")
			must(t, l, one, "", "cargo", "publish", "--registry", "lab")
			must(t, l, one, "", "cargo", "yank", "--registry", "lab", "--version", "0.1.0", "one")
			must(t, l, one, "", "cargo", "owner", "--registry", "lab", "--list", "one")
			must(t, l, "", "", "regkey", "rotate", "--registry", "lab", "--to", "laptop-2", "--no-passphrase", "--yes")
			must(t, l, one, "", "cargo", "yank", "--undo", "--registry", "lab", "--version", "0.1.0", "one")
			before := state(t, l, r)
			mutations := 0
			for _, c := range w.requests[:len(w.requests):len(w.requests)] {
				if c.token == "" || c.method == http.MethodGet && !strings.HasSuffix(c.path, "/owners") {
					continue
				}
				mutations++
				for kind, token := range map[string]string{"as it was": c.token, "twin": twin(t, c.token)} {
					status, answer, err := r.Send(t.Context(), c.method, c.path, token, c.body)
					if err != nil {
						t.Fatal(err)
					}
					if status/100 != 4 {
						t.Errorf("%s %s replayed %s: %d %s", c.method, c.path, kind, status, answer)
					}
				}
			}
			if mutations < 4 {
				t.Fatalf("only %d mutations were captured", mutations)
			}
			if after := state(t, l, r); after != before {
				t.Errorf("replays changed something:\n%s\ninstead of\n%s", after, before)
			}
			nothingSecret(t, l, r, w)
		})
	}
}

// state is what replays could change, as the registry shows it.
func state(t *testing.T, l *lab.Lab, r *lab.Registry) string {
	t.Helper()
	return indexFile(t, r, l, "one") + must(t, l, "", "", "regkey-registry", "keys", "--data", r.Data, "--json")
}

// twin is the token with the other signature that P-384 has for every message, (r, n−s); an Ed25519 token, which has
// none, is given back with its last signature byte changed.
func twin(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	payload := decode64(t, parts[2])
	if parts[0] == "v3" {
		s := payload[len(payload)-48:]
		order := elliptic.P384().Params().N
		new(big.Int).Sub(order, new(big.Int).SetBytes(s)).FillBytes(s)
	} else {
		payload[len(payload)-1] ^= 1
	}
	parts[2] = base64.RawURLEncoding.EncodeToString(payload)
	return strings.Join(parts, ".")
}

func decode64(t *testing.T, text string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// openKey reads an unprotected key of the user.
func openKey(t *testing.T, l *lab.Lab, name string) *keys.SoftwareKey {
	t.Helper()
	key, err := keys.OpenStore(filepath.Join(l.RegkeyHome(), "keys")).Unlock(context.Background(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
