// Warming up: doing early, in the background, what the first signature would otherwise wait for.

package keys

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
)

// Warm starts, in the background, the making of the tables that the standard library makes once in
// a process, at the first use of an algorithm: those with which each signature of [Sign] is
// verified (Ed25519, 0.4 ms), and for P-384 signed too. A program that makes one signature and
// exits calls it first, and reads its files meanwhile. Code that needs a table which is still being
// made waits for it, as it would without Warm.
func Warm(a Algorithm) {
	switch a {
	case Ed25519:
		// Any valid public key will do: this is the base point (RFC 8032, section 5.1).
		go ed25519.Verify(ed25519BasePoint[:], nil, make([]byte, ed25519.SignatureSize))
	case P384:
		// Signing and verifying share one table; deriving the key of the scalar 1 needs it.
		go func() {
			scalar := [48]byte{47: 1}
			_, _ = ecdsa.ParseRawPrivateKey(elliptic.P384(), scalar[:])
		}()
	}
}

var ed25519BasePoint = func() (point [ed25519.PublicKeySize]byte) {
	for i := range point {
		point[i] = 0x66
	}
	point[0] = 0x58
	return point
}()
