// What can go wrong between a client and a registry, as types that carry the facts.

package registryclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/enroll"
)

// An Error is a registry's no to exactly what was sent, in its own words. Sending it again
// changes nothing. It is an enroll.Refusal.
type Error struct {
	Status int
	Code   string // e.g. "keyset-conflict"
	Detail string // a sentence; control characters are taken out
	Note   string // with a conflict: the signed keyset that stands, if the registry is to be believed; not verified
}

// Error is the registry's sentence and its code.
func (e *Error) Error() string {
	if e.Detail == "" {
		return "the registry refused: " + e.Code
	}
	return fmt.Sprintf("the registry refused: %s (%s)", e.Detail, e.Code)
}

// RefusalCode is the registry's code.
func (e *Error) RefusalCode() string { return e.Code }

// A StatusError is an answer that settles nothing: the registry is overloaded, broken, wants a
// token, or something else answered in its place.
type StatusError struct {
	URL        string
	Status     int
	Code       string // may be empty
	Detail     string // may be empty
	RetryAfter time.Duration
}

// Error names the URL, the status, and what the registry said of it.
func (e *StatusError) Error() string {
	text := strings.TrimSpace(fmt.Sprintf("%s answered %d %s", e.URL, e.Status, http.StatusText(e.Status)))
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.RetryAfter > maxWait {
		text += fmt.Sprintf("; it asks to wait %v", e.RetryAfter)
	}
	return text
}

// A NetworkError says that no whole answer came; whether the registry got the request is not known.
type NetworkError struct {
	URL string
	err error
}

// Error names the URL and the cause, which is clipped: net/http repeats whole lines of what a
// server sent.
func (e *NetworkError) Error() string {
	if errors.Is(e.err, context.DeadlineExceeded) {
		return fmt.Sprintf("speaking to %s: expected was a whole answer in time, within %v at most, and none came", e.URL, timeout)
	}
	return fmt.Sprintf("speaking to %s: %s", e.URL, printable(cause(e.err).Error()))
}

// Unwrap is the cause: [context.Canceled], [syscall.ECONNREFUSED] and the like.
func (e *NetworkError) Unwrap() error { return e.err }

// A StrayError says that what answered is not what a registry answers: it sends its clients elsewhere, does
// not end, or is about something else than was asked for. It is an [enroll.DistrustError].
type StrayError struct{ Distrust enroll.DistrustError }

// Error is the sentence.
func (e *StrayError) Error() string { return e.Distrust.Error() }

// Unwrap is the [enroll.DistrustError].
func (e *StrayError) Unwrap() error { return &e.Distrust }

// stray is a StrayError of the client's registry.
func (c *Client) stray(detail, expected, came string) error {
	return &StrayError{enroll.DistrustError{Registry: shown(c.index), Detail: detail, Expected: expected, Came: came}}
}

// passing reports whether trying again soon may help.
func (e *NetworkError) passing() bool {
	for _, lasting := range []error{context.Canceled, context.DeadlineExceeded, syscall.ECONNREFUSED, errRedirect, http.ErrSchemeMismatch} {
		if errors.Is(e.err, lasting) {
			return false
		}
	}
	if errors.As(e.err, new(*patienceError)) {
		return false
	}
	var certificate *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	var name *net.DNSError
	if errors.As(e.err, new(*StrayError)) {
		return false
	}
	return !errors.As(e.err, &certificate) && !errors.As(e.err, &plain) && !(errors.As(e.err, &name) && name.IsNotFound)
}

// cause takes away the method and URL that net/http puts before an error; ours says them already.
func cause(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}

// refusals are the statuses by which a registry that names a code has decided about the request itself.
var refusals = map[int]bool{
	http.StatusBadRequest: true, http.StatusForbidden: true, http.StatusNotFound: true, http.StatusConflict: true,
	http.StatusGone: true, http.StatusRequestEntityTooLarge: true, http.StatusUnprocessableEntity: true,
}

// codeForm is the form of codes. What has another one is somebody else's.
var codeForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// codeNowhere is the code of a registry that has nothing at an address: it has not looked at what
// was sent there.
const codeNowhere = "not-found"

func answerError(url string, response *http.Response, data []byte) error {
	var answer struct {
		Errors []struct {
			Code   string `json:"code"`
			Detail string `json:"detail"`
		} `json:"errors"`
		Note string `json:"note"`
	}
	status := &StatusError{URL: url, Status: response.StatusCode, RetryAfter: retryAfter(response.Header)}
	if err := json.Unmarshal(data, &answer); err != nil || len(answer.Errors) == 0 {
		return status
	}
	first := answer.Errors[0]
	status.Detail = printable(first.Detail)
	if !codeForm.MatchString(first.Code) {
		return status
	}
	status.Code = first.Code
	if refusals[status.Status] && status.Code != codeNowhere {
		return &Error{Status: status.Status, Code: status.Code, Detail: status.Detail, Note: answer.Note}
	}
	return status
}

// maxRetryAfter is what a longer Retry-After counts as.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads seconds, or a date, which is taken by the registry's own clock (RFC 9110,
// section 10.2.3). Where nothing is said, it is a second.
func retryAfter(header http.Header) time.Duration {
	text := header.Get("Retry-After")
	if text != "" && strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.Atoi(text)
		if err != nil {
			return maxRetryAfter // more than an int holds
		}
		return time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
	}
	until, err := http.ParseTime(text)
	now, err2 := http.ParseTime(header.Get("Date"))
	if err != nil || err2 != nil {
		return time.Second
	}
	return min(max(until.Sub(now), 0), maxRetryAfter)
}

// maxShown is how many bytes of what a registry says are shown.
const maxShown = 2000

// printable keeps a registry from writing control sequences to a terminal, and from filling it.
func printable(text string) string {
	if len(text) > maxShown {
		end := maxShown
		for end > maxShown-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}
