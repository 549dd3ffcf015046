// Exit codes, the errors that only the command line knows, and how a run that failed ends.

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/hardware"
)

// Exit codes, as documented in the help.
const (
	exitFailed    = 1
	exitUsage     = 2
	exitRefused   = 3
	exitCancelled = 4
	exitByHand    = 5
	exitLeft      = 6
	exitDistrust  = 7
)

// errCancelled says that a person said no, or ended the program.
var errCancelled = errors.New("cancelled")

// errByHand says that the rest can't be done from here; the steps stand on stdout.
var errByHand = errors.New("the rest is left to do by hand, as printed")

// errAttention says that something can't wait for ever; what it is stands on stdout.
var errAttention = errors.New("something wants attention, as printed")

// A usageError says that the command line can't be carried out as it stands.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, values ...any) error { return &usageError{fmt.Errorf(format, values...)} }

// onUsageError takes what the parser complains about, in our words: it writes every flag with one
// dash.
func onUsageError(_ *cli.Context, err error, _ bool) error {
	text := err.Error()
	if name, found := strings.CutPrefix(text, "flag provided but not defined: -"); found {
		return usage("unknown flag --%s", strings.TrimPrefix(name, "-"))
	}
	if strings.HasSuffix(text, " for -passphrase: parse error") {
		return usage("--passphrase takes no value: a passphrase is asked for, and never typed on a command line")
	}
	return usage("%s", strings.NewReplacer(" for flag -", " for --", " for -", " for --").Replace(text))
}

// A missingError says which flag gives an answer that nobody is there to ask for.
type missingError struct{ what, flag string }

func (e *missingError) Error() string {
	if strings.HasSuffix(e.what, "?") {
		return fmt.Sprintf("%q is to be answered, and there is no terminal to ask on", e.what)
	}
	return fmt.Sprintf("%s is needed, and there is no terminal to ask on", e.what)
}

// A lockedError says that another regkey is at work.
type lockedError struct {
	home   string
	waited time.Duration
}

func (e *lockedError) Error() string {
	return fmt.Sprintf("another regkey has been changing %s for more than %v", e.home, e.waited)
}

// exitCode sorts an error that is not nil.
func exitCode(ctx context.Context, err error) int {
	var wrong *usageError
	var missing *missingError
	var refused enroll.Refusal
	var problems *problemsError
	switch {
	case errors.Is(err, errCancelled), errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitCancelled
	case errors.As(err, new(*enroll.DistrustError)), errors.As(err, &problems) && problems.distrusted:
		return exitDistrust // also where something is left: trying again will not help
	case errors.As(err, new(*leftError)), errors.As(err, new(*enroll.LeftError)):
		return exitLeft
	case errors.Is(err, errByHand):
		return exitByHand
	case errors.Is(err, errAttention):
		return exitLeft
	case errors.As(err, &wrong), errors.As(err, &missing):
		return exitUsage
	case errors.As(err, &refused):
		return exitRefused
	}
	return exitFailed
}

// finish says what went wrong and what to do now, and returns the exit code.
func (a *app) finish(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	code := exitCode(ctx, err)
	var unchanged *unchangedError
	errors.As(err, &unchanged)
	if code == exitCancelled && ctx.Err() != nil && !errors.As(err, new(*hardware.UnfinishedError)) {
		err = errCancelled // what it was doing just then is of no interest
	}
	out := a.complaints
	if out == nil {
		out = a.stderr
	}
	for i, line := range strings.Split(err.Error(), "\n") {
		prefix := "regkey: "
		if i > 0 {
			prefix = "        "
		}
		_, _ = fmt.Fprintf(out, "%s%s\n", prefix, cargo.Printable(line))
	}
	for _, line := range hintsOrUnchanged(err, unchanged) {
		_, _ = fmt.Fprintf(out, "    %s\n", cargo.Printable(line))
	}
	return code
}

// hintsOrUnchanged says plainly that nothing was changed, where a run knows that.
func hintsOrUnchanged(err error, unchanged *unchangedError) []string {
	switch {
	case unchanged == nil:
		return hints(err)
	case errors.Is(err, errCancelled):
		return []string{unchanged.what}
	}
	return append(hints(err), unchanged.what)
}
