// A person's yes to each change, where the agent was told to want one.

package main

import (
	"context"
	"errors"

	"github.com/cargo-regkey/regkey/internal/pinentry"
)

// confirmInWindow asks in a window. An agent has no terminal, and where there is no window either, that
// is a no.
func confirmInWindow(ctx context.Context, description string) error {
	program, err := pinentry.Open()
	if err != nil {
		return err
	}
	yes, err := program.Confirm(ctx, pinentry.Question{Title: "regkey", Description: description, OK: "Sign", Cancel: "Don't sign"})
	if err == nil && !yes {
		err = errors.New("the answer was no")
	}
	return err
}
