// What can go wrong between a client and a registry, as types that carry the facts.

package registryclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
)

// An Error is a registry's no to exactly what was sent, in its own words. Sending it again
// changes nothing. It is an enroll.Refusal.
type Error struct {
	Status int
	Code   string // e.g. "keyset-conflict"
	Detail string // a sentence; control characters are taken out
	Note   string // with a conflict: the signed keyset that stands
}

// Error is the registry's sentence and its code.
func (e *Error) Error() string {
	return fmt.Sprintf("the registry refused: %s (%s)", e.Detail, e.Code)
}

// RefusalCode is the registry's code.
func (e *Error) RefusalCode() string { return e.Code }

// A StatusError is an answer that settles nothing: the registry is overloaded, broken, wants a token, or
// something else answered in its place.
type StatusError struct {
	URL        string
	Status     int
	Code       string // may be empty
	Detail     string // may be empty
	RetryAfter time.Duration
}

// Error names the URL, the status, and what the registry said of it.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s answered %d %s", e.URL, e.Status, http.StatusText(e.Status))
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// A NetworkError says that no answer came; whether the registry got the request is not known.
type NetworkError struct {
	URL string
	err error
}

// Error names the URL and the cause.
func (e *NetworkError) Error() string { return fmt.Sprintf("speaking to %s: %v", e.URL, cause(e.err)) }

// Unwrap is the cause: [context.Canceled], [syscall.ECONNREFUSED] and the like.
func (e *NetworkError) Unwrap() error { return e.err }

// passing reports whether trying again soon may help.
func (e *NetworkError) passing() bool {
	return !errors.Is(e.err, context.Canceled) && !errors.Is(e.err, context.DeadlineExceeded) &&
		!errors.Is(e.err, syscall.ECONNREFUSED) && !errors.Is(e.err, errRedirect)
}

// cause takes away the method and URL that net/http puts before an error; ours says them already.
func cause(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// refusals are the statuses by which a registry that names a code has decided about the request itself.
var refusals = map[int]bool{
	http.StatusBadRequest: true, http.StatusForbidden: true, http.StatusNotFound: true, http.StatusConflict: true,
	http.StatusGone: true, http.StatusRequestEntityTooLarge: true, http.StatusUnprocessableEntity: true,
}

func answerError(url string, response *http.Response, data []byte) error {
	var answer struct {
		Errors []struct {
			Code   string `json:"code"`
			Detail string `json:"detail"`
		} `json:"errors"`
		Note string `json:"note"`
	}
	status := &StatusError{URL: url, Status: response.StatusCode, RetryAfter: retryAfter(response.Header.Get("Retry-After"))}
	if err := json.Unmarshal(data, &answer); err != nil || len(answer.Errors) == 0 {
		return status
	}
	first := answer.Errors[0]
	status.Code, status.Detail = printable(first.Code), printable(first.Detail)
	if refusals[status.Status] && status.Code != "" {
		return &Error{Status: status.Status, Code: status.Code, Detail: status.Detail, Note: answer.Note}
	}
	return status
}

// retryAfter reads seconds (RFC 9110, section 10.2.3); a date, or nothing, is a second.
func retryAfter(text string) time.Duration {
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 0 {
		return time.Second
	}
	return time.Duration(min(seconds, 24*3600)) * time.Second
}

// printable keeps a registry from writing control sequences to a terminal, and from filling it.
func printable(text string) string {
	if len(text) > 2000 {
		text = text[:2000]
	}
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}
