// Package registry is the server's side: a complete small Cargo registry with a key service, as one
// [http.Handler].
//
// It serves a sparse index, downloads, and the whole of cargo's web API (The Cargo Book, "Registry
// Web API"), every change authorized by a token of RFC 3231, and the key API of regkey's own protocol
// under /api/regkey/v1, by which accounts enrol, rotate and revoke their keys. Facts lie in
// package storage; tokens are judged by package token behind package verify; keysets by package enroll.
package registry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry/crate"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/registry/verify"
	"github.com/cargo-regkey/regkey/token"
)

// apiPath is where the key API lies below the registry's URL.
const apiPath = "/api/regkey/v1"

// A Config says how a registry is served.
type Config struct {
	Storage *storage.DB
	URL     string // what the world calls the registry: http(s)://host[/path], with or without a slash at the end
	// Former are index URLs from before a move, beside those that Storage remembers: documents that name them stay valid,
	// tokens do not.
	Former []string

	AuthRequired bool          // reading needs a token too
	Challenge    bool          // each mutation token must carry a challenge that this registry issued
	MaxCrate     int64         // bytes of a .crate file; 0 is crate.DefaultMaxCrate
	Window       time.Duration // how old a token may be; 0 is token.DefaultWindow
	Hardware     HardwarePolicy
	Passing      bool // URL is good for this run alone, as with a port that the system chose: it is not remembered as a former one

	Log *slog.Logger     // nil is slog.Default
	Now func() time.Time // nil is time.Now
}

// A Server is a registry. It is an [http.Handler] for any number of requests at once.
type Server struct {
	config     Config
	storage    *storage.DB
	log        *slog.Logger
	now        func() time.Time
	base       string   // without a slash at the end
	index      string   // the index URL that tokens name
	indexes    []string // those that documents may name: the index URL and the former ones
	origin     crate.Origin
	verify     *verify.Middleware
	challenges *challenges
	failures   *failureLimit
	origins    origins
	handler    http.Handler
}

// IndexURL is the index URL of a registry that the world calls url, as cargo's configuration needs it.
func IndexURL(url string) string {
	return "sparse+" + strings.TrimSuffix(url, "/") + "/index/"
}

// Open makes a server of a data folder. If the folder was served under another index URL before, that becomes a former one: documents
// that name it stay valid, tokens do not.
func Open(ctx context.Context, c Config) (*Server, error) {
	base, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, storage: c.Storage, log: c.Log, now: c.Now, base: base, index: IndexURL(base)}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.config.MaxCrate <= 0 {
		s.config.MaxCrate = crate.DefaultMaxCrate
	}
	if s.config.Window <= 0 {
		s.config.Window = token.DefaultWindow
	}
	if err := s.settle(ctx); err != nil {
		return nil, fmt.Errorf("opening registry: %w", err)
	}
	s.challenges = newChallenges(s.config.Window, s.storage.SpendChallenge)
	s.failures, s.origins = newFailureLimit(), newOrigins()
	s.verify = &verify.Middleware{
		Verifier: s.verifier(),
		LoginURL: s.base + "/me",
		Explain:  s.explain,
		Now:      s.now,
		Log:      s.log,
	}
	s.handler = s.routes(s.base)
	return s, nil
}

// CheckURL reports what is wrong with a URL that a registry is to be served under.
func CheckURL(url string) error {
	_, err := parseURL(url)
	return err
}

// parseURL checks the registry's URL and takes the slash from its end.
func parseURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.ContainsAny(text, " \"\\?#") {
		return "", fmt.Errorf("registry URL %q is not of the form http(s)://host[:port][/path]", text)
	}
	return strings.TrimSuffix(text, "/"), nil
}

// settle records the index URL and learns the former ones.
func (s *Server) settle(ctx context.Context) error {
	var lasting []string // the one that a passing one stands in for
	err := s.storage.Update(ctx, func(tx *storage.Tx) error {
		before, err := tx.Index(ctx)
		if s.config.Passing {
			if err == nil && before != s.index {
				lasting = []string{before}
			}
			return nil
		}
		if err == nil && before != s.index {
			s.log.Warn("the index URL has changed: clients must configure the new one, tokens for the old one are refused",
				"before", before, "now", s.index)
		}
		return tx.MoveIndex(ctx, s.index, s.now())
	})
	if err != nil {
		return err
	}
	former, err := s.storage.FormerIndexes(ctx)
	if err != nil {
		return err
	}
	former = append(former, lasting...)
	for _, index := range s.config.Former {
		if err := enroll.CheckIndex(index); err != nil || index == s.index {
			return fmt.Errorf("%q is no index URL from before a move", index)
		}
		if !slices.Contains(former, index) {
			former = append(former, index)
		}
	}
	s.origin = crate.Origin{Index: s.index, Former: former}
	s.indexes = append([]string{s.index}, former...)
	return nil
}

func (s *Server) verifier() *token.Verifier {
	v := &token.Verifier{
		Index:      s.index,
		Algorithms: []keys.Algorithm{keys.Ed25519, keys.P384},
		Window:     s.config.Window,
		Keys:       keySource{s.storage},
		Spent:      spent{s.storage},
		Now:        s.now,
	}
	if s.config.Challenge {
		v.Challenges = s.challenges
	}
	return v
}

// Index is the index URL, as cargo's configuration needs it.
func (s *Server) Index() string { return s.index }

// URL is what the world calls the registry, without a slash at the end.
func (s *Server) URL() string { return s.base }

// keepSpent is how long what was spent is remembered beyond its end: a clock that is set back makes tokens
// fresh again, and a request can wait for the database between the two judgements of its token.
const keepSpent = time.Hour

// Tidy forgets tokens and challenges that were spent and have expired an hour ago. It is to be called every few minutes.
func (s *Server) Tidy(ctx context.Context) error {
	return s.storage.Prune(ctx, s.now().Add(-keepSpent))
}

// ServeHTTP answers one request. A panic in it is logged and answered with 500.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }
