// Locks: how a key is to be protected at rest, chosen by whoever stores it or changes that.

package keys

import (
	"errors"
	"fmt"
)

// A Lock says how a key is to be protected at rest: [NoLock], [PassphraseLock] or [KeychainLock].
// The zero value says nothing, and is refused: no key is left unprotected by an omission.
type Lock struct {
	protection Protection
	passphrase Secret
}

// NoLock leaves the key [Unprotected].
func NoLock() Lock { return Lock{protection: Unprotected} }

// PassphraseLock protects the key with a passphrase, which may not be empty.
func PassphraseLock(passphrase Secret) Lock {
	return Lock{protection: Passphrase, passphrase: passphrase}
}

// KeychainLock protects the key with a new wrapping key in the store's [SystemKeychain].
func KeychainLock() Lock { return Lock{protection: Keychain} }

// Protection is what a key has under this lock; empty for the zero value.
func (l Lock) Protection() Protection { return l.protection }

// check refuses a lock that can't be put on a key of the store s.
func (s *Store) check(l Lock) error {
	switch {
	case l.protection == "":
		return errors.New("no protection was chosen for it")
	case l.protection == Passphrase && l.passphrase.IsZero():
		return fmt.Errorf("protecting it: %w", ErrNoPassphrase)
	case l.protection == Keychain && s.keychain == nil:
		return fmt.Errorf("protecting it: %w", ErrNoKeychain)
	}
	return nil
}
