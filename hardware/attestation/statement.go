// The statement: a certificate's subject, key and extensions, read strictly.

package attestation

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math"
	"strings"

	"golang.org/x/crypto/cryptobyte"

	"github.com/cargo-regkey/regkey/keys"
)

// The extensions, all below 1.3.6.1.4.1.41482.3. Only the serial number is DER inside.
const (
	extensionFirmware   = 3
	extensionSerial     = 7
	extensionPolicies   = 8
	extensionFormFactor = 9
)

var yubicoPIV = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3}

const subjectPrefix = "YubiKey PIV Attestation "

// readStatement reads all that a statement says. It checks no signature.
func readStatement(c *x509.Certificate) (Facts, error) {
	var f Facts
	slot, ok := strings.CutPrefix(c.Subject.CommonName, subjectPrefix)
	if !ok {
		return Facts{}, fmt.Errorf("reading attestation: the subject %.60q is not that of a key in a PIV slot", c.Subject.CommonName)
	}
	var err error
	if f.Slot, err = ParseSlot(slot); err != nil {
		return Facts{}, fmt.Errorf("reading attestation: %w", err)
	}
	if c.IsCA {
		return Facts{}, errors.New("reading attestation: the statement is the certificate of an authority")
	}
	if f.Public, err = PublicKey(c.PublicKey); err != nil {
		return Facts{}, fmt.Errorf("reading attestation: %w", err)
	}
	values, err := extensions(c)
	if err != nil {
		return Facts{}, err
	}
	if err := f.read(values); err != nil {
		return Facts{}, fmt.Errorf("reading attestation: %w", err)
	}
	return f, nil
}

// extensions are the values of Yubico's extensions by the last number of their names. Others
// are left alone, but for critical ones, which verifying refuses.
func extensions(c *x509.Certificate) (map[int][]byte, error) {
	values := make(map[int][]byte)
	for _, e := range c.Extensions {
		if len(e.Id) != len(yubicoPIV)+1 || !e.Id[:len(yubicoPIV)].Equal(yubicoPIV) {
			continue
		}
		last := e.Id[len(yubicoPIV)]
		if _, twice := values[last]; twice {
			return nil, fmt.Errorf("reading attestation: extension %v is there twice", e.Id)
		}
		values[last] = e.Value
	}
	return values, nil
}

func (f *Facts) read(values map[int][]byte) error {
	firmware, policies := values[extensionFirmware], values[extensionPolicies]
	if len(firmware) != 3 {
		return errors.New("the firmware's version is not three bytes")
	}
	f.Firmware = Version{firmware[0], firmware[1], firmware[2]}
	if value, said := values[extensionSerial]; said {
		serial, number := cryptobyte.String(value), uint64(0)
		if !serial.ReadASN1Integer(&number) || !serial.Empty() || number == 0 || number > math.MaxUint32 {
			return errors.New("the serial number is not one of 32 bits")
		}
		f.Serial = uint32(number)
	}
	if len(policies) != 2 {
		return errors.New("the policies are not two bytes")
	}
	var known bool
	if f.PIN, known = pinPolicies[policies[0]]; !known {
		return fmt.Errorf("unknown PIN policy %d", policies[0])
	}
	if f.Touch, known = touchPolicies[policies[1]]; !known {
		return fmt.Errorf("unknown touch policy %d", policies[1])
	}
	form, said := values[extensionFormFactor]
	if said && len(form) != 1 {
		return errors.New("the form factor is not one byte")
	}
	if said {
		f.FormFactor = FormFactor(form[0])
	}
	return nil
}

// PublicKey turns a key of the standard library into one of this project. A key of another
// algorithm or curve is an error.
func PublicKey(public any) (keys.PublicKey, error) {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return keys.NewPublicKey(keys.Ed25519, k)
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P384() {
			return keys.PublicKey{}, fmt.Errorf("a key on the curve %s can't sign for cargo: ed25519 and p384 can", k.Curve.Params().Name)
		}
		point, err := k.Bytes()
		if err != nil {
			return keys.PublicKey{}, fmt.Errorf("reading p384 public key: %w", err)
		}
		// SEC 1, section 2.3.3: the parity of y, then x.
		size := keys.P384.PublicKeySize()
		return keys.NewPublicKey(keys.P384, append([]byte{2 | point[len(point)-1]&1}, point[1:size]...))
	}
	return keys.PublicKey{}, errors.New("a key of this algorithm can't sign for cargo: ed25519 and p384 can")
}
