// What tests of this package may reach that nobody else may.

package keys

import (
	"context"
)

// SetWorkFactors changes what scrypt costs when a key is written, and at most when one is opened.
func SetWorkFactors(writing, most int) (oldWriting, oldMost int) {
	oldWriting, oldMost = workFactor, maxWorkFactor
	workFactor, maxWorkFactor = writing, most
	return oldWriting, oldMost
}

// UncheckedID is the id of an Ed25519 public key that [NewPublicKey] refuses: some published
// vectors are for keys that are no points.
func UncheckedID(raw []byte) ID {
	p := PublicKey{algorithm: Ed25519}
	copy(p.raw[:], raw)
	return p.named().id
}

// UncheckedKey is a signer whose record names another public key than the one it signs with.
func UncheckedKey(k *SoftwareKey, public PublicKey) *SoftwareKey {
	return &SoftwareKey{public: public, secret: k.secret, sign: k.sign}
}

// Ed25519BasePoint is the public key that Warm verifies with.
func Ed25519BasePoint() []byte { return ed25519BasePoint[:] }

// The two directions of a record file, without a disk.
var (
	EncodeRecord = encodeRecord
	ParseRecord  = parseRecord
)

// SealKey is the content of a passphrase key file.
func SealKey(key *SoftwareKey, passphrase string) ([]byte, error) {
	recipient, err := passphraseRecipient(NewSecret([]byte(passphrase)))
	if err != nil {
		return nil, err
	}
	return sealKey(key, recipient)
}

// OpenKey opens the content of a key file, without a keychain.
func OpenKey(ctx context.Context, data Secret, ask PassphraseFunc) (*SoftwareKey, error) {
	return opener{ask: ask}.open(ctx, data, Record{})
}
