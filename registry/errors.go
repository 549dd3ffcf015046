// Refusals: what each failure looks like to cargo.

package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/registry/crate"
	"github.com/cargo-regkey/regkey/registry/verify"
)

// refuse is an answer that refuses. The detail is shown by cargo as it is.
func refuse(status int, code, detail string, args ...any) *verify.Error {
	return &verify.Error{Status: status, Code: code, Detail: fmt.Sprintf(detail, args...)}
}

// refusal is how to answer err: each package's own refusals with its code and sentence, everything else as 500.
func refusal(err error) *verify.Error {
	var rule *enroll.RuleError
	if errors.As(err, &rule) {
		return refuse(http.StatusForbidden, rule.Code, "%s", rule.Detail)
	}
	var conflict *conflictError
	if errors.As(err, &conflict) {
		return refuse(http.StatusConflict, "keyset-conflict", "%s", conflict.Error())
	}
	var bad *crate.Error
	if errors.As(err, &bad) {
		status := http.StatusBadRequest
		if bad.Code == crate.PublishTooLarge || bad.Code == crate.ArchiveTooLarge {
			status = http.StatusRequestEntityTooLarge
		}
		return refuse(status, string(bad.Code), "%s", bad.Detail)
	}
	return verify.Refusal(err)
}

// How much of a refused upload is read and thrown away, in bytes, and for how long: whoever sends it may have no token at all.
const (
	maxDrain  = 16 << 20
	drainTime = 20 * time.Second
)

// drained makes sure that a client which sends its body without waiting gets to read why it was
// refused: a connection closed with unread bytes is reset, and the answer lost with it. A client that waits
// for "100 Continue" must not be told to go on.
func drained(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := r.Body
		defer func() {
			if r.Header.Get("Expect") == "" {
				_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTime))
				_, _ = io.CopyN(io.Discard, body, maxDrain)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
