// Questions to a person. They are asked only where standard input is a terminal, and shown on
// stderr.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/huh"
	"golang.org/x/term"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/internal/terminal"
	"github.com/cargo-regkey/regkey/keys"
)

// ask shows one field and waits for its answer. Ctrl-C, Esc, the end of input and the end of ctx
// are errCancelled; the terminal is then as it was before.
func (a *app) ask(ctx context.Context, field huh.Field) error {
	defer a.asked()
	keymap := huh.NewDefaultKeyMap()
	keymap.Quit = key.NewBinding(key.WithKeys("ctrl+c", "esc"))
	input := &watchedInput{file: a.stdin}
	form := huh.NewForm(huh.NewGroup(field)).WithKeyMap(keymap).WithShowHelp(false).
		// Signals end ctx. Bubbletea's own handler of them can block its end, and takes SIGTERM for
		// an answer.
		WithProgramOptions(tea.WithoutSignalHandler()).WithOutput(a.stderr)
	if !a.plain() {
		return answer(ctx, form.WithInput(a.stdin).RunWithContext(ctx))
	}
	return a.askPlain(ctx, form.WithAccessible(true).WithInput(input), input)
}

// plain reports whether questions are asked line by line: on a terminal without a cursor that
// moves, or that does not tell its size, and where stderr is none.
func (a *app) plain() bool {
	f, ok := a.stderr.(*os.File)
	if a.linewise || os.Getenv("TERM") == "dumb" || !ok || !term.IsTerminal(int(f.Fd())) {
		return true
	}
	// A form on no columns and lines would be drawn as nothing, and take Enter for its default.
	width, height, err := term.GetSize(int(f.Fd()))
	return err != nil || width == 0 || height == 0
}

// askPlain runs a form line by line. Such a form reads on, whatever happens to ctx, and takes the
// end of input for an answer.
func (a *app) askPlain(ctx context.Context, form *huh.Form, input *watchedInput) error {
	done := make(chan error, 1)
	go func() { done <- form.RunWithContext(ctx) }()
	select {
	case <-ctx.Done():
		_, _ = io.WriteString(a.stderr, "\n")
		return errCancelled
	case err := <-done:
		if input.ended {
			return errCancelled
		}
		return answer(ctx, err)
	}
}

func answer(ctx context.Context, err error) error {
	if errors.Is(err, huh.ErrUserAborted) || ctx.Err() != nil {
		return errCancelled
	}
	if err != nil {
		return fmt.Errorf("asking on the terminal: %w", err)
	}
	return nil
}

// A watchedInput remembers that its end was read.
type watchedInput struct {
	file  *os.File
	ended bool
}

func (w *watchedInput) Read(p []byte) (int, error) {
	n, err := w.file.Read(p)
	w.ended = w.ended || err != nil || n == 0
	return n, err
}

// confirm asks for a yes. Without a terminal it refuses, and the error names the flag --yes.
func (a *app) confirm(ctx context.Context, question string) error {
	if !a.terminal {
		return &missingError{"a yes", "--yes"}
	}
	if a.linewise {
		return a.confirmOnTerminal(ctx, cargo.Printable(question))
	}
	yes := false
	field := huh.NewConfirm().Title(cargo.Printable(question)).Affirmative("Yes").Negative("No").Value(&yes)
	if err := a.ask(ctx, field); err != nil {
		return err
	}
	if !yes {
		return errCancelled
	}
	return nil
}

// text asks for a line; an empty one is suggestion.
func (a *app) text(ctx context.Context, question, suggestion, flag string, check func(string) error) (string, error) {
	if !a.terminal {
		return "", &missingError{question, flag}
	}
	if suggestion != "" {
		question += " (" + suggestion + ")"
	}
	value := ""
	or := func(text string) string {
		if text = strings.TrimSpace(text); text == "" {
			return suggestion
		}
		return text
	}
	field := huh.NewInput().Title(question).Placeholder(suggestion).Value(&value).
		Validate(func(text string) error { return check(or(text)) })
	if err := a.ask(ctx, field); err != nil {
		return "", err
	}
	return or(value), check(or(value))
}

// choose asks for one of several.
func (a *app) choose(ctx context.Context, question, flag string, options []string) (string, error) {
	if !a.terminal {
		return "", advised(&missingError{question, flag}, "give "+flag+": "+strings.Join(options, ", "))
	}
	value := options[0]
	err := a.ask(ctx, huh.NewSelect[string]().Title(question).Options(huh.NewOptions(options...)...).Value(&value))
	return value, err
}

// maxSecret bounds what is read as a passphrase or a code, in bytes.
const maxSecret = 4 << 10

// secret asks for a line without showing it. An empty one is asked for again.
func (a *app) secret(ctx context.Context, question, flag string) (keys.Secret, error) {
	return a.askSecret(ctx, question, flag, false)
}

// optionalSecret is secret, and an empty line is an answer: the zero Secret.
func (a *app) optionalSecret(ctx context.Context, question, flag string) (keys.Secret, error) {
	return a.askSecret(ctx, question, flag, true)
}

func (a *app) askSecret(ctx context.Context, question, flag string, optional bool) (keys.Secret, error) {
	if !a.terminal {
		return keys.Secret{}, &missingError{question, flag}
	}
	defer a.asked()
	question = cargo.Printable(question)
	if a.linewise {
		return a.secretOnTerminal(ctx, question, flag)
	}
	if a.plain() {
		return a.secretPlain(ctx, question, optional)
	}
	value := ""
	field := huh.NewInput().Title(question).EchoMode(huh.EchoModeNone).Value(&value).
		Validate(func(text string) error {
			if text == "" && !optional {
				return errEmpty
			}
			return nil
		})
	if err := a.ask(ctx, field); err != nil {
		return keys.Secret{}, err
	}
	return keys.NewSecret([]byte(value)), nil
}

// secretOnTerminal asks on the controlling terminal, whatever the standard streams are.
func (a *app) secretOnTerminal(ctx context.Context, question, flag string) (keys.Secret, error) {
	for {
		secret, err := terminal.Ask(ctx, question+" ")
		if err != nil {
			return keys.Secret{}, terminalFailure(err, question, flag)
		}
		if !secret.IsZero() {
			return secret, nil
		}
		a.say("%v", errEmpty)
	}
}

// confirmOnTerminal is confirm on the controlling terminal.
func (a *app) confirmOnTerminal(ctx context.Context, question string) error {
	defer a.asked()
	yes, err := terminal.Confirm(ctx, question)
	if err != nil {
		return terminalFailure(err, "a yes", "--yes")
	}
	if !yes {
		return errCancelled
	}
	return nil
}

// terminalFailure is err in the words of this program.
func terminalFailure(err error, wanted, flag string) error {
	switch {
	case errors.Is(err, terminal.ErrCancelled):
		return errCancelled
	case errors.Is(err, terminal.ErrNone):
		return &missingError{wanted, flag}
	}
	return err
}

var errEmpty = errors.New("it can't be empty")

// secretPlain asks line by line. Huh would not notice the end of input here, nor give the echo back
// when ctx ends. In raw mode Ctrl-C and Ctrl-D arrive as keys, and what is typed early does not
// show.
func (a *app) secretPlain(ctx context.Context, question string, optional bool) (keys.Secret, error) {
	before, err := term.MakeRaw(int(a.stdin.Fd()))
	if err != nil {
		return keys.Secret{}, fmt.Errorf("turning the terminal's echo off: %w", err)
	}
	defer func() { _ = term.Restore(int(a.stdin.Fd()), before) }()
	screen := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{byteReader{a.stdin}, a.stderr}, "")
	type result struct {
		line string
		err  error
	}
	for {
		results := make(chan result, 1)
		go func() {
			line, err := screen.ReadPassword(question + " ")
			results <- result{line, err}
		}()
		select {
		case <-ctx.Done():
			return keys.Secret{}, errCancelled
		case r := <-results:
			if r.err != nil && !errors.Is(r.err, term.ErrPasteIndicator) {
				_, _ = io.WriteString(a.stderr, "\r\n")
				return keys.Secret{}, errCancelled
			}
			if r.line != "" || optional {
				return keys.NewSecret([]byte(r.line)), nil
			}
			_, _ = fmt.Fprintf(a.stderr, "%v\r\n", errEmpty)
		}
	}
}

// A byteReader reads no further than the caller has seen: what comes after belongs to the next
// question.
type byteReader struct{ r io.Reader }

func (b byteReader) Read(p []byte) (int, error) { return b.r.Read(p[:min(len(p), 1)]) }

// codeFromStdin is the first and only line of standard input.
func (a *app) codeFromStdin() (keys.Secret, error) {
	text, err := io.ReadAll(io.LimitReader(a.stdin, maxSecret+1))
	if err != nil {
		return keys.Secret{}, fmt.Errorf("reading the code from standard input: %w", err)
	}
	if len(text) > maxSecret {
		return keys.Secret{}, fmt.Errorf("reading the code from standard input: more than %d bytes", maxSecret)
	}
	code := keys.NewSecret([]byte(strings.TrimRight(string(text), "\r\n")))
	if code.IsZero() {
		return keys.Secret{}, errors.New("reading the code from standard input: there is none")
	}
	return code, nil
}
