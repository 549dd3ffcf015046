// Ed25519 for a process that signs once: the same signatures as crypto/ed25519, without its tables.

package keys

import (
	"crypto/ed25519"
	"crypto/sha512"

	"filippo.io/edwards25519"
)

// The first use of a private key makes crypto/ed25519 build a table of multiples of the base point,
// 1.4 ms on the machine where a signature takes 0.04 ms and the whole credential provider 2 ms. A
// multiplication that needs no table takes 0.07 ms and is constant-time as well, so
// whoever opens a key, signs and exits is better off with it. What is signed here is verified by
// crypto/ed25519 each time: see [Sign].

// ed25519PublicOf is the public key of a 32-byte seed (RFC 8032, section 5.1.5).
func ed25519PublicOf(seed []byte) ([]byte, error) {
	s, _, err := ed25519Expand(seed)
	if err != nil {
		return nil, err
	}
	return timesBase(s).Bytes(), nil
}

// ed25519Sign is ed25519.Sign (RFC 8032, section 5.1.6), byte for byte. The halves of private must
// belong together: with another public half two signatures reveal the key.
func ed25519Sign(private ed25519.PrivateKey, message []byte) ([]byte, error) {
	s, prefix, err := ed25519Expand(private[:ed25519.SeedSize])
	if err != nil {
		return nil, err
	}
	public := private[ed25519.SeedSize:]
	r, err := hashToScalar(prefix, message)
	if err != nil {
		return nil, err
	}
	commitment := timesBase(r).Bytes()
	k, err := hashToScalar(commitment, public, message)
	if err != nil {
		return nil, err
	}
	return append(commitment, edwards25519.NewScalar().MultiplyAdd(k, s, r).Bytes()...), nil
}

// ed25519Expand is the secret scalar of a seed, and the prefix that makes the nonces.
func ed25519Expand(seed []byte) (s *edwards25519.Scalar, prefix []byte, err error) {
	h := sha512.Sum512(seed)
	s, err = edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	return s, h[32:], err
}

func hashToScalar(pieces ...[]byte) (*edwards25519.Scalar, error) {
	h := sha512.New()
	for _, piece := range pieces {
		h.Write(piece)
	}
	return edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
}

// timesBase multiplies the base point like any other point: ScalarBaseMult would build a table.
func timesBase(s *edwards25519.Scalar) *edwards25519.Point {
	return new(edwards25519.Point).ScalarMult(s, edwards25519.NewGeneratorPoint())
}
