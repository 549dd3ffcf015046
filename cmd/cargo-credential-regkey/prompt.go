// Asking for a passphrase on the terminal that cargo runs in: stdin and stdout are cargo's pipes.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/cargo-regkey/regkey/keys"
)

var (
	// errNoTerminal is wrapped where there is nobody to ask: CI, an editor, a service.
	errNoTerminal = errors.New("no terminal")
	// errCancelled says that the person, or a signal, or the end of cargo ended the question.
	errCancelled = errors.New("cancelled")
)

// askOnTerminal shows prompt on the controlling terminal and reads one line there that is not
// echoed. Ctrl-C and Ctrl-D cancel; so do SIGINT, SIGTERM, SIGHUP, the end of ctx, and the end of the
// process that waits for the answer. The terminal is as it was before, whichever way it ends.
func askOnTerminal(ctx context.Context, prompt string) (keys.Secret, error) {
	in, out, err := openTerminal()
	if err != nil {
		return keys.Secret{}, fmt.Errorf("%w: %w", errNoTerminal, err)
	}
	defer func() { _, _ = in.Close(), out.Close() }()
	ctx, stop := untilCargoGoes(ctx)
	defer stop()
	return askRaw(ctx, in, out, prompt)
}

// untilCargoGoes ends with ctx, with SIGINT, SIGTERM and SIGHUP, and when cargo waits for the
// answer no more.
func untilCargoGoes(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ctx, gone := context.WithCancel(ctx)
	go func() {
		waitForReaderGone(os.Stdout)
		gone()
	}()
	return ctx, func() { gone(); stop() }
}

// askRaw reads in raw mode: the echo is off before the prompt shows, so what is typed early does
// not show either, and Ctrl-C arrives here as a key, not in cargo as a signal, so there is nobody
// to race for the terminal.
func askRaw(ctx context.Context, in, out *os.File, prompt string) (keys.Secret, error) {
	descriptor := int(in.Fd())
	before, err := term.MakeRaw(descriptor)
	if err != nil {
		return keys.Secret{}, fmt.Errorf("%w: %w", errNoTerminal, err)
	}
	defer func() { _ = term.Restore(descriptor, before) }()
	screen := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, out}, "")
	if width, height, err := term.GetSize(int(out.Fd())); err == nil && width > 0 {
		_ = screen.SetSize(width, height)
	}
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := screen.ReadPassword(prompt)
		answers <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		_, _ = io.WriteString(out, "\r\n")
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return keys.Secret{}, ctx.Err()
		}
		return keys.Secret{}, errCancelled
	case a := <-answers:
		if a.err != nil {
			_, _ = io.WriteString(out, "\r\n")
			return keys.Secret{}, errCancelled
		}
		return keys.NewSecret([]byte(a.line)), nil
	}
}
