// The provider: what it is asked, and how it fails in words.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

// provider answers cargo for one user. Everything outside the process is a field.
type provider struct {
	getenv func(name string) string
	home   func() (string, error)
	now    func() time.Time
	stderr io.Writer
	// ask has a person give a passphrase, and fails with terminal.ErrNone where none can be asked.
	ask func(ctx context.Context, q question) (keys.Secret, error)
	// challenge fetches a challenge from the registry with that index URL.
	challenge func(ctx context.Context, index string) (string, error)
	// regkey runs the regkey beside this program and returns what it prints, also if it fails.
	regkey func(ctx context.Context, stdin []byte, stderr io.Writer, args ...string) (string, error)

	// silent says that an agent was asked and said nothing: it is not waited for once more.
	silent bool
}

var _ cargo.ProviderHandler = (*provider)(nil)

// say writes one line for the user; cargo passes stderr on even with -q. What others have
// written, like an index URL out of a project's configuration, cannot steer the terminal.
func (p *provider) say(format string, values ...any) {
	_, _ = fmt.Fprintf(p.stderr, "regkey: %s\n", cargo.Printable(fmt.Sprintf(format, values...)))
}

// refuse is a failure that cargo shows: a sentence, and below it what led to it.
func refuse(cause error, format string, values ...any) error {
	failure := &cargo.ProviderError{Message: fmt.Sprintf(format, values...)}
	if cause != nil {
		failure.CausedBy = []string{cause.Error()}
	}
	return failure
}

// Login succeeds where the registry is enrolled: there is nothing to do. A token that the user
// gives is refused, as it would not be kept: success would say that it was.
func (p *provider) Login(_ context.Context, r cargo.ProviderRequest) error {
	id, err := p.identity(r.Index, token.Publish)
	if errors.Is(err, errNotEnrolled) {
		p.hint(r.Index)
		return cargo.ErrURLNotSupported
	}
	if err != nil {
		return err
	}
	if r.TokenGiven {
		return refuse(nil, "%s needs no token: regkey signs each request with %s; the token that you gave was not kept", id.registry, id.key)
	}
	p.say("%s needs no login: each request is signed with %s", id.registry, id.key)
	return nil
}

// Logout succeeds too, as there is no token to forget, and says what is left.
func (p *provider) Logout(_ context.Context, r cargo.ProviderRequest) error {
	id, err := p.identity(r.Index, token.Publish)
	if errors.Is(err, errNotEnrolled) {
		p.say("%s is not enrolled: there is nothing to log out of", readableURL(r.Index))
		return cargo.ErrURLNotSupported
	}
	if err != nil {
		return err
	}
	p.say("no token is kept for %s, so there is none to forget; %s can still sign: to end that, run regkey revoke", id.registry, id.key)
	return nil
}

// hint tells why cargo will only say that no provider could handle the request.
func (p *provider) hint(index string) {
	url, ok := shellWord(index)
	switch {
	case !ok:
		p.say("no key is enrolled at %s", readableURL(index))
	case p.getenv(envKeyFile) != "":
		set := envRegistry + " is not set"
		if other := p.getenv(envRegistry); other != "" {
			set = envRegistry + " is " + readableURL(other)
		}
		p.say("%s is not enrolled, and %s serves only the registry that %s names exactly; %s", url, envKeyFile, envRegistry, set)
	default:
		p.say("%s is not enrolled: run regkey enroll --registry %s", url, url)
	}
}

// shellWord is text as one word of a command that a person may paste into a shell, if it can be
// one: an index URL can come out of a stranger's project.
func shellWord(text string) (string, bool) {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-./:@_%,="
	quote := false
	for i := range len(text) {
		c := text[i]
		if c <= ' ' || c > '~' || c == '\'' || c == '\\' || c == '!' {
			return "", false
		}
		quote = quote || !strings.Contains(plain, text[i:i+1])
	}
	if text == "" || len(text) > maxShown || text[0] == '-' {
		return "", false
	}
	if quote {
		return "'" + text + "'", true
	}
	return text, true
}

// readableURL is an index URL as it is if it could be a word of a command, else quoted in ASCII.
func readableURL(index string) string {
	if word, ok := shellWord(index); ok {
		return word
	}
	return fmt.Sprintf("%+q", shorten(index))
}

// maxShown is how much of a text from outside one line shows, in bytes.
const maxShown = 200

func shorten(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return text[:maxShown] + "..."
}
