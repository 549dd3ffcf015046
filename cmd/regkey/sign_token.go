// Signatures by tokens: the PIN, the touch, and what the person sees of it.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/keys"
)

// A tokenSigner is a key in a token that is open, and the person who holds the token.
type tokenSigner struct {
	*app
	token  *hardware.Token
	key    hardware.Key
	policy hardware.PINPolicy // as the token told it when it last wanted the PIN
}

var (
	_ keys.Signer       = (*tokenSigner)(nil)
	_ hardware.Prompter = (*tokenSigner)(nil)
)

// unlockToken opens the token that a record names. Nothing is asked until it signs.
func (a *app) unlockToken(ctx context.Context, r keys.Record) (*tokenSigner, error) {
	key, err := hardwareKey(r)
	if err != nil {
		return nil, err
	}
	open := a.awaitToken
	if a.hurry {
		open = a.openToken
	}
	t, err := open(ctx, key.Serial)
	if err != nil {
		return nil, fmt.Errorf("unlocking key %q: %w", r.Name, err)
	}
	return &tokenSigner{app: a, token: t, key: key}, nil
}

func (s *tokenSigner) Public() keys.PublicKey { return s.key.Public }

// Sign asks again for a PIN that a person mistyped. It never sends one twice.
func (s *tokenSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	for try := 1; ; try++ {
		signature, err := s.token.Signer(s.key, s).Sign(ctx, message)
		if err == nil {
			s.accepted()
		}
		if err == nil || !s.again(pinOf(s.key.Serial), err, try) {
			return signature, err
		}
	}
}

// PIN is asked once for the whole run.
func (s *tokenSigner) PIN(ctx context.Context, about hardware.Key, tries int) (keys.Secret, error) {
	s.policy = about.PIN
	return s.give(ctx, pinOf(about.Serial), tries)
}

// Touch shows for what the token waits, and takes the line away when it has what it wants.
func (s *tokenSigner) Touch(_ context.Context, about hardware.Key) func() {
	purpose := s.purpose
	if purpose == "" {
		purpose = "sign"
	}
	text := cargo.Printable(fmt.Sprintf("%s: touch your YubiKey %d", purpose, about.Serial))
	screen, ok := s.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(screen.Fd())) {
		s.say("%s", text)
		return func() {}
	}
	_, _ = io.WriteString(screen, text)
	return sync.OnceFunc(func() { _, _ = io.WriteString(screen, erase(screen, text)) })
}

// erase takes a text away that may have filled several lines of the screen.
func erase(screen *os.File, text string) string {
	if os.Getenv("TERM") == "dumb" {
		return "\r\n"
	}
	lines := 0
	if width, _, err := term.GetSize(int(screen.Fd())); err == nil && width > 0 {
		lines = (len([]rune(text)) - 1) / width
	}
	return "\r" + strings.Repeat("\x1b[A", lines) + "\x1b[J"
}

// prepare asks for the PIN before the time is looked at that a signature will state. It is not sent
// yet.
func (s *tokenSigner) prepare(ctx context.Context) error {
	if s.key.PIN == hardware.PINNever {
		return nil
	}
	_, err := s.give(ctx, pinOf(s.key.Serial), 0)
	return err
}

// isToken reports whether a signer's key is in a token, and is that signer.
func isToken(signer keys.Signer) (*tokenSigner, bool) {
	s, ok := signer.(*tokenSigner)
	return s, ok
}

// errNeedsTouch says that a read would take a finger.
var errNeedsTouch = errors.New("the key that reads here wants a touch or its PIN for each signature, and cargo reads without asking anybody")
