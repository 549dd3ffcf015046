// Package faults stops a run at one of the calls that it makes of the world: of files, of a registry,
// of a key that signs, of the keychain. A test records a run first, which counts the calls, and then
// repeats it in a fresh world for each call and each [Mode]. Nothing is listed by hand, so code that
// makes one more call has one more point.
//
// A crash is simulated in the process: from that call on, no call of the run has an effect, so what
// the run still does, cleaning up too, changes nothing that outlives it.
package faults

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"syscall"
)

// A Kind is whom a call is made of.
type Kind string

// The kinds of calls.
const (
	File     Kind = "file"
	Network  Kind = "network"
	Signer   Kind = "signer"
	Keychain Kind = "keychain"
	Token    Kind = "token" // a hardware token, of which each command is a call
)

// A Mode is a way in which a call ends.
type Mode string

// The ways.
const (
	CrashBefore Mode = "crash before"
	CrashAfter  Mode = "crash after"
	CrashAmid   Mode = "crash amid"                 // of a file's writing: a part of the content is there
	PowerCut    Mode = "crash after, without power" // of files only what was made durable is left
	Error       Mode = "error"                      // nothing was done
	ErrorAfter  Mode = "error after"                // it was done, and is reported as failed
	Timeout     Mode = "time-out"                   // of a request: the server did it, and no answer came in time; of a token: no finger came
	Refused     Mode = "refused"                    // by a token, which did nothing
	AnswerLost  Mode = "answer lost"                // of a request: the server did it, and its answer broke off
)

// Modes are those in which a call is tried.
func Modes(c Call) []Mode {
	modes := []Mode{CrashBefore, CrashAfter, Error}
	if c.Reads() {
		return modes
	}
	modes = append(modes, PowerCut)
	switch {
	case c.Kind == Network:
		return append(modes, Timeout, AnswerLost)
	case c.Kind == Token:
		modes = append(modes, Refused)
		if c.What == tokenSigns {
			modes = append(modes, Timeout)
		}
	case c.Kind == File && c.What == "write":
		modes = append(modes, CrashAmid)
	}
	return append(modes, ErrorAfter)
}

// A Call is one that a run made.
type Call struct {
	Kind Kind
	What string
	On   string // a path, URL or id, without what differs from run to run
}

// Reads reports whether the call looks at a file and changes nothing. A crash there is one after the
// call before it.
func (c Call) Reads() bool {
	switch c.What {
	case "stat", "stat open", "lstat", "read folder", "read", "open", "follow links", "lock":
		return c.Kind == File
	}
	return false
}

func (c Call) String() string { return fmt.Sprintf("%s %s %s", c.Kind, c.What, c.On) }

// What a run is told where it is stopped.
var (
	ErrInjected = errors.New("this call was made to fail")
	ErrCrashed  = errors.New("the run has crashed")
)

// A Run counts the calls that one run makes, and stops it at one of them. Its methods may be called
// by several goroutines at a time.
type Run struct {
	at   int
	mode Mode

	mu    sync.Mutex
	calls []Call
	dead  bool
	down  string // the request that fails, again where it is repeated at once
}

// Record is a run that is only recorded.
func Record() *Run { return Stop(-1, "") }

// Stop is a run that ends in that way at its call number at, counted from 0. A [PowerCut] after its last call comes
// when it has ended.
func Stop(at int, mode Mode) *Run { return &Run{at: at, mode: mode} }

// Calls are those made so far, up to a crash.
func (r *Run) Calls() []Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Call, len(r.calls))
	for i, c := range r.calls {
		all[i] = c.normal()
	}
	return all
}

// Stopped is the call at which the run was stopped; false if it did not come so far.
func (r *Run) Stopped() (Call, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at < 0 || len(r.calls) <= r.at {
		return Call{}, false
	}
	return r.calls[r.at].normal(), true
}

func (c Call) normal() Call { return Call{c.Kind, c.What, Normal(c.On)} }

// meet counts a call and says how it ends: "" is as it does by itself.
func (r *Run) meet(c Call) (Mode, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead {
		return "", ErrCrashed
	}
	r.calls = append(r.calls, c)
	if len(r.calls)-1 != r.at {
		return "", nil
	}
	r.dead = strings.HasPrefix(string(r.mode), "crash")
	return r.mode, nil
}

// Do makes the call, or stops at it.
func (r *Run) Do(kind Kind, what, on string, do func() error) error {
	return r.do(kind, what, on, do, nil)
}

func (r *Run) do(kind Kind, what, on string, do, half func() error) error {
	mode, err := r.meet(Call{kind, what, on})
	if err != nil {
		return err
	}
	switch mode {
	case "":
		return do()
	case CrashBefore:
		return ErrCrashed
	case CrashAmid:
		if half != nil {
			if err := half(); err != nil {
				return fmt.Errorf("leaving a half file: %w", err)
			}
		}
		return ErrCrashed
	case CrashAfter, PowerCut:
		_ = do()
		return ErrCrashed
	case ErrorAfter:
		_ = do()
	}
	return fmt.Errorf("%w: %w", ErrInjected, syscall.EIO)
}

// differs is what differs from run to run: ids of keys, hashes, temporary names, random ids, times.
var differs = regexp.MustCompile(`k[0-9]\.(pid|public)\.[A-Za-z0-9_-]+|[0-9a-f]{16,}|[0-9]{8}T[0-9.]+Z|\.[0-9]+\.tmp|[a-z2-7]{4}(-[a-z2-7]{4}){4}|-[0-9a-f]{8}\.`)

// Normal is text without what differs from run to run.
func Normal(text string) string { return differs.ReplaceAllString(text, "…") }
