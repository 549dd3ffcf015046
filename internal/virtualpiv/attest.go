// Attestation: the fixture's root and intermediate, each card's own key, and its statements.

package virtualpiv

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// slotAttestation is the key reference of the attestation key.
const slotAttestation = 0xF9

// The extensions of an attestation statement
// (https://developers.yubico.com/PIV/Introduction/PIV_attestation.html).
var (
	extensionFirmware   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 3}
	extensionSerial     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 7}
	extensionPolicies   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 8}
	extensionFormFactor = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 9}
)

// All certificates of the fixture hold for the same years, so that no test depends on a date.
var (
	notBefore = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2052, 1, 1, 0, 0, 0, 0, time.UTC)
)

// authority is a certificate with its key.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// authorities makes the root and the intermediate, the same ones in every process.
var authorities = sync.OnceValues(func() (root, intermediate authority) {
	root.key = derivedKey("root")
	root.certificate = issue("Virtual PIV Root", 3, root.key.Public(), root)
	intermediate.key = derivedKey("intermediate")
	intermediate.certificate = issue("Virtual PIV Attestation Intermediate", 2, intermediate.key.Public(), root)
	return root, intermediate
})

// Root is the certificate in which every card's attestation ends. It is the same in every
// process, and so is its private key, which anybody can derive: trust it in tests alone.
func Root() *x509.Certificate {
	root, _ := authorities()
	return root.certificate
}

// Intermediate stands between the root and cards with firmware 5.7.4 or later; it is not on
// the card, as the real ones are not.
func Intermediate() *x509.Certificate {
	_, intermediate := authorities()
	return intermediate.certificate
}

// attester is the attestation key of one card.
type attester struct {
	authority
	options Options
}

// newAttester derives the card's key from its serial number, so that a card with the same
// serial number and firmware has the same attestation certificate in every process.
func newAttester(o Options) *attester {
	root, intermediate := authorities()
	above := root
	if (&Card{options: o}).atLeast(5, 7, 4) {
		above = intermediate
	}
	key := derivedKey(fmt.Sprintf("card %d %v", o.Serial, o.Firmware))
	return &attester{authority{issue("Virtual PIV Attestation", 1, key.Public(), above), key}, o}
}

// object is the card's certificate as a data object holds it.
func (a *attester) object() []byte {
	b := appendTLV(nil, 0x70, a.certificate.Raw)
	b = appendTLV(b, 0x71, []byte{0})
	return appendTLV(b, 0xfe, nil)
}

// pair is the attestation key as metadata describes it.
func (a *attester) pair() *keyPair {
	return &keyPair{algorithm: AlgorithmP384, pin: Never, touch: Never, origin: originImported, private: a.key}
}

// attest states that the key of a slot was made on this card. A slot that is empty, or whose
// key was imported, is answered 6A80.
func (c *Card) attest(slot byte) ([]byte, uint16) {
	key := c.slots[slot]
	if key == nil || key.origin != originGenerated {
		return nil, statusBadData
	}
	a := c.attester
	serial, err := asn1.Marshal(int64(a.options.Serial))
	if err != nil {
		return nil, statusConditions
	}
	statement := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(append([]byte{1}, c.random(15)...)),
		Subject:      pkix.Name{CommonName: fmt.Sprintf("YubiKey PIV Attestation %x", slot)},
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		ExtraExtensions: []pkix.Extension{
			{Id: extensionFirmware, Value: a.options.Firmware[:]},
			{Id: extensionSerial, Value: serial},
			{Id: extensionPolicies, Value: []byte{byte(key.pin), byte(key.touch)}},
			{Id: extensionFormFactor, Value: []byte{a.options.FormFactor}},
		},
	}
	der, err := x509.CreateCertificate(nil, statement, a.certificate, key.private.Public(), a.key)
	if err != nil {
		return nil, statusConditions
	}
	return der, statusOK
}

// issue certifies an authority by the one above it; an authority without a certificate
// certifies itself. depth is how many more may follow below.
func issue(name string, depth int, public crypto.PublicKey, above authority) *x509.Certificate {
	serial := sha512.Sum512([]byte(name))
	certificate := &x509.Certificate{
		SerialNumber:          new(big.Int).SetUint64(binary.BigEndian.Uint64(serial[:]) >> 1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            depth - 1,
		MaxPathLenZero:        depth == 1,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	issuer := above.certificate
	if issuer == nil {
		issuer = certificate
	}
	der, err := x509.CreateCertificate(nil, certificate, issuer, public, above.key)
	if err != nil {
		panic("virtualpiv: issuing a fixture certificate: " + err.Error())
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		panic("virtualpiv: reading a fixture certificate: " + err.Error())
	}
	return parsed
}

// derivedKey makes a P-384 key from a name. It protects nothing, and is stable.
func derivedKey(name string) *ecdsa.PrivateKey {
	raw := sha512.Sum384([]byte("virtual PIV token, no secret: " + name))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), raw[:])
	if err != nil {
		panic("virtualpiv: deriving a fixture key: " + err.Error())
	}
	return key
}
