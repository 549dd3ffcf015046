// Keys of OpenSSH that regkey takes in from their files.

package main

import (
	"context"
	"errors"

	"github.com/cargo-regkey/regkey/internal/sshkeys"
	"github.com/cargo-regkey/regkey/keys"
)

// openSSHKey is [keys.OpenKeyText] for an OpenSSH private key file.
func openSSHKey(ctx context.Context, text keys.Secret, name string, ask keys.PassphraseFunc) (*keys.SoftwareKey, error) {
	key, err := sshkeys.ParsePrivateKey(text, keys.Secret{})
	if !errors.Is(err, sshkeys.ErrPassphrase) {
		return key, err
	}
	passphrase, err := ask(ctx, keys.Record{Name: name})
	switch {
	case err != nil:
		return nil, err
	case passphrase.IsZero():
		return nil, keys.ErrNoPassphrase
	}
	key, err = sshkeys.ParsePrivateKey(text, passphrase)
	if errors.Is(err, sshkeys.ErrWrongPassphrase) {
		return nil, keys.ErrWrongPassphrase
	}
	return key, err
}
