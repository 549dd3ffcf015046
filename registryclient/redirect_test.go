// Where a server may send a client on to, and what it may turn a connection into. Scripts again:
// the real registry does neither.

package registryclient

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The answer 101 hands over the bare connection: nothing would ever end the reading of its "body".
func TestSwitchingProtocols(t *testing.T) {
	gone := make(chan struct{})
	_, client, _ := newLiar(t, func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = connection.Close() }()
		_, _ = io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: forever\r\n\r\n")
		_, _ = connection.Read(make([]byte, 1)) // until the client closes it
		close(gone)
	})
	_, err := client.Challenge(t.Context())
	undecided(t, err)
	if answered(err) != 101 {
		t.Errorf("%v, want the status 101", err)
	}
	<-gone
}

func TestRedirects(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a redirect to another origin was followed")
	}))
	defer other.Close()
	port := strings.TrimPrefix(other.URL, "http://127.0.0.1:")
	for name, to := range map[string]string{
		"another port": other.URL + "/api/challenge", "another name": "http://localhost:" + port + "/", "without scheme": "//127.0.0.1:" + port + "/",
		"another scheme": "https://127.0.0.1:" + port + "/", "no web": "ftp://127.0.0.1/", "a file": "file:///etc/passwd", "control characters": "http://\x1b[31m/",
	} {
		t.Run(name, func(t *testing.T) {
			for _, status := range []int{301, 302, 303, 307, 308} {
				l, client, waited := newLiar(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header()["Location"] = []string{to}
					w.WriteHeader(status)
				})
				_, err := client.Challenge(t.Context())
				undecided(t, err)
				asked := l.asked.Load()
				undecided(t, submit(t, client))
				if name != "control characters" && (asked != 1 || l.posts.Load() != 1 || len(*waited) != 0) {
					t.Errorf("%d: tried again: %d and %d requests", status, asked, l.posts.Load())
				}
			}
		})
	}

	t.Run("a password", func(t *testing.T) {
		var l *liar
		l, client, _ := newLiar(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.Replace(l.url, "http://", "http://a:b@", 1)+"/elsewhere", http.StatusFound)
		})
		_, err := client.Challenge(t.Context())
		undecided(t, err)
		if l.asked.Load() != 1 || strings.Contains(err.Error(), "a:b") {
			t.Errorf("%v after %d requests", err, l.asked.Load())
		}
	})
	t.Run("in circles", func(t *testing.T) {
		l, client, _ := newLiar(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/api/challenge?again", http.StatusFound)
		})
		_, err := client.Challenge(t.Context())
		undecided(t, err)
		if !strings.Contains(err.Error(), "in circles") || l.asked.Load() != 4 {
			t.Errorf("%v after %d requests", err, l.asked.Load())
		}
	})
	t.Run("within the origin", func(t *testing.T) {
		_, client, _ := newLiar(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/challenge" {
				http.Redirect(w, r, "/v2/challenge", http.StatusFound)
				return
			}
			_, _ = io.WriteString(w, `{"challenge":"abc"}`)
		})
		if challenge, err := client.Challenge(t.Context()); challenge != "abc" || err != nil {
			t.Errorf("%q (%v)", challenge, err)
		}
	})
	t.Run("nowhere", func(t *testing.T) {
		_, client, _ := newLiar(t, say(302, ""))
		_, err := client.Challenge(t.Context())
		if undecided(t, err); answered(err) != 302 {
			t.Errorf("%v, want the status 302", err)
		}
	})
}

// A document that is redirected within the origin arrives as a document, or not at all: a page that is
// fetched in its place answers 200 to everybody.
func TestRedirectedDocuments(t *testing.T) {
	for status, taken := range map[int]bool{301: false, 302: false, 303: false, 307: true, 308: true} {
		l, client, _ := newLiar(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/api/") {
				http.Redirect(w, r, "/v2", status)
				return
			}
			_, _ = io.WriteString(w, `{"version":2}`)
		})
		err := submit(t, client)
		if taken && (err != nil || l.posts.Load() != 2) {
			t.Errorf("%d: %v after %d documents", status, err, l.posts.Load())
		}
		if !taken {
			undecided(t, err)
		}
	}
}
