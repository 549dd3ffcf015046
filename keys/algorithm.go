// The two signature algorithms, and the sizes that follow from them.

package keys

import "fmt"

// An Algorithm is a signature algorithm of a key. It is chosen when a key is made and
// stored with it; it is never guessed from the length of anything. The zero value is no
// algorithm.
type Algorithm uint8

const (
	// Ed25519 is pure Ed25519 (RFC 8032, section 5.1), the algorithm of PASETO v4.public.
	Ed25519 Algorithm = 1
	// P384 is ECDSA over NIST P-384 with SHA-384 (FIPS 186-5), the algorithm of PASETO v3.public.
	P384 Algorithm = 2
)

// ParseAlgorithm reads the name that [Algorithm.String] writes.
func ParseAlgorithm(text string) (Algorithm, error) {
	switch text {
	case "ed25519":
		return Ed25519, nil
	case "p384":
		return P384, nil
	}
	return 0, fmt.Errorf("unknown key algorithm %.20q: known are ed25519 and p384", text)
}

// String is "ed25519" or "p384".
func (a Algorithm) String() string {
	switch a {
	case Ed25519:
		return "ed25519"
	case P384:
		return "p384"
	}
	return fmt.Sprintf("algorithm(%d)", uint8(a))
}

// PublicKeySize is the length in bytes of the raw public key: 32 for Ed25519, 49 for P-384
// (compressed, SEC 1 section 2.3.3).
func (a Algorithm) PublicKeySize() int {
	switch a {
	case Ed25519:
		return 32
	case P384:
		return 49
	}
	return 0
}

// SignatureSize is the length in bytes of a signature: 64 for Ed25519, 96 (r‖s, 48 bytes
// each, big-endian) for P-384.
func (a Algorithm) SignatureSize() int {
	switch a {
	case Ed25519:
		return 64
	case P384:
		return 96
	}
	return 0
}

// secretSize is the length of the raw secret in a PASERK: seed ‖ public key for k4, the
// scalar for k3.
func (a Algorithm) secretSize() int {
	switch a {
	case Ed25519:
		return 64
	case P384:
		return 48
	}
	return 0
}

// prefix begins every PASERK of the algorithm ("k4." or "k3.").
func (a Algorithm) prefix() string {
	switch a {
	case Ed25519:
		return "k4."
	case P384:
		return "k3."
	}
	return ""
}
