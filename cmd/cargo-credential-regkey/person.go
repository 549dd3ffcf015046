// Asking a person for a passphrase: on the terminal, else in a window.

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/internal/pinentry"
	"github.com/cargo-regkey/regkey/internal/terminal"
	"github.com/cargo-regkey/regkey/keys"
)

// A question is what a person has to know before they type a passphrase.
type question struct {
	purpose string // completes "to …"
	key     string
	again   bool // the last answer was wrong
}

// askPerson asks on the terminal that cargo runs in. Where there is none, but a display, a pinentry
// program opens a window. Where neither can be, or the program can't, the error wraps
// [terminal.ErrNone].
func askPerson(ctx context.Context, q question) (keys.Secret, error) {
	passphrase, noTerminal := terminal.Ask(ctx, cargo.Printable("regkey: to "+q.purpose+", passphrase of "+q.key+": "))
	if !errors.Is(noTerminal, terminal.ErrNone) {
		return passphrase, noTerminal
	}
	program, err := pinentry.Open()
	if err != nil {
		return keys.Secret{}, fmt.Errorf("%w; %w", noTerminal, err)
	}
	ctx, stop := terminal.UntilReaderGoes(ctx)
	defer stop()
	window := pinentry.Question{
		Title:       "regkey",
		Description: cargo.Printable("To " + q.purpose + ", regkey needs the passphrase of " + q.key + "."),
		Prompt:      "Passphrase:",
	}
	if q.again {
		window.Error = "wrong passphrase, try again"
	}
	passphrase, err = program.Ask(ctx, window)
	switch {
	case err == nil:
		return passphrase, nil
	case errors.Is(err, pinentry.ErrCancelled), errors.Is(err, context.Canceled):
		return keys.Secret{}, terminal.ErrCancelled
	case errors.Is(err, context.DeadlineExceeded):
		return keys.Secret{}, err
	}
	// A display whose server is gone, most likely: what there is to do is what there is without one.
	return keys.Secret{}, fmt.Errorf("%w; %w", noTerminal, err)
}
