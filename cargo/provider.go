// What cargo and a credential provider say to each other: the types of the protocol, version 1.

package cargo

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The operations that cargo asks a token for (Cargo Book, "Credential Provider Protocol").
const (
	OperationRead    = "read"
	OperationPublish = "publish"
	OperationYank    = "yank"
	OperationUnyank  = "unyank"
	OperationOwners  = "owners"
)

// The kinds of a request.
const (
	kindGet    = "get"
	kindLogin  = "login"
	kindLogout = "logout"
)

// A ProviderRequest is one request of cargo's, as far as a provider may rely on it. The registry's
// name, the HTTP headers and the arguments of cargo's configuration are checked for their type and
// then dropped: a project's own .cargo/config.toml can set name and arguments, so nothing may be
// chosen by them.
type ProviderRequest struct {
	Kind string // "get", "login", "logout", or what a later cargo knows
	// Index is the registry's index URL exactly as cargo gives it, "sparse+" and trailing slash kept.
	// It can come from a project's own configuration: compare it, do not trust it.
	Index string

	// Operation is what a token is asked for, where Kind is "get".
	Operation string
	Crate     string // the crate's name; not for read
	Version   string // not for read and owners
	Checksum  string // publish only: SHA-256 of the crate file, as cargo wrote it

	// TokenGiven says that the user gave a token to "cargo login". The token itself is
	// neither kept nor copied.
	TokenGiven bool
}

// A ProviderHandler answers requests. It is given only kinds and operations that the protocol
// names, with every field that they must have. The errors that [ServeProvider] translates for cargo
// are [ErrURLNotSupported], [ErrNotFound], [ErrOperationNotSupported] and [*ProviderError]; the
// text of any other error is shown to cargo's user as it is.
type ProviderHandler interface {
	// Get makes a token for r.Operation.
	Get(ctx context.Context, r ProviderRequest) (ProviderToken, error)
	// Login answers "cargo login"; nil lets it succeed.
	Login(ctx context.Context, r ProviderRequest) error
	// Logout answers "cargo logout"; nil lets it succeed.
	Logout(ctx context.Context, r ProviderRequest) error
}

// A ProviderToken is what cargo sends as the Authorization header.
type ProviderToken struct {
	Text string
	// Expires is until when cargo may use a read token again, cut to whole seconds; cargo asks anew
	// from 60 s before. The zero value forbids any second use. A token for another operation is
	// never used twice, whatever stands here.
	Expires time.Time
}

// The answers that need no sentence. Cargo goes on to the next provider that is configured, if any,
// after the first two, and stops at the third.
var (
	ErrURLNotSupported       = errors.New("url-not-supported")
	ErrNotFound              = errors.New("not-found")
	ErrOperationNotSupported = errors.New("operation-not-supported")
)

// A ProviderError is a failure that cargo shows to its user, with the causes below it, and
// after which it asks no other provider.
type ProviderError struct {
	Message  string   // a sentence: what happened and what to do
	CausedBy []string // what led to it, outermost first
}

// Error is the sentence alone.
func (e *ProviderError) Error() string { return e.Message }

// Printable makes text fit for a terminal: control characters, invisible characters, characters
// that turn the direction of writing, and bytes that are no UTF-8 come out escaped as in a Go
// string. It leaves no way to move the cursor, hide words or begin a new line.
func Printable(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) || r == utf8.RuneError }) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if strconv.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			b.WriteRune(r)
		} else {
			quoted := strconv.Quote(text[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[size:]
	}
	return b.String()
}
