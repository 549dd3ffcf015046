// Signed keysets and signed revocations.

package enroll

import (
	"context"
	"fmt"

	"github.com/cargo-regkey/regkey/keys"
)

// A SignedKeyset is a keyset as it travels and is stored. Its signatures are checked by
// [Standing.Accept] alone, as who must have signed follows from the version before.
type SignedKeyset struct {
	Keyset
	Text   []byte // what is hashed
	Note   []byte // Text and its signatures
	signed *signedText
}

// SignKeyset encodes k and signs it by every signer, in the order given. It does not judge whether
// these are the ones that a registry asks for.
func SignKeyset(ctx context.Context, k *Keyset, signers ...keys.Signer) (*SignedKeyset, error) {
	text, err := k.Encode()
	if err != nil {
		return nil, err
	}
	note, err := signText(ctx, text, signers...)
	if err != nil {
		return nil, err
	}
	return ParseSignedKeyset(note)
}

// ParseSignedKeyset reads framing and grammar. It checks no signature.
func ParseSignedKeyset(note []byte) (*SignedKeyset, error) { return newKnown().parseSigned(note) }

func (known *known) parseSigned(note []byte) (*SignedKeyset, error) {
	signed, err := parseNote(note)
	if err != nil {
		return nil, err
	}
	k, err := known.parseKeyset(signed.text)
	if err != nil {
		return nil, err
	}
	return &SignedKeyset{Keyset: *k, Text: signed.text, Note: signed.note, signed: signed}, nil
}

// Hash names this version in the next one.
func (s *SignedKeyset) Hash() Hash { return hashText(s.Text) }

// Signers are the ids of the signature lines, sorted; whether they verify is not said.
func (s *SignedKeyset) Signers() []keys.ID { return s.signed.signers() }

// SignedBy reports whether one of the signatures is key's and verifies. It does not say that the
// rules ask for it.
func (s *SignedKeyset) SignedBy(key keys.PublicKey) bool { return s.signed.verify(key) == nil }

// A SignedRevocation is a revocation as it travels, with exactly one signature.
type SignedRevocation struct {
	Revocation
	Text   []byte
	Note   []byte
	signed *signedText
}

// SignRevocation encodes r and signs it by the key that it ends or by one that manages.
func SignRevocation(ctx context.Context, r *Revocation, signer keys.Signer) (*SignedRevocation, error) {
	text, err := r.Encode()
	if err != nil {
		return nil, err
	}
	note, err := signText(ctx, text, signer)
	if err != nil {
		return nil, err
	}
	return ParseSignedRevocation(note)
}

// ParseSignedRevocation reads framing and grammar, and refuses a note without exactly one
// signature. It does not check that signature: see [SignedRevocation.Verify].
func ParseSignedRevocation(note []byte) (*SignedRevocation, error) {
	signed, err := parseNote(note)
	if err != nil {
		return nil, err
	}
	r, err := ParseRevocation(signed.text)
	if err != nil {
		return nil, err
	}
	if len(signed.signatures) != 1 {
		return nil, fmt.Errorf("reading signed revocation: %d signatures instead of one", len(signed.signatures))
	}
	return &SignedRevocation{Revocation: *r, Text: signed.text, Note: signed.note, signed: signed}, nil
}

// Signer is the id of the key that the revocation claims to be signed by.
func (s *SignedRevocation) Signer() keys.ID { return s.signed.signatures[0].signer }

// Verify checks the signature with the key on file for [SignedRevocation.Signer]. Whether that
// key may end [Revocation.Key] is the caller's to know: it is the same key, or one that manages.
func (s *SignedRevocation) Verify(by keys.PublicKey) error {
	if err := s.signed.verify(by); err != nil {
		return fmt.Errorf("checking revocation of %v: %w", s.Key, err)
	}
	return nil
}
