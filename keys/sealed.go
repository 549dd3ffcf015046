// What a key file contains: PASERK text, open or encrypted by age.

package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"filippo.io/age/armor"
)

var (
	// ErrNoPassphrase is wrapped by errors that say that a key needs a passphrase and nobody gave one.
	ErrNoPassphrase = errors.New("the key needs a passphrase and none was given")
	// ErrWrongPassphrase is wrapped by errors that say that a passphrase does not open the key.
	ErrWrongPassphrase = errors.New("wrong passphrase")
)

// A PassphraseFunc obtains the passphrase of the key that about describes, from a person or a file.
// A zero Secret counts as "none" and leads to [ErrNoPassphrase].
type PassphraseFunc func(ctx context.Context, about Record) (Secret, error)

// The binary logarithm of scrypt's cost N. Variables for tests only.
var (
	// workFactor is used when a key is written. 18 takes 256 MiB for 1.0 to 1.2 s on one core of a
	// small server, about as long as a person who has just typed a passphrase will wait. The age
	// command uses the same.
	workFactor = 18
	// maxWorkFactor is the most that a key file may ask for: 20 takes 1 GiB and 4 to 5 s. Neither
	// regkey nor the age command writes a file that asks for more, which could exhaust the machine.
	maxWorkFactor = 20
)

// sealKey is the content of a key file: the PASERK text and a line feed, armored by age if there
// are recipients.
func sealKey(key *SoftwareKey, recipients ...age.Recipient) ([]byte, error) {
	text := append(append([]byte(nil), key.Secret().Reveal()...), '\n')
	if len(recipients) == 0 {
		return text, nil
	}
	var file bytes.Buffer
	armored := armor.NewWriter(&file)
	sealed, err := age.Encrypt(armored, recipients...)
	if err != nil {
		return nil, err
	}
	if _, err := sealed.Write(text); err != nil {
		return nil, err
	}
	if err := errors.Join(sealed.Close(), armored.Close()); err != nil {
		return nil, err
	}
	return file.Bytes(), nil
}

// passphraseRecipient is what a file that a passphrase protects is sealed to.
func passphraseRecipient(passphrase Secret) (age.Recipient, error) {
	recipient, err := age.NewScryptRecipient(string(passphrase.Reveal()))
	if err != nil {
		return nil, err
	}
	recipient.SetWorkFactor(workFactor)
	return recipient, nil
}

// isSealed reports whether data, the content of a key file, is encrypted.
func isSealed(data []byte) bool { return bytes.HasPrefix(data, []byte(armor.Header)) }

// An opener has what it may take to open a key file.
type opener struct {
	ask      PassphraseFunc
	keychain SystemKeychain
}

// open reads what sealKey wrote, asks for a passphrase only if one is needed, and the keychain
// only if the file says so.
func (o opener) open(ctx context.Context, data Secret, about Record) (*SoftwareKey, error) {
	text := data.Reveal()
	if isSealed(text) {
		seal, err := parseSeal(text)
		if err != nil {
			return nil, err
		}
		about.Protection = seal.protection
		identity, err := o.identity(ctx, seal, about)
		if err != nil {
			return nil, err
		}
		if text, err = decrypt(text, identity); err != nil {
			return nil, err
		}
	}
	return ParseSoftwareKey(NewSecret(trimLineBreak(text)))
}

// identity obtains what opens a file with that seal.
func (o opener) identity(ctx context.Context, seal seal, about Record) (age.Identity, error) {
	if seal.protection == Keychain {
		return itemIdentity(ctx, o.keychain, seal.item)
	}
	if o.ask == nil {
		return nil, ErrNoPassphrase
	}
	passphrase, err := o.ask(ctx, about)
	if err != nil {
		return nil, fmt.Errorf("asking for the passphrase: %w", err)
	}
	if passphrase.IsZero() {
		return nil, ErrNoPassphrase
	}
	// scrypt can't be interrupted: whoever gave up at the prompt need not wait for it.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	identity, err := age.NewScryptIdentity(string(passphrase.Reveal()))
	if err != nil {
		return nil, err
	}
	identity.SetMaxWorkFactor(maxWorkFactor)
	return identity, nil
}

// decrypt opens an armored age file.
func decrypt(file []byte, identity age.Identity) ([]byte, error) {
	plain, err := age.Decrypt(armor.NewReader(bytes.NewReader(file)), identity)
	if mismatch := (*age.NoIdentityMatchError)(nil); errors.As(err, &mismatch) {
		if _, ok := identity.(*age.ScryptIdentity); ok {
			return nil, ErrWrongPassphrase
		}
		return nil, errors.New("the keychain's wrapping key is not the one of this file")
	}
	if err != nil {
		return nil, fmt.Errorf("decrypting with age: %w", err)
	}
	text, err := io.ReadAll(plain)
	if err != nil {
		return nil, fmt.Errorf("decrypting with age: %w", err)
	}
	return text, nil
}

// trimLineBreak removes one line break, LF or CRLF, from the end.
func trimLineBreak(text []byte) []byte {
	if shorter, ok := bytes.CutSuffix(text, []byte("\n")); ok {
		return bytes.TrimSuffix(shorter, []byte("\r"))
	}
	return text
}
