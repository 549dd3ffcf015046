// Package terminal asks a person on the controlling terminal, whatever standard input and output
// are: cargo's pipes, mostly.
//
// The terminal is as it was before, whichever way a question ends: with an answer, with Ctrl-C or
// Ctrl-D, with SIGINT, SIGQUIT, SIGTERM or SIGHUP, with the end of the context, and with the end of
// the process that reads our standard output, also one that was killed and so told nobody.
//
// A process that is killed itself restores nothing, and no system does it in its place. So while the
// echo is off a second process waits, a guard: the same program, which turns the echo on again when the
// one that asks has gone without having done so. A shell whose job has just failed takes the
// terminal over as it finds it, bash for its own line, too, so this can't be left to the shell. And
// a question changes as little as it can: the terminal goes on to collect lines, to edit them and
// to send signals. With lines collected by the system, questions also work on a bare pty and with
// TERM=dumb.
//
// This has a price: Ctrl-C ends cargo too, as it does under any other program, and the shell may
// have its terminal back before this process has restored it: see giveBack.
package terminal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

var (
	// ErrNone is wrapped where there is no terminal: in CI, in an editor, in a service.
	ErrNone = errors.New("no terminal")
	// ErrCancelled says that the person, a signal, or the end of whoever waits for the answer ended
	// the question.
	ErrCancelled = errors.New("cancelled")
)

// maxLine is what Linux collects of a line, in bytes and without its end; it drops the rest
// unseen (N_TTY_BUF_SIZE). Other systems collect less.
const maxLine = 4095

// Ask shows prompt and reads one line that is not echoed; an empty one is a zero Secret. What was
// typed before the prompt is thrown away: it has been seen, and was meant for something else. A
// line with keys in it that type nothing, like arrows, is asked for again, as a PIN that nobody
// meant would cost a try. A line of 4095 bytes or more is an error: its end may be missing.
//
// The prompt must be printable. Errors are [ErrCancelled], [ErrNone] wrapped, and
// [context.DeadlineExceeded] where that is how ctx ended.
func Ask(ctx context.Context, prompt string) (keys.Secret, error) {
	var secret keys.Secret
	err := converse(ctx, false, func(d *dialogue) error {
		for {
			line, err := d.line(prompt)
			if err != nil {
				return err
			}
			text, meant := edited(line)
			if meant {
				secret = keys.NewSecret(text)
			}
			clear(line)
			if meant {
				return nil
			}
			d.say("that had keys in it which type nothing: type it again")
		}
	})
	return secret, err
}

// Confirm shows a question, which has to be printable, and waits for "y" or "n"; anything else, an
// empty line too, is asked for again. What was typed before the question is no answer to it. Errors
// are those of [Ask].
func Confirm(ctx context.Context, question string) (bool, error) {
	yes := false
	err := converse(ctx, true, func(d *dialogue) error {
		for {
			line, err := d.line(question + " (y/n) ")
			if err != nil {
				return err
			}
			switch strings.ToLower(strings.TrimSpace(string(line))) {
			case "y", "yes":
				yes = true
				return nil
			case "n", "no":
				return nil
			}
			d.say("type y or n")
		}
	})
	return yes && err == nil, err
}

// A dialogue is a terminal that was taken over for a question.
type dialogue struct {
	ctx     context.Context
	in, out *os.File
	mode    *mode
	resumed chan os.Signal // this process was stopped, and goes on
}

// converse takes the terminal over, and gives it back when talk is done.
func converse(ctx context.Context, echo bool, talk func(*dialogue) error) (err error) {
	in, out, err := Open()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	defer func() { _, _ = in.Close(), out.Close() }()
	// Before the echo is off, so that there is no moment in which a signal leaves it off.
	ctx, stop := UntilReaderGoes(ctx)
	defer stop()
	d := &dialogue{ctx: ctx, in: in, out: out, resumed: make(chan os.Signal, 1)}
	defer watchJob(d.resumed)()
	if d.mode, err = takeOver(in, echo); err != nil {
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	// Half an answer must not become the shell's next command.
	defer func() { d.mode.giveBack(err != nil) }()
	return talk(d)
}

// parting is how long the last words of a question may take on a terminal that shows nothing.
const parting = 100 * time.Millisecond

// line shows prompt, after throwing away what was typed before, and reads the answer.
func (d *dialogue) line(prompt string) ([]byte, error) {
	d.mode.forgetInput()
	type answer struct {
		line []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		_, _ = d.out.WriteString(prompt) // which waits where the terminal is stopped with Ctrl-S
		line, err := readLine(d.in)
		answers <- answer{line, err}
	}()
	for {
		select {
		case <-d.ctx.Done():
			_, _ = d.in.SetReadDeadline(time.Now()), d.out.SetWriteDeadline(time.Now().Add(parting))
			_, _ = d.out.WriteString("\n")
			if errors.Is(d.ctx.Err(), context.DeadlineExceeded) {
				return nil, d.ctx.Err()
			}
			return nil, ErrCancelled
		case <-d.resumed:
			// The shell had the terminal in between, and has its own idea of echo.
			d.mode.apply()
			go func() { _, _ = d.out.WriteString(prompt) }()
		case a := <-answers:
			if a.err != nil || !d.mode.echo {
				_, _ = d.out.WriteString("\n")
			}
			return a.line, a.err
		}
	}
}

// say tells the person why the question comes again.
func (d *dialogue) say(text string) { _, _ = d.out.WriteString("regkey: " + text + "\n") }

// readLine reads as far as the first line end, which it takes away. The end of input, which is
// Ctrl-D, and a terminal that is gone are [ErrCancelled].
func readLine(in *os.File) ([]byte, error) {
	line := make([]byte, 0, maxLine+1) // never grown, so that there is no other copy
	for len(line) < cap(line) {
		n, err := in.Read(line[len(line):cap(line)])
		line = line[:len(line)+n]
		if n > 0 && line[len(line)-1] == '\n' {
			line = line[:len(line)-1]
			if n := len(line); n > 0 && line[n-1] == '\r' { // as Windows ends lines
				line = line[:n-1]
			}
			if len(line) >= maxLine {
				break
			}
			return line, nil
		}
		if err != nil || n == 0 {
			clear(line)
			return nil, ErrCancelled
		}
	}
	clear(line)
	return nil, fmt.Errorf("reading the answer: it is longer than %d bytes", maxLine-1)
}
