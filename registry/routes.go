// Which path is answered by what, and behind which token.

package registry

import (
	"errors"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/registry/verify"
	"github.com/cargo-regkey/regkey/token"
)

// A handlerFunc answers a request, or returns why it does not: see refusal.
type handlerFunc func(w http.ResponseWriter, r *http.Request) error

func (s *Server) routes(base string) http.Handler {
	mux := http.NewServeMux()
	open := func(pattern string, h handlerFunc) { mux.Handle(pattern, s.handle(h)) }
	read := func(pattern string, h handlerFunc) {
		if s.config.AuthRequired {
			mux.Handle(pattern, s.verify.Require(token.Read, s.handle(h)))
			return
		}
		open(pattern, h)
	}
	change := func(pattern string, op token.Operation, h handlerFunc) {
		mux.Handle(pattern, drained(s.verify.Require(op, s.handle(h))))
	}

	read("GET /index/config.json", s.serveConfig)
	read("GET /index/{path...}", s.serveIndex)
	read("GET /api/v1/crates", s.search)
	read("GET /api/v1/crates/{crate}/{version}/download", s.download)
	change("PUT /api/v1/crates/new", token.Publish, s.unfrozen(s.publish))
	change("DELETE /api/v1/crates/{crate}/{version}/yank", token.Yank, s.unfrozen(s.yank))
	change("PUT /api/v1/crates/{crate}/{version}/unyank", token.Unyank, s.unfrozen(s.unyank))
	change("GET /api/v1/crates/{crate}/owners", token.Owners, s.listOwners)
	change("PUT /api/v1/crates/{crate}/owners", token.Owners, s.unfrozen(s.addOwners))
	change("DELETE /api/v1/crates/{crate}/owners", token.Owners, s.unfrozen(s.removeOwners))
	open("GET /me", s.me)

	open("GET /.well-known/regkey.json", s.serveDiscovery)
	open("GET "+apiPath+"/challenge", s.issueChallenge)
	open("POST "+apiPath+"/accounts/{account}/keysets", s.counted(true, s.submitKeyset))
	read("GET "+apiPath+"/accounts/{account}/keysets", s.serveKeysets)
	read("GET "+apiPath+"/accounts/{account}/keysets/latest", s.serveLatestKeyset)
	open("GET "+apiPath+"/accounts/{account}/keysets/{code}", s.counted(true, s.serveKeysetByCode))
	open("POST "+apiPath+"/accounts/{account}/proposals", s.counted(true, s.submitProposal))
	open("GET "+apiPath+"/accounts/{account}/proposals/{code}", s.counted(true, s.serveProposal))
	open("POST "+apiPath+"/revocations", s.counted(false, s.submitRevocation))
	read("GET "+apiPath+"/keys/{key}", s.serveKey)
	read("GET "+apiPath+"/keys/{key}/published", s.servePublished)
	open("/", func(http.ResponseWriter, *http.Request) error {
		return refuse(http.StatusNotFound, "not-found", "this registry has nothing at this address: check its URL in the configuration")
	})

	var handler http.Handler = mux
	if u, err := url.Parse(base); err == nil && u.Path != "" {
		handler = belowPath(u.Path, mux)
	}
	return s.guarded(handler)
}

// belowPath serves requests whose path still has the prefix of the registry's URL, and those from a proxy that has cut it.
func belowPath(prefix string, next http.Handler) http.Handler {
	stripped := http.StripPrefix(prefix, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, prefix+"/") {
			stripped.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// handle turns what a handler returns into an answer.
func (s *Server) handle(h handlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.answerError(w, r, err)
		}
	})
}

func (s *Server) answerError(w http.ResponseWriter, r *http.Request, err error) {
	e, path := refusal(err), loggedPath(r)
	switch {
	case r.Context().Err() != nil && e.Status >= http.StatusInternalServerError:
		s.log.InfoContext(r.Context(), "client went away", "method", r.Method, "path", path)
	case e.Status >= http.StatusInternalServerError:
		s.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", path, "error", err)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.log.DebugContext(r.Context(), "request refused", "method", r.Method, "path", path, "code", e.Code)
	default:
		s.log.InfoContext(r.Context(), "request refused", "method", r.Method, "path", path, "code", e.Code)
	}
	var conflict *conflictError
	if errors.As(err, &conflict) {
		conflict.write(w)
		return
	}
	verify.Write(w, e)
}

// loggedPath is [verify.LoggedPath] without a code at its end, which shows what it is the code of to whoever reads the log.
func loggedPath(r *http.Request) string {
	path := verify.LoggedPath(r)
	if strings.HasSuffix(r.Pattern, "/{code}") {
		path = path[:strings.LastIndexByte(path, '/')+1] + "{code}"
	}
	return path
}

// The time that a request has from its headers to the end of its answer. Uploads and downloads may be slow; nothing may last for ever.
const (
	shortRequest = time.Minute
	longRequest  = 30 * time.Minute
)

// guarded sets each connection's deadlines and survives panics of handlers.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := shortRequest
		// A download has nothing to send: net/http waits for an announced body before it answers. An upload gets its time once
		// its token is good.
		if strings.HasSuffix(r.URL.Path, "/download") && r.Body == http.NoBody {
			limit = longRequest
		}
		control := http.NewResponseController(w)
		deadline := time.Now().Add(limit) // the connection's own clock, not the registry's
		// A writer without deadlines (a test's recorder) has no connection to guard.
		_ = control.SetReadDeadline(deadline)
		_ = control.SetWriteDeadline(deadline)
		defer func() {
			switch cause := recover(); cause {
			case nil:
			case http.ErrAbortHandler:
				panic(cause) // net/http's own way to break off an answer
			default:
				s.log.ErrorContext(r.Context(), "panic while answering", "method", r.Method, "path", verify.LoggedPath(r), "panic", cause, "stack", string(debug.Stack()))
				verify.Write(w, verify.Refusal(errors.New("panic")))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// answer writes a JSON answer.
func answer(w http.ResponseWriter, status int, body any) error {
	text, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a client that went away is its own affair
	return nil
}
