// PINs and PUKs: where they come from, and what a wrong one costs.

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/keys"
)

// Files that hold what a person would type, for where nobody can be asked.
const (
	envPINFile        = "REGKEY_PIN_FILE"
	envPUKFile        = "REGKEY_PUK_FILE"
	envNewPINFile     = "REGKEY_NEW_PIN_FILE"
	envNewPUKFile     = "REGKEY_NEW_PUK_FILE"
	envManagementFile = "REGKEY_MANAGEMENT_KEY_FILE"
)

// A pinQuestion is one PIN or PUK that is to be given.
type pinQuestion struct {
	what   string // "PIN" or "PUK"
	file   string // the variable that names a file with it
	serial uint32
}

func pinOf(serial uint32) pinQuestion { return pinQuestion{"PIN", envPINFile, serial} }
func pukOf(serial uint32) pinQuestion { return pinQuestion{"PUK", envPUKFile, serial} }

// secretFile is the path that the environment names for a token: with its serial number, like
// REGKEY_PIN_FILE_12345678, where several tokens have PINs of their own; else for every token.
func (a *app) secretFile(q pinQuestion) string {
	if own := a.getenv(fmt.Sprintf("%s_%d", q.file, q.serial)); own != "" {
		return own
	}
	return a.getenv(q.file)
}

// canGive reports whether there is a file, or somebody to ask.
func (a *app) canGive(q pinQuestion) bool {
	_, known := a.pins[q]
	return known || a.secretFile(q) != "" || a.terminal
}

// give is the PIN or PUK: the one that was given before, the content of the file, or what a person
// types. tries are those that are left; 0 where that is not known.
func (a *app) give(ctx context.Context, q pinQuestion, tries int) (keys.Secret, error) {
	if tries > 0 && tries <= hardware.FewTries {
		if err := a.confirmFew(ctx, q, tries); err != nil {
			return keys.Secret{}, err
		}
	}
	if secret, known := a.pins[q]; known {
		return secret, nil
	}
	secret, err := a.obtain(ctx, q, tries)
	if err == nil {
		a.pins[q] = secret
	}
	return secret, err
}

// obtain reads the file, or asks.
func (a *app) obtain(ctx context.Context, q pinQuestion, tries int) (keys.Secret, error) {
	if file := a.secretFile(q); file != "" {
		return keys.PassphraseFromFile(ctx, file)
	}
	if !a.terminal {
		return keys.Secret{}, advised(&missingError{what: fmt.Sprintf("the %s of YubiKey %d", q.what, q.serial)},
			"run this on a terminal, or set "+q.file+" to a file that holds it")
	}
	question := fmt.Sprintf("%s of YubiKey %d:", q.what, q.serial)
	if tries > 0 {
		question = fmt.Sprintf("%s of YubiKey %d (%s):", q.what, q.serial, triesLeft(tries))
	}
	if a.linewise && a.purpose != "" {
		// Between the lines of cargo, which did not say what is to be signed; and a key may want no touch.
		question = a.purpose + " with key " + a.signer + ": " + question
	}
	return a.secret(ctx, question, "")
}

func triesLeft(n int) string {
	if n == 1 {
		return "1 try left"
	}
	return fmt.Sprintf("%d tries left", n)
}

// confirmFew asks for a plain yes before one of the last tries is spent. Nobody to ask is a no.
func (a *app) confirmFew(ctx context.Context, q pinQuestion, tries int) error {
	if a.few[q] == tries {
		return nil // said yes to just this
	}
	if !a.terminal {
		return &hardware.FewTriesError{PUK: q.what == "PUK", Retries: tries}
	}
	blocked := "the PUK unblocks it then"
	if q.what == "PUK" {
		blocked = "a blocked PUK is blocked for ever"
	}
	question := fmt.Sprintf("The %s of YubiKey %d has %s, and is blocked after the last (%s). Spend one?", q.what, q.serial, triesLeft(tries), blocked)
	if err := a.confirm(ctx, question); err != nil {
		return err
	}
	a.few[q] = tries
	return nil
}

// again reports whether a person may try once more after err, having said what was wrong. What was
// given is forgotten, whoever gave it: nothing is sent a second time that was refused.
func (a *app) again(q pinQuestion, err error, try int) bool {
	var pin *hardware.PINError
	var puk *hardware.PUKError
	var format *hardware.FormatError
	left := 0
	switch {
	case errors.As(err, new(*hardware.UnfinishedError)):
		return false
	case errors.As(err, &pin) && q.what == "PIN":
		left = pin.Retries
	case errors.As(err, &puk) && q.what == "PUK":
		left = puk.Retries
	case errors.As(err, &format) && format.PUK == (q.what == "PUK"):
		left = 1 // it was not sent, and cost none
	default:
		return false
	}
	delete(a.pins, q)
	if !a.terminal || a.getenv(q.file) != "" || left == 0 || try >= tries {
		return false
	}
	a.say("regkey: %v", err)
	return true
}

// with has do use the PIN or PUK, and asks again where a person mistyped it.
func (a *app) with(ctx context.Context, t *hardware.Token, q pinQuestion, do func(secret keys.Secret) error) error {
	for try := 1; ; try++ {
		secret, err := a.give(ctx, q, 0)
		if err != nil {
			return err
		}
		err = do(secret)
		var few *hardware.FewTriesError
		if errors.As(err, &few) && few.PUK == (q.what == "PUK") {
			// It was not sent: a person has to know first.
			if err := a.confirmFew(ctx, q, few.Retries); err != nil {
				return err
			}
			if err := t.SpendLastTries(ctx); err != nil {
				return err
			}
			err = do(secret)
		}
		if err == nil || !a.again(q, err, try) {
			return err
		}
	}
}

// newPIN is a PIN or PUK that is to be set: from the file, or typed twice.
func (a *app) newPIN(ctx context.Context, what, variable string, serial uint32) (keys.Secret, error) {
	if file := a.getenv(variable); file != "" {
		return keys.PassphraseFromFile(ctx, file)
	}
	if !a.terminal {
		return keys.Secret{}, advised(&missingError{what: fmt.Sprintf("a new %s for YubiKey %d", what, serial)},
			"run this on a terminal, or set "+variable+" to a file that holds it")
	}
	for range tries {
		first, err := a.secret(ctx, fmt.Sprintf("New %s for YubiKey %d, 6 to 8 characters:", what, serial), "")
		if err != nil {
			return keys.Secret{}, err
		}
		if n := len(first.Reveal()); n < 6 || n > 8 {
			a.say("regkey: %v", &hardware.FormatError{PUK: what == "PUK", OTP: n == 44, Length: n})
			continue
		}
		second, err := a.secret(ctx, "The same again:", "")
		if err != nil {
			return keys.Secret{}, err
		}
		if string(first.Reveal()) == string(second.Reveal()) {
			return first, nil
		}
		a.say("regkey: the two are not the same, try again")
	}
	return keys.Secret{}, fmt.Errorf("typing the new %s: three times none that could be taken", what)
}
