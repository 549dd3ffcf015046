// Package attestation verifies what a PIV token states about a key: that it was made on the
// token and can't leave it, on which token, with which firmware, and what a signature with it
// demands of the person who holds the token. It is what a registry imports; it needs no cgo and
// no card reader.
//
// The statement is a certificate that the token makes on request
// (https://developers.yubico.com/PIV/Introduction/PIV_attestation.html): its public key is the key's, its subject
// names the slot, and extensions carry the rest. The token's own attestation key signs it, and certificates lead from there
// to a root of the maker. A chain travels as a list of DER certificates, the statement first, each signed by the next.
package attestation

import (
	"crypto/x509"
	"errors"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// Facts are what an attestation states.
type Facts struct {
	Public   keys.PublicKey
	Serial   uint32 // as printed on the token; 0 where it doesn't say, as some with firmware 4 don't
	Firmware Version
	Slot     Slot
	PIN      PINPolicy
	Touch    TouchPolicy
	// FormFactor is 0 where the token doesn't say.
	FormFactor FormFactor
}

// Limits on a chain. The longest of Yubico's has five certificates of some 800 bytes.
const (
	MaxCertificates    = 8
	MaxCertificateSize = 4 << 10 // bytes of DER
)

// ErrUntrusted says that a chain is well formed but leads to none of the roots: a token of
// another maker, a key that was not made on a token, a forgery, or certificates that are missing
// or in another order.
var ErrUntrusted = errors.New("the attestation leads to none of the trusted roots")

// errNoTime keeps a forgotten time from meaning "now" in silence.
var errNoTime = errors.New("verifying attestation: no time is given")

// Verify checks that chain proves what the returned facts say: every certificate is signed by
// the next and valid at now, and the last of them is one of roots, or signed by one, if need be through Yubico's intermediates,
// which are built in. No roots means [Roots]; a caller that trusts further makers appends theirs to it. Any certificate
// may serve as a root.
//
// It refuses certificates that are not needed, statements that are not of a PIV slot or not
// strictly encoded, and keys of algorithms that this project doesn't have. An error wraps [ErrUntrusted] where the chain
// itself is in order. What Verify can't know is whether the token is still in the right hands.
func Verify(chain [][]byte, roots []*x509.Certificate, now time.Time) (Facts, error) {
	if now.IsZero() {
		return Facts{}, errNoTime
	}
	certificates, err := parseChain(chain)
	if err != nil {
		return Facts{}, err
	}
	facts, err := readStatement(certificates[0])
	if err != nil {
		return Facts{}, err
	}
	if len(roots) == 0 {
		roots = Roots()
	}
	if err := checkPath(certificates, roots, now); err != nil {
		return Facts{}, err
	}
	return facts, nil
}

// Read tells what the statement der says. It checks no signature: what it returns is a
// claim until [Verify] has accepted the chain.
func Read(der []byte) (Facts, error) {
	certificate, err := parseCertificate(der)
	if err != nil {
		return Facts{}, err
	}
	return readStatement(certificate)
}
