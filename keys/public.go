// Public keys: checked when parsed, comparable, with one text form.

package keys

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha512"
	"errors"
	"fmt"
	"math/big"
	"sync"

	"filippo.io/edwards25519"
)

// A PublicKey is a checked public key of either algorithm. Two keys are the same key exactly
// if they are ==, so it serves as a map key. The zero value is no key and verifies nothing.
type PublicKey struct {
	algorithm Algorithm
	// raw is the Ed25519 point (32 bytes, then zeros), or the uncompressed P-384 point
	// (97 bytes): decompressing costs a square root, which every verification would pay again.
	raw [97]byte
	// id follows from the rest. It costs a hash, which every look at a keyset of many keys would pay
	// again for each of them.
	id ID
}

// NewPublicKey checks raw key material: 32 bytes for Ed25519, the 49 bytes of a compressed
// point for P-384. It refuses Ed25519 encodings that are not canonical, not on the curve or of
// small order (a key of small order verifies signatures that nobody made), and P-384 points
// that are not on the curve.
func NewPublicKey(a Algorithm, raw []byte) (PublicKey, error) {
	if a.PublicKeySize() == 0 {
		return PublicKey{}, fmt.Errorf("no public key of %v", a)
	}
	if len(raw) != a.PublicKeySize() {
		return PublicKey{}, fmt.Errorf("%v public key has %d bytes instead of %d", a, len(raw), a.PublicKeySize())
	}
	p := PublicKey{algorithm: a}
	switch a {
	case Ed25519:
		if err := checkEdwardsPoint(raw); err != nil {
			return PublicKey{}, err
		}
		copy(p.raw[:], raw)
	case P384:
		x, y := elliptic.UnmarshalCompressed(elliptic.P384(), raw)
		if x == nil {
			return PublicKey{}, errors.New("p384 public key is not a compressed point on the curve")
		}
		p.raw[0] = 4
		x.FillBytes(p.raw[1:49])
		y.FillBytes(p.raw[49:97])
	}
	return p.named(), nil
}

// checkEdwardsPoint refuses what ed25519.Verify would take but no honest key is.
func checkEdwardsPoint(raw []byte) error {
	point, err := new(edwards25519.Point).SetBytes(raw)
	if err != nil {
		return errors.New("ed25519 public key is not a point on the curve")
	}
	if !canonicalY(raw) {
		return errors.New("ed25519 public key is not canonically encoded")
	}
	// Of the encodings with a wrong sign, all are of small order: only where x is 0 is there one.
	if new(edwards25519.Point).MultByCofactor(point).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return errors.New("ed25519 public key has small order")
	}
	return nil
}

// canonicalY reports whether the y of an Ed25519 point (RFC 8032, section 5.1.2) is below the
// prime 2^255 − 19. Encoding the point again would say the same for the price of an inversion.
func canonicalY(raw []byte) bool {
	if raw[31]&0x7f != 0x7f || raw[0] < 0xed {
		return true
	}
	for _, b := range raw[1:31] {
		if b != 0xff {
			return true
		}
	}
	return false
}

// ParsePublicKey reads a PASERK public key ("k4.public.…" or "k3.public.…", PASERK
// specification, type "public"). It accepts exactly what [PublicKey.String] returns.
func ParsePublicKey(text string) (PublicKey, error) {
	a, raw, err := splitPASERK(text, "public", Algorithm.PublicKeySize)
	if err != nil {
		return PublicKey{}, fmt.Errorf("parsing public key: %w", err)
	}
	p, err := NewPublicKey(a, raw)
	if err != nil {
		return PublicKey{}, fmt.Errorf("parsing public key: %w", err)
	}
	return p, nil
}

// Algorithm is the key's algorithm, or 0 for the zero value.
func (p PublicKey) Algorithm() Algorithm { return p.algorithm }

// IsZero reports whether p is no key at all.
func (p PublicKey) IsZero() bool { return p.algorithm == 0 }

// Bytes is the raw key that [NewPublicKey] takes: 32 bytes, or 49 for P-384.
func (p PublicKey) Bytes() []byte {
	switch p.algorithm {
	case Ed25519:
		return append([]byte(nil), p.raw[:32]...)
	case P384:
		// SEC 1, section 2.3.3: the parity of y, then x.
		return append([]byte{2 | p.raw[96]&1}, p.raw[1:49]...)
	}
	return nil
}

// String is the PASERK text, or "" for the zero value.
func (p PublicKey) String() string {
	if p.IsZero() {
		return ""
	}
	return joinPASERK(p.algorithm, "public", p.Bytes())
}

// MarshalText is [PublicKey.String] for encoders. The zero value is an error.
func (p PublicKey) MarshalText() ([]byte, error) {
	if p.IsZero() {
		return nil, errors.New("encoding public key: there is none")
	}
	return []byte(p.String()), nil
}

// UnmarshalText is [ParsePublicKey] for decoders.
func (p *PublicKey) UnmarshalText(text []byte) error {
	parsed, err := ParsePublicKey(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}

// Verify reports whether signature is p's over message. The message is given whole: Ed25519
// signs it as it is, P-384 its SHA-384. For P-384 both (r, s) and its twin (r, n−s) are good,
// as everywhere in ECDSA; where one signature must have one form see [CanonicalSignature].
func (p PublicKey) Verify(message, signature []byte) bool {
	if p.IsZero() || len(signature) != p.algorithm.SignatureSize() {
		return false
	}
	switch p.algorithm {
	case Ed25519:
		return ed25519.Verify(p.raw[:32], message, signature)
	case P384:
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), p.raw[:])
		if err != nil {
			return false
		}
		digest := sha512.Sum384(message)
		r, s := new(big.Int).SetBytes(signature[:48]), new(big.Int).SetBytes(signature[48:])
		return ecdsa.Verify(public, digest[:], r, s)
	}
	return false
}

// CanonicalSignature reports whether signature has the one form that this project signs
// with: any for Ed25519 (whose verification is already strict), s at most n/2 for P-384.
func (p PublicKey) CanonicalSignature(signature []byte) bool {
	if p.IsZero() || len(signature) != p.algorithm.SignatureSize() {
		return false
	}
	return p.algorithm != P384 || new(big.Int).SetBytes(signature[48:]).Cmp(p384HalfOrder()) <= 0
}

// p384HalfOrder is n/2, rounded down. It is not computed at start, as that would cost every
// program with only Ed25519 keys 50 µs.
var p384HalfOrder = sync.OnceValue(func() *big.Int { return new(big.Int).Rsh(elliptic.P384().Params().N, 1) })
