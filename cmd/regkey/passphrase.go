// Passphrases: those that open keys, and those that are chosen for them.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cargo-regkey/regkey/internal/strength"
	"github.com/cargo-regkey/regkey/keys"
)

// Files that hold passphrases, for where nobody can be asked.
const (
	envPassphraseFile    = "REGKEY_PASSPHRASE_FILE"     // that open a key, or protect one that is made
	envNewPassphraseFile = "REGKEY_NEW_PASSPHRASE_FILE" // that protect a key from now on, where the other opens it
)

// tries is how often a person may mistype a passphrase.
const tries = 3

// asking has open use a passphrase that it may want, and try again where a person mistyped it. The
// passphrase that it used is returned, zero if it wanted none, and whether a person has typed it.
func (a *app) asking(ctx context.Context, question string, open func(keys.PassphraseFunc) error) (used keys.Secret, typed bool, err error) {
	for asked := 0; ; {
		err := open(func(ctx context.Context, _ keys.Record) (keys.Secret, error) {
			asked++
			var err error
			used, typed, err = a.passphrase(ctx, question, asked)
			return used, err
		})
		if !errors.Is(err, keys.ErrWrongPassphrase) || !a.terminal || asked > tries {
			return used, typed, err
		}
		a.say("regkey: wrong passphrase, try again")
	}
}

// passphrase is the content of the file that the environment names, at the first try; then what a
// person types.
func (a *app) passphrase(ctx context.Context, question string, try int) (passphrase keys.Secret, typed bool, err error) {
	if file := a.getenv(envPassphraseFile); file != "" && try == 1 {
		passphrase, err = keys.PassphraseFromFile(ctx, file)
		return passphrase, false, err
	}
	if !a.terminal {
		return keys.Secret{}, false, nil // which ends in ErrNoPassphrase
	}
	passphrase, err = a.secret(ctx, question, "")
	return passphrase, true, err
}

// newPassphrase is to protect a key: from the file that the environment names, or typed twice.
func (a *app) newPassphrase(ctx context.Context, w lockWish) (passphrase keys.Secret, typed bool, err error) {
	if file := a.getenv(w.file); file != "" {
		if passphrase, err = keys.PassphraseFromFile(ctx, file); err == nil {
			a.warnOfWeakness(passphrase, w.name)
		}
		return passphrase, false, err
	}
	if !a.terminal {
		return keys.Secret{}, false, advised(&missingError{what: "a passphrase for key " + w.name},
			"set "+w.file+" to a file that holds one",
			"or give --none: then the file's mode alone guards the key")
	}
	passphrase, err = a.typeTwice(ctx, w)
	return passphrase, true, err
}

// typeTwice asks for a new passphrase until the same was typed twice in a row. A weak one is
// warned of, and then taken or replaced by a better one, as the person likes.
func (a *app) typeTwice(ctx context.Context, w lockWish) (keys.Secret, error) {
	first, err := a.secret(ctx, w.question, "")
	for try := 1; err == nil; try++ {
		again, weak := "The same again:", a.warnOfWeakness(first, w.name)
		if weak {
			again = "The same again, or a better one:"
		}
		var second keys.Secret
		if second, err = a.secret(ctx, again, ""); err != nil {
			break
		}
		switch {
		case bytes.Equal(first.Reveal(), second.Reveal()):
			return first, nil
		case try == tries:
			return keys.Secret{}, errors.New("typing the passphrase: three times two different ones")
		case weak:
			first = second
		default:
			a.say("regkey: the two are not the same, try again")
			first, err = a.secret(ctx, w.question, "")
		}
	}
	return keys.Secret{}, err
}

// warnOfWeakness says so if a passphrase could be guessed, and shows a person a better one.
func (a *app) warnOfWeakness(passphrase keys.Secret, name string) bool {
	weakness := strength.Judge(passphrase, name, a.getenv("USER"))
	if weakness == "" {
		return false
	}
	a.say("regkey: warning: the passphrase could be guessed: %s", weakness)
	if better, err := strength.Suggest(); err == nil && a.terminal {
		a.say("        one that was drawn by lot, to write down on paper: %s", better.Reveal())
	}
	return true
}

// passphraseOf is the question for the passphrase of a key of the store: it says what the key is to
// sign, as far as that is known.
func (a *app) passphraseOf(name string) string {
	if a.purpose == "" {
		return fmt.Sprintf("Passphrase of key %s:", name)
	}
	return fmt.Sprintf("Passphrase of key %s, to %s:", name, a.purpose)
}
