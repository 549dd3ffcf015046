// What goes wrong with tokens, as types that carry the facts.

package hardware

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/cargo-regkey/regkey/keys"
)

// ErrNotBuilt says that this program was built without cgo, and so can't reach tokens.
var ErrNotBuilt = errors.New("built without hardware support")

// ErrClosed says that a [Token] was used after [Token.Close].
var ErrClosed = errors.New("the token is closed")

// ErrPINNeeded says that the token wanted a PIN and there was nobody to ask.
var ErrPINNeeded = errors.New("the token wants its PIN")

// A ServiceError says that the PC/SC service can't be reached: on Linux pcscd is not installed or not running.
type ServiceError struct{ Err error }

func (e *ServiceError) Error() string {
	return "reaching the smart card service: " + e.Err.Error()
}

// Remedy says in one sentence what to install or start on this system.
func (e *ServiceError) Remedy() string {
	switch {
	case errors.Is(e.Err, codeDenied):
		return "pcscd runs but refuses this user: its polkit rules say who may use smart cards"
	case errors.Is(e.Err, codeTimeout) && runtime.GOOS == "linux":
		return "pcscd runs but hangs: restart it (systemctl restart pcscd)"
	case runtime.GOOS == "linux":
		return "install pcscd (Debian, Ubuntu: apt install pcscd; Fedora: dnf install pcsc-lite; Arch: pacman -S pcsclite ccid) and start it: systemctl enable --now pcscd.socket"
	case runtime.GOOS == "windows":
		return `start the service "Smart Card": sc start SCardSvr`
	}
	return "the system's smart card service starts when a token is plugged in: plug it in again"
}

// Unwrap is what PC/SC said.
func (e *ServiceError) Unwrap() error { return e.Err }

// A NotFoundError says that the token is not plugged in. Serial is 0 where any would have done.
type NotFoundError struct {
	Serial  uint32
	Present []uint32 // the serial numbers of those that are
}

func (e *NotFoundError) Error() string {
	if e.Serial == 0 {
		return "no PIV token is plugged in"
	}
	if len(e.Present) == 0 {
		return fmt.Sprintf("token %d is not plugged in", e.Serial)
	}
	return fmt.Sprintf("token %d is not plugged in (there is %s)", e.Serial, joinSerials(e.Present))
}

// An AmbiguousError says that several tokens are plugged in and none was named.
type AmbiguousError struct{ Serials []uint32 }

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%d tokens are plugged in (%s): say which", len(e.Serials), joinSerials(e.Serials))
}

// A BusyError says that another program has the token.
type BusyError struct {
	Reader string
	// Holders are programs that may be it, such as "scdaemon (process 123)"; nil where nothing is known.
	Holders []string
}

func (e *BusyError) Error() string {
	if len(e.Holders) == 0 {
		return fmt.Sprintf("the token in reader %q is in use by another program", e.Reader)
	}
	return fmt.Sprintf("the token in reader %q is in use by another program: likely %s", e.Reader, strings.Join(e.Holders, ", "))
}

// A RemovedError says that the token was pulled out, or lost its power, while it was open.
type RemovedError struct {
	Serial uint32
	Err    error
}

func (e *RemovedError) Error() string { return fmt.Sprintf("token %d was pulled out", e.Serial) }

// Unwrap is what PC/SC said.
func (e *RemovedError) Unwrap() error { return e.Err }

// A PINError says that the PIN was wrong, and how many tries are left; at 0 the PIN is blocked, and [Token.Unblock] helps.
type PINError struct{ Retries int }

func (e *PINError) Error() string {
	if e.Retries == 0 {
		return "the PIN is blocked"
	}
	return "wrong PIN: " + tries(e.Retries)
}

// A PUKError says that the PUK was wrong; at 0 it is blocked, and only a reset of the token, which destroys its keys, helps.
type PUKError struct{ Retries int }

func (e *PUKError) Error() string {
	if e.Retries == 0 {
		return "the PUK is blocked"
	}
	return "wrong PUK: " + tries(e.Retries)
}

// A FewTriesError says that a PIN or PUK was not sent because so few tries are left that the
// person has to be asked first; see [Token.SpendLastTries].
type FewTriesError struct {
	PUK     bool
	Retries int
}

func (e *FewTriesError) Error() string {
	return fmt.Sprintf("not sending the %s: %s", pinOrPUK(e.PUK), tries(e.Retries))
}

// A FormatError says that what was given can't be a PIN or PUK. It was not sent, and cost no try.
type FormatError struct {
	PUK    bool
	OTP    bool // it is a one-time password: the token was touched while a PIN was asked for
	Length int  // bytes
}

func (e *FormatError) Error() string {
	if e.OTP {
		return fmt.Sprintf("that is a one-time password, which the token types when it is touched, and not its %s", pinOrPUK(e.PUK))
	}
	return fmt.Sprintf("a %s has %d to %d characters: %d were given", pinOrPUK(e.PUK), minPIN, maxPIN, e.Length)
}

// A TouchTimeoutError says that nobody touched the token in time (about 15 seconds).
type TouchTimeoutError struct{ Serial uint32 }

func (e *TouchTimeoutError) Error() string {
	return fmt.Sprintf("token %d was not touched in time", e.Serial)
}

// A KeyChangedError says that the slot doesn't hold the key of the record: the key was
// overwritten, or deleted, or the record is of another token.
type KeyChangedError struct {
	Serial uint32
	Slot   Slot
	Want   keys.PublicKey
	Found  keys.PublicKey // zero where the slot is empty or holds a key of another algorithm
}

func (e *KeyChangedError) Error() string {
	if e.Found.IsZero() {
		return fmt.Sprintf("slot %v of token %d doesn't hold the key %v any more", e.Slot, e.Serial, e.Want.ID())
	}
	return fmt.Sprintf("slot %v of token %d holds the key %v instead of %v", e.Slot, e.Serial, e.Found.ID(), e.Want.ID())
}

// An OccupiedError says that a slot holds something that a new key would destroy.
type OccupiedError struct{ Slot SlotInfo }

func (e *OccupiedError) Error() string {
	return fmt.Sprintf("slot %v holds a key (%s)", e.Slot.Slot, e.Slot.Algorithm)
}

// A FullError says that no slot is free.
type FullError struct{ Serial uint32 }

func (e *FullError) Error() string { return fmt.Sprintf("all slots of token %d are taken", e.Serial) }

// A ManagementKeyError says that the token refused the management key that was tried.
type ManagementKeyError struct {
	// Default says that only the factory's was tried: the token has another, and none was given nor, with the PIN, found on the token.
	Default bool
}

func (e *ManagementKeyError) Error() string {
	if e.Default {
		return "the management key is not the factory's: it, or the PIN that protects it, is needed"
	}
	return "the token refused the management key"
}

// An UnfinishedError says that a key was made, or may have been made, and what came after failed.
// The slot has to be told of: its key is of no use to anybody until [Token.Adopt] takes it up.
type UnfinishedError struct {
	Serial uint32
	Slot   Slot
	Public keys.PublicKey // zero where it is not known whether a key was made
	Err    error
}

func (e *UnfinishedError) Error() string {
	if e.Public.IsZero() {
		return fmt.Sprintf("slot %v of token %d may hold a new key now: %v", e.Slot, e.Serial, e.Err)
	}
	return fmt.Sprintf("slot %v of token %d holds the new key %v: %v", e.Slot, e.Serial, e.Public.ID(), e.Err)
}

// Unwrap is what failed.
func (e *UnfinishedError) Unwrap() error { return e.Err }

// explain turns the codes of PC/SC into the types above, and says what was being done.
func explain(serial uint32, doing string, err error) error {
	var code readerError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &code):
		if e := explainReader(serial, code); e != nil {
			return e
		}
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func explainReader(serial uint32, code readerError) error {
	switch code {
	case codeNoService, codeServiceStopped, codeDenied:
		return &ServiceError{code}
	case codeUnknownReader, codeNoCard, codeNotReady, codeNotTransacted, codeReaderUnavailable,
		codeComm, codeUnresponsive, codeUnpowered, codeReset, codeRemoved:
		return &RemovedError{serial, code}
	}
	return nil
}

func tries(n int) string {
	if n == 1 {
		return "1 try is left"
	}
	return fmt.Sprintf("%d tries are left", n)
}

func pinOrPUK(puk bool) string {
	if puk {
		return "PUK"
	}
	return "PIN"
}

func joinSerials(serials []uint32) string {
	var text []string
	for _, serial := range serials {
		text = append(text, fmt.Sprint(serial))
	}
	return strings.Join(text, ", ")
}
