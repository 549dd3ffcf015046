// Opening keys, and the passphrases of new ones.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cargo-regkey/regkey/keys"
)

// envPassphraseFile names a file that holds the passphrase, for where nobody can be asked.
const envPassphraseFile = "REGKEY_PASSPHRASE_FILE"

// tries is how often a person may mistype a passphrase.
const tries = 3

// unlock opens a key of the store, once: further calls get the same key without a question.
// A key in a token asks for its PIN when it signs.
func (a *app) unlock(ctx context.Context, store *keys.Store, name string) (keys.Signer, error) {
	if key, found := a.unlocked[name]; found {
		return key, nil
	}
	if record, err := store.Lookup(name); err == nil && record.Protection == keys.Hardware {
		key, err := a.unlockToken(ctx, record)
		if err != nil {
			return nil, err
		}
		a.unlocked[name] = key
		return key, nil
	}
	asked := 0
	for {
		key, err := store.Unlock(ctx, name, func(ctx context.Context, about keys.Record) (keys.Secret, error) {
			asked++
			return a.passphrase(ctx, about, asked)
		})
		if err == nil {
			a.unlocked[name] = key
			return key, nil
		}
		if !errors.Is(err, keys.ErrWrongPassphrase) || !a.terminal || asked > tries {
			return nil, err
		}
		a.say("regkey: wrong passphrase, try again")
	}
}

// passphrase is the content of the file that the environment names, at the first try; then what a
// person types.
func (a *app) passphrase(ctx context.Context, about keys.Record, try int) (keys.Secret, error) {
	if file := a.getenv(envPassphraseFile); file != "" && try == 1 {
		return keys.PassphraseFromFile(ctx, file)
	}
	if !a.terminal {
		return keys.Secret{}, nil // which ends in ErrNoPassphrase
	}
	return a.secret(ctx, fmt.Sprintf("Passphrase of key %s:", about.Name), "")
}

// newPassphrase is for a key that is to be made: from the file that the environment names, or typed
// twice.
func (a *app) newPassphrase(ctx context.Context, name string) (keys.Secret, error) {
	if file := a.getenv(envPassphraseFile); file != "" {
		return keys.PassphraseFromFile(ctx, file)
	}
	if !a.terminal {
		return keys.Secret{}, advised(&missingError{what: "a passphrase for the new key"},
			"set "+envPassphraseFile+" to a file that holds one",
			"or give --no-passphrase: then the file's mode alone guards the key")
	}
	for range tries {
		first, err := a.secret(ctx, fmt.Sprintf("Passphrase for the new key %s:", name), "")
		if err != nil {
			return keys.Secret{}, err
		}
		second, err := a.secret(ctx, "The same again:", "")
		if err != nil {
			return keys.Secret{}, err
		}
		if bytes.Equal(first.Reveal(), second.Reveal()) {
			return first, nil
		}
		a.say("regkey: the two are not the same, try again")
	}
	return keys.Secret{}, errors.New("typing the passphrase: three times two different ones")
}

// makeKey generates and stores a key. A zero passphrase leaves it unprotected.
func (a *app) makeKey(store *keys.Store, name string, algorithm keys.Algorithm, passphrase keys.Secret) (keys.Record, error) {
	key, err := keys.Generate(algorithm)
	if err != nil {
		return keys.Record{}, err
	}
	lock := keys.NoLock()
	if !passphrase.IsZero() {
		lock = keys.PassphraseLock(passphrase)
	}
	record, err := store.Create(context.Background(), keys.Record{Name: name, Created: a.now()}, key, lock)
	if err != nil {
		return keys.Record{}, err
	}
	a.unlocked[name] = key
	return record, nil
}
