// Package agent speaks with the agent, the process that keeps what a person has unlocked, so that
// nobody is asked again for every operation. The credential provider links it: it is small, and the
// agent itself is package keeper.
//
// # The wire
//
// The agent listens on a Unix socket in a folder that only its user can enter (see [Folder]); on
// Windows on a named pipe that only that user can open. Each side compares the other's user with its
// own. A connection carries one request, a line of JSON of at most 64 KiB:
//
//	{"v":1,"request":"token","index":…,"operation":…,"name":…,"vers":…,"cksum":…,"challenge":…}
//	{"v":1,"request":"add","key":NAME,"secret":BASE64}      a software key's PASERK text
//	{"v":1,"request":"add","serial":N,"secret":BASE64}      a hardware token's PIN
//	{"v":1,"request":"release"}                             give all hardware tokens back
//	{"v":1,"request":"lock"}                                drop everything
//	{"v":1,"request":"status"}
//	{"v":1,"request":"stop"}
//
// The answers are lines of JSON, too. The last one says what became of the request, and then the
// agent closes the connection; before it, "touch" and "touched" may come, for a hardware token that
// waits for a finger, and "wait" every two seconds, so that who waits for a person or for a busy
// card can tell an agent that is at work from one that hangs.
//
//	{"answer":"wait"}
//	{"answer":"touch","serial":N}
//	{"answer":"touched"}
//	{"answer":"token","token":…}
//	{"answer":"locked","key":NAME} or {"answer":"locked","serial":N}
//	{"answer":"refused","detail":…}                         for a reason of its own: there may be other ways
//	{"answer":"denied","detail":…}                          a person did not confirm it: that is final
//	{"answer":"status","status":{…}}
//	{"answer":"done"}
//
// Members that are not named here are errors, in both directions. There is no request that signs
// bytes: the agent writes each token itself, for a registry at which its user has enrolled.
package agent

import (
	"errors"
	"fmt"
	"os"
)

var (
	// ErrNoAgent is wrapped by errors that say that no agent runs, or none that can be used.
	ErrNoAgent = errors.New("no agent runs")
	// ErrOff says that REGKEY_AGENT=off forbids to use or start an agent. It wraps ErrNoAgent.
	ErrOff = fmt.Errorf("%w: REGKEY_AGENT is off", ErrNoAgent)
)

// A SilentError says that something listens where the agent should, and says nothing. It is an
// [ErrNoAgent]: there are other ways.
type SilentError struct{ PID int } // 0: not known

func (e *SilentError) Error() string {
	if e.PID == 0 {
		return "the agent says nothing"
	}
	return fmt.Sprintf("the agent, process %d, says nothing: end it with \"kill -9 %d\", and another one starts when it is needed", e.PID, e.PID)
}

// Is makes it an [ErrNoAgent].
func (e *SilentError) Is(target error) bool { return target == ErrNoAgent }

// Off reports whether the user has said REGKEY_AGENT=off: no agent is used, and none is started.
func Off() bool { return os.Getenv("REGKEY_AGENT") == "off" }

// A LockedError says that the agent does not hold what the request needs, so that a person has to be
// asked first: for the passphrase of a software key, or for the PIN of a hardware token.
type LockedError struct {
	Key    string // the name of a software key; "" if it is a PIN that is missing
	Serial uint32 // of the token
}

func (e *LockedError) Error() string {
	if e.Key != "" {
		return fmt.Sprintf("key %q is locked", e.Key)
	}
	return fmt.Sprintf("the PIN of token %d is not kept", e.Serial)
}

// A DeniedError says that a person was to confirm the request and did not. No other way is to be tried.
type DeniedError struct{ Detail string }

func (e *DeniedError) Error() string { return e.Detail }

// A RefusedError says that the agent won't do what it was asked for.
type RefusedError struct{ Detail string }

func (e *RefusedError) Error() string { return "the agent refused: " + e.Detail }
