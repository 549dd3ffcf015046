// Package pinentry asks a person in a window, through the program that GnuPG users have for that
// (https://www.gnupg.org/documentation/manuals/assuan/, and the manual of pinentry). It is for where
// there is no terminal but a display.
package pinentry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// Variable names the program that is used in place of the "pinentry" in PATH: an absolute path, or a
// name in PATH.
const Variable = "REGKEY_PINENTRY"

var (
	// ErrNone is wrapped where there is no program or no display.
	ErrNone = errors.New("no pinentry")
	// ErrCancelled says that the person closed the window, or pressed Cancel.
	ErrCancelled = errors.New("cancelled")
)

// limit is how long a window stays open, whatever the caller's context allows.
const limit = 5 * time.Minute

// A Program is a pinentry that can be started.
type Program struct {
	path     string
	environ  []string
	terminal string // the path of a terminal, for one that uses no window
}

// A Question is what the person sees. Description says which key, which registry and what for; it may
// have several lines. All of it must be printable, and each text at most some 900 bytes: what does not fit is
// an error, as a question of which the end is missing would be another one.
type Question struct {
	Title       string // of the window
	Description string
	Prompt      string // beside the field; not for [Program.Confirm]
	Error       string // what was wrong with the answer before, if there was one
	OK, Cancel  string // on the buttons; "" leaves what the program has
}

// Available reports whether [Open] would find a program and a display.
func Available() bool {
	_, err := Open()
	return err == nil
}

// Open finds the program, for windows. The error wraps [ErrNone] where there is none, or no display.
func Open() (*Program, error) {
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return nil, fmt.Errorf("%w: there is no display", ErrNone)
	}
	return find()
}

// OpenOn finds the program, and has it ask on the terminal with that path: pinentry-tty and
// pinentry-curses do, and others where they can open no window. The terminal is left as it was.
func OpenOn(terminal string) (*Program, error) {
	p, err := find()
	if err != nil {
		return nil, err
	}
	p.terminal = terminal
	return p, nil
}

func find() (*Program, error) {
	name := os.Getenv(Variable)
	if name == "" {
		name = "pinentry"
	} else if strings.ContainsRune(name, filepath.Separator) && !filepath.IsAbs(name) {
		return nil, fmt.Errorf("%w: %s is neither a name nor an absolute path", ErrNone, Variable)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	return &Program{path: path, environ: environ()}, nil
}

// environ is what a window needs to know of us, and nothing else of what is in our environment.
func environ() []string {
	var kept []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "LANG", "PATH", "HOME":
		default:
			if !strings.HasPrefix(name, "LC_") {
				continue
			}
		}
		kept = append(kept, variable)
	}
	return kept
}

// Ask shows the question with a field for a secret, which is not shown, and returns what was typed;
// nothing typed is a zero Secret. It ends with ctx, and after five minutes: then with
// [context.DeadlineExceeded]. The program has ended when it returns. Errors repeat nothing that the
// person typed.
func (p *Program) Ask(ctx context.Context, q Question) (keys.Secret, error) {
	var secret keys.Secret
	err := p.converse(ctx, q, func(c *conversation) (err error) {
		secret, err = c.command("GETPIN")
		return err
	})
	if err != nil {
		return keys.Secret{}, fmt.Errorf("asking with pinentry: %w", err)
	}
	return secret, nil
}

// Confirm shows the question with two buttons, and reports whether it was the one that says yes.
// Closing the window is [ErrCancelled], and no yes either. Otherwise it is like [Program.Ask].
func (p *Program) Confirm(ctx context.Context, q Question) (bool, error) {
	q.Prompt = ""
	err := p.converse(ctx, q, func(c *conversation) error {
		_, err := c.command("CONFIRM")
		return err
	})
	var refused *refusal
	if errors.As(err, &refused) && refused.code == codeNotConfirmed {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("confirming with pinentry: %w", err)
	}
	return true, nil
}
