// Hardware as the agent sees it: an interface, so that this package links nothing that reaches tokens.

package keeper

import (
	"context"
	"errors"

	"github.com/cargo-regkey/regkey/keys"
)

// Tokens reaches the hardware tokens of this machine. Its methods may be called from several
// goroutines.
type Tokens interface {
	// Open takes the token that holds the key of r for this process alone, until [Session.Close]. It
	// waits for no token that is not plugged in, and gives up when ctx ends. The keeper opens a token
	// once at a time, but several tokens beside each other; who is asked for one has to know which
	// others are open.
	Open(ctx context.Context, r keys.Record) (Session, error)

	// Watch returns a channel that is closed when the token with that serial number is no longer
	// plugged in, or when that can't be found out any more: whoever holds a PIN for it drops the PIN
	// then. It needs no session, and takes the token from nobody. It ends with ctx, and may
	// close the channel then.
	Watch(ctx context.Context, serial uint32) (gone <-chan struct{})
}

// A Session is one token that is open.
type Session interface {
	// Signer is the key of r, which is on this token. Its Sign asks p for the PIN where the token
	// wants it for this signature, sends what it was given at most once, and says so to p while it
	// waits for a finger. It fails with an error that wraps [ErrWrongPIN] where the token refused that
	// PIN, one that wraps [ErrGone] where the token was pulled out, and with p's own error, as it is,
	// where p gave no PIN.
	Signer(r keys.Record, p Person) keys.Signer

	// Close gives the token back, with no PIN left verified on it. The keeper calls it once, never
	// during a signature.
	Close() error
}

// A Person answers for whoever holds the token, during one signature. The keeper implements it.
type Person interface {
	// PIN is the PIN that is kept for the token. policy is the key's own, as the token tells it
	// ("once", "always", …; "" unknown), tries are those that are left. An error says that nothing is to
	// be sent.
	PIN(ctx context.Context, policy string, tries int) (keys.Secret, error)

	// Touch says that the token waits for a finger; done is called when the wait is over. Neither
	// blocks.
	Touch() (done func())
}

var (
	// ErrWrongPIN is wrapped by errors that say that the token refused a PIN.
	ErrWrongPIN = errors.New("the token refused the PIN")
	// ErrGone is wrapped by errors that say that a token was pulled out.
	ErrGone = errors.New("the token was pulled out")
)
