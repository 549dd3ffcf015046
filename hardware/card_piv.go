//go:build cgo || windows

// What knows piv-go, the library that speaks PIV over PC/SC: this file, and open_piv.go.

package hardware

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unsafe"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/cargo-regkey/regkey/hardware/attestation"
	"github.com/cargo-regkey/regkey/keys"
)

const built = true

type pivSystem struct{}

func newSystem() system { return pivSystem{} }

func (pivSystem) readers() (names []string, err error) {
	err = guard(func() error {
		names, err = piv.Cards()
		return translate(err)
	})
	return names, err
}

// pivCard is a card that piv-go has open.
type pivCard struct{ yk *piv.YubiKey }

func (c *pivCard) close() error { return translate(c.yk.Close()) }

func (c *pivCard) firmware() Version {
	v := c.yk.Version()
	return Version{Major: uint8(v.Major), Minor: uint8(v.Minor), Patch: uint8(v.Patch)}
}

func (c *pivCard) serial() (uint32, error) {
	serial, err := c.yk.Serial()
	return serial, translate(err)
}

func (c *pivCard) formFactor() (FormFactor, error) {
	form, err := c.yk.FormFactor()
	return FormFactor(form), translate(err)
}

func (c *pivCard) tries() (left int, verified bool, err error) {
	_, err = c.transmit(apdu{instruction: insVerify, p2: 0x80})
	if err == nil {
		return -1, true, nil
	}
	var wrong wrongError
	if errors.As(err, &wrong) {
		return wrong.left, false, nil
	}
	return 0, false, err
}

func (c *pivCard) verifyPIN(pin string) error { return translate(c.yk.VerifyPIN(pin)) }

func (c *pivCard) changePIN(old, new string) error { return translate(c.yk.SetPIN(old, new)) }

func (c *pivCard) changePUK(old, new string) error { return translate(c.yk.SetPUK(old, new)) }

func (c *pivCard) unblock(puk, pin string) error { return translate(c.yk.Unblock(puk, pin)) }

func (c *pivCard) attest(slot Slot) (*x509.Certificate, error) {
	certificate, err := c.yk.Attest(pivSlot(slot))
	return certificate, translate(err)
}

func (c *pivCard) attester() (*x509.Certificate, error) {
	certificate, err := c.yk.AttestationCertificate()
	return certificate, translate(err)
}

func (c *pivCard) certificate(slot Slot) (*x509.Certificate, error) {
	certificate, err := c.yk.Certificate(pivSlot(slot))
	return certificate, translate(err)
}

// algorithmNames are those that GET METADATA may tell.
var algorithmNames = map[piv.Algorithm]string{
	piv.AlgorithmEC256: "p256", piv.AlgorithmEC384: "p384", piv.AlgorithmEd25519: "ed25519", piv.AlgorithmX25519: "x25519",
	piv.AlgorithmRSA1024: "rsa1024", piv.AlgorithmRSA2048: "rsa2048", piv.AlgorithmRSA3072: "rsa3072", piv.AlgorithmRSA4096: "rsa4096",
}

var (
	pinNames = map[piv.PINPolicy]PINPolicy{
		piv.PINPolicyNever: PINNever, piv.PINPolicyOnce: PINOnce, piv.PINPolicyAlways: PINAlways,
		piv.PINPolicyMatchOnce: attestation.PINMatchOnce, piv.PINPolicyMatchAlways: attestation.PINMatchAlways,
	}
	touchNames  = map[piv.TouchPolicy]TouchPolicy{piv.TouchPolicyNever: TouchNever, piv.TouchPolicyAlways: TouchAlways, piv.TouchPolicyCached: TouchCached}
	originNames = map[piv.Origin]string{piv.OriginGenerated: OriginGenerated, piv.OriginImported: OriginImported}
)

func (c *pivCard) describe(slot Slot) (description, error) {
	info, err := c.yk.KeyInfo(pivSlot(slot))
	if err != nil {
		return description{}, translate(err)
	}
	d := description{
		algorithm: algorithmNames[info.Algorithm],
		pin:       pinNames[info.PINPolicy],
		touch:     touchNames[info.TouchPolicy],
		origin:    originNames[info.Origin],
	}
	if info.Algorithm == piv.AlgorithmEd25519 || info.Algorithm == piv.AlgorithmEC384 {
		if d.public, err = attestation.PublicKey(info.PublicKey); err != nil {
			return description{}, err
		}
	}
	return d, nil
}

func (c *pivCard) generate(management []byte, slot Slot, algorithm keys.Algorithm, pin PINPolicy, touch TouchPolicy) (keys.PublicKey, error) {
	key := piv.Key{Algorithm: piv.AlgorithmEC384}
	if algorithm == keys.Ed25519 {
		key.Algorithm = piv.AlgorithmEd25519
	}
	for number, name := range pinNames {
		if name == pin {
			key.PINPolicy = number
		}
	}
	for number, name := range touchNames {
		if name == touch {
			key.TouchPolicy = number
		}
	}
	public, err := c.yk.GenerateKey(management, pivSlot(slot), key)
	if err != nil {
		return keys.PublicKey{}, translate(err)
	}
	return attestation.PublicKey(public)
}

// sign passes options where the library would read them from nil, and policy never, with which it
// sends nothing but the signature's command: the PIN has been verified before.
func (c *pivCard) sign(slot Slot, public keys.PublicKey, input []byte) ([]byte, error) {
	var standard crypto.PublicKey = ed25519.PublicKey(public.Bytes())
	options := crypto.Hash(0)
	if public.Algorithm() == keys.P384 {
		// Of the key itself the library uses the curve alone.
		standard, options = &ecdsa.PublicKey{Curve: elliptic.P384()}, crypto.SHA384
	}
	private, err := c.yk.PrivateKey(pivSlot(slot), standard, piv.KeyAuth{PINPolicy: piv.PINPolicyNever})
	if err != nil {
		return nil, translate(err)
	}
	signature, err := private.(crypto.Signer).Sign(nil, input, options)
	return signature, translate(err)
}

func (c *pivCard) storeManagementKey(management, key []byte) error {
	return translate(c.yk.SetMetadata(management, &piv.Metadata{ManagementKey: &key}))
}

func (c *pivCard) setManagementKey(old, new []byte) error {
	return translate(c.yk.SetManagementKey(old, new))
}

// pivSlot adds the number of the slot's certificate object (SP 800-73-4, part 1, table 3), which follows
// no rule for the four slots that have names.
func pivSlot(slot Slot) piv.Slot {
	for _, named := range []piv.Slot{piv.SlotAuthentication, piv.SlotSignature, piv.SlotKeyManagement, piv.SlotCardAuthentication} {
		if named.Key == uint32(slot) {
			return named
		}
	}
	retired, _ := piv.RetiredKeyManagementSlot(uint32(slot))
	return retired
}

// Instructions that the library sends only in the middle of something else, or with answers that it doesn't tell.
const (
	insVerify   = 0x20
	insSelect   = 0xa4
	insGetData  = 0xcb
	insPutData  = 0xdb
	insMetadata = 0xf7
)

// apdu is laid out as the library's type of that name.
type apdu struct {
	instruction, p1, p2 byte
	data                []byte
}

// transmitAPDU is the library's own method for one command, in parts where need be. The library
// offers nothing that tells whether PIN, PUK and management key are the factory's, what tries the PUK has,
// or that ends a PIN's security status in one command; and a second connection is not to be had, as the library takes the card for itself.
//
//go:linkname transmitAPDU github.com/go-piv/piv-go/v2/piv.(*scTx).Transmit
func transmitAPDU(transaction unsafe.Pointer, command apdu) ([]byte, error)

func (c *pivCard) transmit(command apdu) ([]byte, error) {
	answer, err := transmitAPDU(reflect.ValueOf(c.yk).Elem().FieldByName("tx").UnsafePointer(), command)
	return answer, translate(err)
}

func (c *pivCard) metadata(reference byte) ([]byte, error) {
	return c.transmit(apdu{instruction: insMetadata, p2: reference})
}

func (c *pivCard) object(id uint32) ([]byte, error) {
	return c.transmit(apdu{insGetData, 0x3f, 0xff, objectTag(id)})
}

func (c *pivCard) storeObject(id uint32, value []byte) error {
	_, err := c.transmit(apdu{insPutData, 0x3f, 0xff, append(objectTag(id), appendTLV(nil, 0x53, value)...)})
	return err
}

func objectTag(id uint32) []byte {
	return []byte{0x5c, 3, byte(id >> 16), byte(id >> 8), byte(id)}
}

// The applets to select: PIV, and one that every YubiKey has since the fourth.
var (
	appletPIV        = []byte{0xa0, 0x00, 0x00, 0x03, 0x08}
	appletManagement = []byte{0xa0, 0x00, 0x00, 0x05, 0x27, 0x47, 0x11, 0x17}
)

// leave falls back to what SP 800-73-4 has for the purpose (part 2, section 3.2.1), which tokens of
// Yubico did not always know, on tokens that have no management applet.
func (c *pivCard) leave() error {
	_, err := c.transmit(apdu{insSelect, 4, 0, appletManagement})
	if errors.As(err, new(readerError)) || err == nil {
		return err
	}
	_, err = c.transmit(apdu{instruction: insVerify, p1: 0xff, p2: 0x80})
	return err
}

func (c *pivCard) enter() error {
	_, err := c.transmit(apdu{insSelect, 4, 0, appletPIV})
	return err
}

// translate turns the library's errors into this package's. The codes of PC/SC are in a field that
// the library shows nobody.
func translate(err error) error {
	var status interface{ Status() uint16 }
	var auth piv.AuthErr
	switch {
	case err == nil:
		return nil
	case strings.HasPrefix(err.Error(), "authenticating with"):
		// The status word says nothing more: the library has asked the card with the key that it was given.
		if code, ok := readerCode(err); ok {
			return code
		}
		return errors.Join(errManagement, foreign(err))
	case errors.As(err, &auth):
		return wrongError{auth.Retries}
	case errors.Is(err, piv.ErrNotFound):
		return errNotFound
	case errors.As(err, &status):
		return statusError(status.Status())
	}
	if code, ok := readerCode(err); ok {
		return code
	}
	return foreign(err)
}

// foreign keeps an error's text alone, so that nothing outside depends on the library's types.
func foreign(err error) error { return fmt.Errorf("%v", err) }

func readerCode(err error) (readerError, bool) {
	for ; err != nil; err = errors.Unwrap(err) {
		v := reflect.ValueOf(err)
		if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
			continue
		}
		if code := v.Elem().FieldByName("rc"); code.IsValid() && code.CanInt() {
			return readerError(uint32(code.Int())), true
		}
	}
	return 0, false
}

// lookError is what a look's code of PC/SC means.
func lookError(code uint32) error {
	switch readerError(code) {
	case 0:
		return nil
	case codeTimeout:
		return errSame
	}
	return readerError(code)
}
