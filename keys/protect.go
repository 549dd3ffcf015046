// Protection of a key at rest: what a key file contains, and age's passphrase encryption.

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
// is a passphrase.
func sealKey(key *SoftwareKey, passphrase Secret) ([]byte, error) {
	text := append(append([]byte(nil), key.Secret().Reveal()...), '\n')
	if passphrase.IsZero() {
		return text, nil
	}
	recipient, err := age.NewScryptRecipient(string(passphrase.Reveal()))
	if err != nil {
		return nil, err
	}
	recipient.SetWorkFactor(workFactor)
	var file bytes.Buffer
	armored := armor.NewWriter(&file)
	sealed, err := age.Encrypt(armored, recipient)
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

// isSealed reports whether data, the content of a key file, is encrypted.
func isSealed(data []byte) bool { return bytes.HasPrefix(data, []byte(armor.Header)) }

// openKey reads what sealKey wrote, and asks for a passphrase only if one is needed.
func openKey(ctx context.Context, data Secret, ask PassphraseFunc, about Record) (*SoftwareKey, error) {
	if !isSealed(data.Reveal()) {
		return ParseSoftwareKey(NewSecret(trimLineBreak(data.Reveal())))
	}
	if ask == nil {
		return nil, ErrNoPassphrase
	}
	passphrase, err := ask(ctx, about)
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
	text, err := decrypt(data.Reveal(), passphrase)
	if err != nil {
		return nil, err
	}
	return ParseSoftwareKey(NewSecret(trimLineBreak(text)))
}

// decrypt opens an armored age file.
func decrypt(file []byte, passphrase Secret) ([]byte, error) {
	identity, err := age.NewScryptIdentity(string(passphrase.Reveal()))
	if err != nil {
		return nil, err
	}
	identity.SetMaxWorkFactor(maxWorkFactor)
	plain, err := age.Decrypt(armor.NewReader(bytes.NewReader(file)), identity)
	var mismatch *age.NoIdentityMatchError
	if errors.As(err, &mismatch) {
		if len(mismatch.StanzaTypes) == 1 && mismatch.StanzaTypes[0] == "scrypt" {
			return nil, ErrWrongPassphrase
		}
		return nil, errors.New("encrypted by age, but not with a passphrase")
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
