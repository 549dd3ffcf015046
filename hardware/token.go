// A token that is open: one use at a time, and closed with nothing left unlocked.

package hardware

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cargo-regkey/regkey/hardware/attestation"
	"github.com/cargo-regkey/regkey/keys"
)

// A Token is a PIV token that this program has for itself. Its methods may be called from several
// goroutines; they take turns. A method whose ctx ends returns at once, and the command that the token is
// still busy with, which nothing can call back, is waited for behind the scenes.
type Token struct {
	card     card
	reader   string
	serial   uint32
	firmware Version
	after    func(time.Duration) <-chan time.Time
	awake    time.Duration // how often a token that waits for a person wants a command; 0 never
	place    lock
	lookout  func(reader string) (lookout, error)

	// turn holds one value while the token is in use; gone is closed with the token.
	turn  chan struct{}
	gone  chan struct{}
	close sync.Once

	// What follows belongs to whoever has the turn.
	verified  bool // the PIN, by us
	left      int  // the PIN's tries when they were last asked for
	unlocked  bool // PIN or management key: closing has to end it
	lastTries bool // the next PIN or PUK may spend one of the last tries
	pukLeft   int  // the PUK's tries when one was last wrong; -1 unknown
}

// Serial is the serial number that is printed on the token, or 0 where it has none.
func (t *Token) Serial() uint32 { return t.serial }

// Firmware is the version of the token's firmware.
func (t *Token) Firmware() Version { return t.firmware }

// Reader is the name of the token's reader, as the system calls it.
func (t *Token) Reader() string { return t.reader }

// Close gives the token back, with neither PIN nor management key left verified. Where a command
// is still under way (see [Token]), or the service hangs, that happens when it ends, or when the process does: the service
// resets a token whose program is gone. A token that was pulled out closes without an error.
func (t *Token) Close() error {
	var err error
	t.close.Do(func() {
		close(t.gone)
		select {
		case t.turn <- struct{}{}:
			ctx, cancel := context.WithTimeout(context.Background(), servicePatience)
			defer cancel()
			_, err = await(ctx, func() (struct{}, error) { return struct{}{}, t.shut() }, nil)
		default:
			go func() {
				t.turn <- struct{}{}
				_ = t.shut()
			}()
		}
	})
	return err
}

func (t *Token) shut() error {
	defer t.place.release()
	var left error
	if t.unlocked {
		left = guard(t.card.leave)
	}
	err := explain(t.serial, "closing the token", errors.Join(left, guard(t.card.close)))
	if errors.As(err, new(*RemovedError)) {
		return nil
	}
	return err
}

// A use is one method's turn on a token.
type use struct {
	*Token
	ctx   context.Context
	stray chan error // of a command that outlived ctx
}

// use runs f with the token to itself.
func (t *Token) use(ctx context.Context, f func(u *use) error) error {
	select {
	case <-t.gone:
		return ErrClosed
	default:
	}
	select {
	case <-t.gone:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case t.turn <- struct{}{}:
	}
	u := &use{Token: t, ctx: ctx}
	defer u.end()
	return f(u)
}

func (u *use) end() {
	if u.stray == nil {
		<-u.turn
		return
	}
	go func() {
		<-u.stray
		<-u.turn
	}()
}

// do is ask for commands that answer nothing.
func (u *use) do(doing string, command func() error) error {
	_, err := ask(u, doing, func() (struct{}, error) { return struct{}{}, command() })
	return err
}

// ask runs one command, or some, and says what was being done where they fail. The command must not write to what
// its caller reads: it may go on when ask has returned.
func ask[T any](u *use, doing string, command func() (T, error)) (T, error) {
	var none T
	if err := u.ctx.Err(); err != nil {
		return none, err
	}
	answers, done := make(chan T, 1), make(chan error, 1)
	go func() {
		done <- guard(func() error {
			answer, err := command()
			answers <- answer
			return err
		})
	}()
	select {
	case err := <-done:
		if err != nil {
			return none, explain(u.serial, doing, err)
		}
		return <-answers, nil
	case <-u.ctx.Done():
		u.stray = done
		return none, u.ctx.Err()
	}
}

// DefaultAlgorithm is the best that the token can do: Ed25519 from firmware 5.7, else P-384.
func (t *Token) DefaultAlgorithm() keys.Algorithm {
	if t.firmware.AtLeast(5, 7, 0) {
		return keys.Ed25519
	}
	return keys.P384
}

// Supports says, in a sentence, why the token can't make keys of an algorithm; nil where it can.
func (t *Token) Supports(a keys.Algorithm) error {
	switch {
	case a == keys.Ed25519 && !t.firmware.AtLeast(5, 7, 0):
		return fmt.Errorf("token %d has firmware %v, and ed25519 needs 5.7 or later: choose p384", t.serial, t.firmware)
	case a == keys.P384 && !t.firmware.AtLeast(4, 3, 0):
		return fmt.Errorf("token %d has firmware %v, and keys with an attestation need 4.3 or later", t.serial, t.firmware)
	case a != keys.Ed25519 && a != keys.P384:
		return errors.New("tokens make ed25519 and p384 keys for cargo; p256 has no PASETO version, and so no registry could read its tokens")
	}
	return nil
}

// A Key is what a record keeps of a key on a token.
type Key struct {
	Serial   uint32
	Firmware Version
	Slot     Slot
	Public   keys.PublicKey
	// PIN and Touch are "" where the token, with a firmware before 5.3 and an imported key, doesn't tell.
	PIN   PINPolicy
	Touch TouchPolicy
	// Attestation is the chain for [attestation.Verify], without the root; nil for a key that was not made on the token.
	Attestation [][]byte
}

// chain is the attestation of a slot, with the certificates that lead towards the root.
func (u *use) chain(slot Slot) ([][]byte, error) {
	return ask(u, "attesting slot "+slot.String(), func() ([][]byte, error) {
		statement, err := u.card.attest(slot)
		if err != nil {
			return nil, err
		}
		attester, err := u.card.attester()
		if err != nil {
			return nil, fmt.Errorf("reading the token's own certificate: %w", err)
		}
		return attestation.Complete([][]byte{statement.Raw, attester.Raw}), nil
	})
}
