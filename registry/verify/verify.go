// Package verify checks cargo's tokens in front of HTTP handlers. A registry written in Go imports
// it together with package token, and brings its own storage: nothing in here knows a database.
//
//	m := &verify.Middleware{Verifier: verifier, LoginURL: "https://crates.example.com/me"}
//	mux.Handle("PUT /api/v1/crates/new", m.Require(token.Publish, publish))
//
// and in the handler, once the body is received and hashed,
//
//	grant := verify.GrantOf(r.Context())
//	if err := grant.Authorize(name, version, checksum); err != nil { verify.Write(w, verify.Refusal(err)); return }
package verify

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/cargo-regkey/regkey/token"
)

// Middleware authenticates requests. Verifier must be set; it must not change once requests arrive.
type Middleware struct {
	// Verifier judges the tokens.
	Verifier *token.Verifier
	// LoginURL, if not empty, is what cargo shows to a user who has no token for this registry.
	LoginURL string
	// Explain, if set, may put a better refusal in the place of one, for example one that says what
	// the first use of a replayed token did. It may read the request's body. The token stays
	// refused.
	Explain func(r *http.Request, refused *token.Error) *Error
	// Now is the clock by which a request has arrived; nil is time.Now.
	Now func() time.Time
	// Log gets refusals and failures, never a token; nil is slog.Default.
	Log *slog.Logger
}

type grantKey struct{}

// GrantOf is the grant that [Middleware.Require] put into a request's context. It panics where there
// is none: a handler that relies on it must not run without.
func GrantOf(ctx context.Context) *token.Grant {
	grant, ok := ctx.Value(grantKey{}).(*token.Grant)
	if !ok {
		panic("verify: the handler stands behind no Middleware")
	}
	return grant
}

// Require lets a request through to next only with a token that is good for op. It judges before a
// byte of the body is read, and takes that moment as the request's arrival. The handler still has
// to compare the request with the token, by [token.Grant.Authorize]; for a [token.Read] that is
// done here.
func (m *Middleware) Require(op token.Operation, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		grant, err := m.authenticate(r, op)
		if err != nil {
			m.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), grantKey{}, grant)))
	})
}

func (m *Middleware) authenticate(r *http.Request, op token.Operation) (*token.Grant, error) {
	now := time.Now
	if m.Now != nil {
		now = m.Now
	}
	// We might read one of two headers, and a proxy in front of us the other.
	if len(r.Header.Values("Authorization")) > 1 {
		return nil, &token.Error{Code: token.CodeMalformed, Detail: "the request carries more than one Authorization header: find out what adds one in transit"}
	}
	grant, err := m.Verifier.Authenticate(r.Context(), r.Header.Get("Authorization"), op, now())
	if err == nil && op == token.Read {
		err = grant.Authorize("", "", "")
	}
	return grant, err
}

func (m *Middleware) refuse(w http.ResponseWriter, r *http.Request, err error) {
	log := m.Log
	if log == nil {
		log = slog.Default()
	}
	refusal := Refusal(err)
	var refused *token.Error
	if errors.As(err, &refused) && m.Explain != nil {
		if better := m.Explain(r, refused); better != nil {
			refusal = better
		}
	}
	switch {
	case refusal.Status >= http.StatusInternalServerError:
		log.ErrorContext(r.Context(), "judging a token failed", "method", r.Method, "path", LoggedPath(r), "error", err)
	case refusal.Status == http.StatusUnauthorized && r.Method == http.MethodGet:
		// So cargo asks, once in each run, whether reading needs a token.
		log.DebugContext(r.Context(), "token missing", "method", r.Method, "path", LoggedPath(r))
	default:
		log.InfoContext(r.Context(), "token refused", "method", r.Method, "path", LoggedPath(r), "code", refusal.Code)
	}
	if refusal.Status == http.StatusUnauthorized && m.LoginURL != "" {
		w.Header().Set("WWW-Authenticate", `Cargo login_url="`+m.LoginURL+`"`)
	}
	Write(w, refusal)
}
