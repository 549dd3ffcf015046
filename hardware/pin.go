// PIN and PUK: sent only when they can be right, and counted before they are spent.

package hardware

import (
	"context"
	"errors"
	"fmt"

	"github.com/cargo-regkey/regkey/keys"
)

// A PIN or PUK has 6 to 8 bytes (SP 800-73-4, part 2, section 2.4.3; that YubiKeys take any bytes is
// their own).
const (
	minPIN = 6
	maxPIN = 8
)

// FewTries is the number of tries from which a person has to say yes before one more is spent:
// where it is left and the next is wrong too, only the last remains.
const FewTries = 2

// SpendLastTries says that a person knows how few tries are left and wants to spend one: the next PIN or PUK that is sent, and
// no other. It concerns the methods that are handed a PIN or PUK; a [Prompter] is told the number and says yes by answering.
func (t *Token) SpendLastTries(ctx context.Context) error {
	return t.use(ctx, func(u *use) error {
		u.lastTries = true
		return nil
	})
}

// checkFormat refuses what can't be a PIN or PUK, before it costs a try.
func checkFormat(secret keys.Secret, puk bool) error {
	text := secret.Reveal()
	if isOTP(text) {
		return &FormatError{PUK: puk, OTP: true, Length: len(text)}
	}
	if len(text) < minPIN || len(text) > maxPIN {
		return &FormatError{PUK: puk, Length: len(text)}
	}
	return nil
}

// isOTP recognizes what a YubiKey types by itself when it is touched: 44 letters of Yubico's "modhex".
func isOTP(text []byte) bool {
	if len(text) != 44 {
		return false
	}
	for _, c := range text {
		switch c {
		case 'c', 'b', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'n', 'r', 't', 'u', 'v':
		default:
			return false
		}
	}
	return true
}

// pinTries asks how many tries the PIN has left.
func (u *use) pinTries() (int, error) {
	if !u.verified {
		left, err := u.askTries()
		u.left = left
		return left, err
	}
	// The token that has just taken the PIN doesn't answer the plain question. Its tries are all back, so there are
	// at least as many as before.
	r, err := u.reference(referencePIN)
	if r.tries < 0 {
		r.tries = u.left
	}
	return r.tries, err
}

// askTries makes no use of a PIN that another program left verified: the applet is left and entered again, and only then asked.
func (u *use) askTries() (int, error) {
	return ask(u, "asking for the PIN's tries", func() (int, error) {
		left, verified, err := u.card.tries()
		if err != nil || !verified {
			return left, err
		}
		if err := u.card.leave(); err != nil {
			return 0, err
		}
		if err := u.card.enter(); err != nil {
			return 0, err
		}
		left, verified, err = u.card.tries()
		if err == nil && verified {
			err = errors.New("the token keeps a PIN verified that it was told to forget")
		}
		return left, err
	})
}

// spend checks that the PIN has tries left that may be spent without asking.
func (u *use) spend(left int, puk bool) error {
	switch {
	case left == 0 && puk:
		return &PUKError{0}
	case left == 0:
		return &PINError{0}
	case left > 0 && left <= FewTries && !u.lastTries:
		return &FewTriesError{PUK: puk, Retries: left}
	}
	u.lastTries = false
	return nil
}

// verify sends a PIN, once.
func (u *use) verify(pin keys.Secret) error {
	u.unlocked = true
	err := u.do("verifying the PIN", func() error { return u.card.verifyPIN(string(pin.Reveal())) })
	u.verified = err == nil
	return wrong(err, false)
}

// checkPIN is verify for a PIN that was given beforehand.
func (u *use) checkPIN(pin keys.Secret) error {
	if err := checkFormat(pin, false); err != nil {
		return err
	}
	left, err := u.pinTries()
	if err != nil {
		return err
	}
	if err := u.spend(left, false); err != nil {
		return err
	}
	return u.verify(pin)
}

// wrong turns a refusal into the type that carries the tries left.
func wrong(err error, puk bool) error {
	var w wrongError
	switch {
	case !errors.As(err, &w):
		return err
	case puk:
		return &PUKError{w.left}
	}
	return &PINError{w.left}
}

// VerifyPIN sends the PIN, once, if it has the form of one and more than [FewTries] tries are left (or see [Token.SpendLastTries]).
// It fails with [*FormatError], [*FewTriesError] or [*PINError]. Until [Token.Close] a key of PIN policy once needs none.
func (t *Token) VerifyPIN(ctx context.Context, pin keys.Secret) error {
	return t.use(ctx, func(u *use) error { return u.checkPIN(pin) })
}

// ChangePIN replaces the PIN. It fails as [Token.VerifyPIN] does.
func (t *Token) ChangePIN(ctx context.Context, old, new keys.Secret) error {
	return t.use(ctx, func(u *use) error {
		if err := errors.Join(checkFormat(old, false), checkFormat(new, false)); err != nil {
			return err
		}
		left, err := u.pinTries()
		if err != nil {
			return err
		}
		if err := u.spend(left, false); err != nil {
			return err
		}
		u.unlocked, u.verified = true, false
		err = u.do("changing the PIN", func() error { return u.card.changePIN(string(old.Reveal()), string(new.Reveal())) })
		return refusedNew(wrong(err, false), false)
	})
}

// ChangePUK replaces the PUK. It fails with [*FormatError], [*FewTriesError] or [*PUKError]. Before firmware 5.3 nobody
// can know how many tries the PUK has left until one was wrong, and one is spent.
func (t *Token) ChangePUK(ctx context.Context, old, new keys.Secret) error {
	return t.use(ctx, func(u *use) error {
		if err := errors.Join(checkFormat(old, true), checkFormat(new, true)); err != nil {
			return err
		}
		if err := u.spendPUK(); err != nil {
			return err
		}
		err := u.do("changing the PUK", func() error { return u.card.changePUK(string(old.Reveal()), string(new.Reveal())) })
		return refusedNew(u.wrongPUK(err), true)
	})
}

// Unblock sets a new PIN with the PUK, whether the PIN is blocked or not. It fails as [Token.ChangePUK] does.
func (t *Token) Unblock(ctx context.Context, puk, newPIN keys.Secret) error {
	return t.use(ctx, func(u *use) error {
		if err := errors.Join(checkFormat(puk, true), checkFormat(newPIN, false)); err != nil {
			return err
		}
		if err := u.spendPUK(); err != nil {
			return err
		}
		u.unlocked, u.verified = true, false
		err := u.do("unblocking the PIN", func() error { return u.card.unblock(string(puk.Reveal()), string(newPIN.Reveal())) })
		return refusedNew(u.wrongPUK(err), false)
	})
}

func (u *use) spendPUK() error {
	puk, err := u.reference(referencePUK)
	if err != nil {
		return err
	}
	if puk.tries < 0 {
		puk.tries = u.pukLeft
	}
	return u.spend(puk.tries, true)
}

// wrongPUK is wrong, and remembers what a token that can't be asked has told on this occasion.
func (u *use) wrongPUK(err error) error {
	var w wrongError
	switch {
	case err == nil:
		u.pukLeft = -1
	case errors.As(err, &w):
		u.pukLeft = w.left
	}
	return wrong(err, true)
}

// refusedNew tells a new PIN or PUK that the token won't have (some forbid simple ones) from a wrong old one.
func refusedNew(err error, puk bool) error {
	if errors.Is(err, statusBadData) || errors.Is(err, statusConditions) {
		return fmt.Errorf("the token does not accept the new %s: %w", pinOrPUK(puk), err)
	}
	return err
}
