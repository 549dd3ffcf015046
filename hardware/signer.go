// Signing: with the right key, the PIN asked for beforehand, and a word when a finger is waited for.

package hardware

import (
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// MaxMessage is the longest message, in bytes, that a token signs with Ed25519: it gets the whole of it, and
// its buffer holds some 3,070. P-384 keys sign messages of any length, as the token gets the digest.
const MaxMessage = 3000

// touchPatience is how long a signature may take before it must be a finger that is waited for.
const touchPatience = 200 * time.Millisecond

// A Prompter speaks with the person at the token.
type Prompter interface {
	// PIN asks for the PIN, of which as many tries are left; it is never 0. By answering it also says yes to spending one: where tries is
	// [FewTries] or less it should ask for that yes in plain words. An error ends the signature, and is returned as it is.
	PIN(ctx context.Context, about Key, tries int) (keys.Secret, error)
	// Touch says that the token waits for a finger. It is called, from a goroutine of its own, when a signature has taken
	// 200 ms; done is called when the wait is over, and takes away what was said. Neither may block.
	Touch(ctx context.Context, about Key) (done func())
}

// Signer is the key as a [keys.Signer]. p may be nil: then [ErrPINNeeded] stands for a PIN, and
// touches are waited for in silence.
//
// Before each signature it looks whether the slot still holds key.Public, and fails with [*KeyChangedError]
// where not. A wrong PIN is a [*PINError], after one try and never another; what can't be a PIN is a [*FormatError] and costs none; no finger
// in time is a [*TouchTimeoutError]; a token that is pulled out a [*RemovedError].
//
// What the token signed is not verified here but in [keys.Sign], through which everything is signed: there are tokens that
// sign only a part of a long message and report success.
func (t *Token) Signer(key Key, p Prompter) keys.Signer { return &signer{t, key, p} }

type signer struct {
	token *Token
	key   Key
	p     Prompter
}

func (s *signer) Public() keys.PublicKey { return s.key.Public }

func (s *signer) Sign(ctx context.Context, message []byte) ([]byte, error) {
	var signature []byte
	err := s.token.use(ctx, func(u *use) error {
		var err error
		signature, err = u.sign(s.key, s.p, message)
		return err
	})
	return signature, err
}

// sign makes one signature.
func (u *use) sign(key Key, p Prompter, message []byte) ([]byte, error) {
	input := message
	switch {
	case key.Public.Algorithm() == keys.P384:
		digest := sha512.Sum384(message)
		input = digest[:]
	case len(message) > MaxMessage:
		return nil, fmt.Errorf("signing on token %d: the message has %d bytes, and a token takes at most %d", u.serial, len(message), MaxMessage)
	}
	key, err := u.checkKey(key)
	if err != nil {
		return nil, err
	}
	if err := u.satisfyPIN(key, p); err != nil {
		return nil, err
	}
	signature, err := u.signTouched(key, p, input)
	if errors.Is(err, statusSecurity) {
		return nil, u.refusal(key)
	}
	if err != nil || key.Public.Algorithm() != keys.P384 {
		return signature, err
	}
	return keys.SignatureFromDER(signature)
}

// checkKey compares the slot's key with the record's, and returns the record with the policies that
// the token itself tells. A slot before firmware 5.3 that holds an imported key tells neither; the signature's verification has to find it out.
func (u *use) checkKey(key Key) (Key, error) {
	changed := &KeyChangedError{Serial: u.serial, Slot: key.Slot, Want: key.Public}
	if key.Serial != u.serial {
		return key, changed
	}
	info, err := ask(u, "looking at slot "+key.Slot.String(), func() (SlotInfo, error) {
		info := SlotInfo{Slot: key.Slot}
		err := u.lookKey(&info)
		return info, err
	})
	if err != nil {
		return key, err
	}
	silent := info.Algorithm == "" && (info.Occupied || !u.hasMetadata() && key.Attestation == nil)
	if info.Public != key.Public && !silent {
		changed.Found = info.Public
		return key, changed
	}
	if info.PIN != "" {
		key.PIN, key.Touch = info.PIN, info.Touch
	}
	return key, nil
}

// satisfyPIN asks for the PIN and verifies it, where the policy wants that now. An unknown policy wants it.
func (u *use) satisfyPIN(key Key, p Prompter) error {
	if key.PIN == PINNever || key.PIN == PINOnce && u.verified {
		return nil
	}
	left, err := u.pinTries()
	if err != nil {
		return err
	}
	if left == 0 {
		return &PINError{0}
	}
	if p == nil {
		return ErrPINNeeded
	}
	pin, err := u.prompt(key, p, left)
	if err != nil {
		return err
	}
	if err := checkFormat(pin, false); err != nil {
		return err
	}
	return u.verify(pin)
}

// prompt asks the person for the PIN, and keeps the token from being reset meanwhile, where the system does that.
func (u *use) prompt(key Key, p Prompter, left int) (keys.Secret, error) {
	if u.awake == 0 {
		return p.PIN(u.ctx, key, left)
	}
	answered := make(chan struct{})
	var waking sync.WaitGroup
	waking.Go(func() {
		for {
			select {
			case <-answered:
				return
			case <-u.after(u.awake):
				// That it fails, the next command tells as well.
				_ = guard(func() error { _, _, err := u.card.tries(); return err })
			}
		}
	})
	defer waking.Wait()
	defer close(answered)
	return p.PIN(u.ctx, key, left)
}

// signTouched has the card sign, and says so when that takes as long as a finger does.
func (u *use) signTouched(key Key, p Prompter, input []byte) ([]byte, error) {
	if key.Touch != TouchNever && p != nil {
		ended := make(chan struct{})
		told := make(chan struct{})
		late := u.after(touchPatience)
		go func() {
			defer close(told)
			select {
			case <-ended:
			case <-late:
				done := p.Touch(u.ctx, key)
				<-ended
				done()
			}
		}()
		defer func() {
			close(ended)
			<-told
		}()
	}
	return ask(u, "signing on the token", func() ([]byte, error) { return u.card.sign(key.Slot, key.Public, input) })
}

// refusal tells a finger that didn't come from a PIN that was not enough: both are 6982, and what was asked tells them apart.
func (u *use) refusal(key Key) error {
	if key.Touch != TouchNever {
		return &TouchTimeoutError{u.serial}
	}
	u.verified = false
	return ErrPINNeeded
}
