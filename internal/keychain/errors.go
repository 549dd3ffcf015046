// Why a keychain does not serve, in sentences.

package keychain

import (
	"errors"
	"fmt"
	"time"

	"github.com/zalando/go-keyring"
)

// A TimeoutError says that the keychain has not answered.
type TimeoutError struct {
	Doing  string // such as "fetching from the keychain"
	Limit  time.Duration
	Locked bool // it waited for a person to unlock it
}

// Error says who has not answered.
func (e *TimeoutError) Error() string {
	if e.Locked {
		return fmt.Sprintf("%s: it is locked, and nobody has unlocked it within %v", e.Doing, e.Limit)
	}
	return fmt.Sprintf("%s: it has not answered within %v", e.Doing, e.Limit)
}

// An UnavailableError says that there is no keychain here, or that it refuses. It does not unwrap to
// Err: a missing socket is an fs.ErrNotExist too, and would be taken for a missing item.
type UnavailableError struct {
	Reason string
	Locked bool  // it is there, and a person would have to unlock it
	Err    error // what the keychain or the bus said; may be nil
}

// Error is a sentence.
func (e *UnavailableError) Error() string {
	text := "the operating system's keychain cannot be used: " + e.Reason
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// explain makes a sentence of what the client library says. An [*UnavailableError] stays as it is.
func explain(what string, err error) error {
	if already := (*UnavailableError)(nil); errors.As(err, &already) {
		return err
	}
	if errors.Is(err, keyring.ErrUnsupportedPlatform) {
		return &UnavailableError{Reason: "none is known on this system"}
	}
	return &UnavailableError{Reason: what, Err: err}
}
