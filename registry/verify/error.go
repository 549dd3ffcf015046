// Refusals as cargo reads them.

package verify

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/token"
)

// An Error is an answer that refuses a request: an HTTP status, a code for programs, and a sentence
// for the person at cargo, which cargo shows as it is.
type Error struct {
	Status     int
	Code       string
	Detail     string
	RetryAfter time.Duration // if not zero, when trying again makes sense
}

// Error is the Detail.
func (e *Error) Error() string { return e.Detail }

// Refusal is how to answer err: an [*Error] in it as it is; a [*token.Error] with 401 if there was
// no token and 403 else; everything else with 500, which reveals nothing.
//
// Cargo 1.95 asks its credential provider for a token when config.json is answered with 401, and shows
// the body's sentence with 403; with 401 to a token it adds that the user should log in, which
// would not help.
func Refusal(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	var refused *token.Error
	if errors.As(err, &refused) {
		status := http.StatusForbidden
		if refused.Code == token.CodeMissing {
			status = http.StatusUnauthorized
		}
		return &Error{Status: status, Code: string(refused.Code), Detail: refused.Detail}
	}
	return &Error{Status: http.StatusInternalServerError, Code: "internal-error",
		Detail: "the registry failed to answer: try again; if it fails again, its operator can find the reason in its log"}
}

// Write answers with e in cargo's form, {"errors":[{"code":…,"detail":…}]}.
func Write(w http.ResponseWriter, e *Error) {
	type entry struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	body, err := json.Marshal(struct {
		Errors []entry `json:"errors"`
	}{[]entry{{e.Code, e.Detail}}})
	if err != nil { // a Detail that is not UTF-8
		body = []byte(`{"errors":[{"code":` + strconv.Quote(e.Code) + `,"detail":"the request was refused"}]}`)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if e.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(append(body, '\n'))
}
