// What this package needs of a card and of the system that has the readers, in its own words.

package hardware

import (
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/cargo-regkey/regkey/keys"
)

// A system is where readers are: PC/SC, through the library in the files that import it.
type system interface {
	// readers are the names of all readers, also of those that are empty.
	readers() ([]string, error)
	// open takes the card in a reader for this program alone and selects the PIV applet. A
	// card that has none is errNotFound.
	open(reader string) (card, error)
	// lookout is a connection for looks at a reader.
	lookout(reader string) (lookout, error)
}

// A card is one that is open. It serves one call at a time. Errors are, or wrap, a statusError, a readerError,
// errNotFound, a wrongError or errManagement; others tell of answers that make no sense.
type card interface {
	firmware() Version
	serial() (uint32, error)
	formFactor() (FormFactor, error)

	// tries asks how many tries the PIN has left. verified says that no PIN is needed now; left is -1 then.
	tries() (left int, verified bool, err error)
	verifyPIN(pin string) error
	changePIN(old, new string) error
	changePUK(old, new string) error
	unblock(puk, pin string) error

	// metadata is GET METADATA for what is no slot: the PIN (80), the PUK (81), the management key (9b).
	metadata(reference byte) ([]byte, error)
	// describe is GET METADATA for a slot.
	describe(Slot) (description, error)
	attest(Slot) (*x509.Certificate, error)
	attester() (*x509.Certificate, error)
	certificate(Slot) (*x509.Certificate, error)

	// generate makes a key, in place of the one that the slot may hold.
	generate(management []byte, slot Slot, algorithm keys.Algorithm, pin PINPolicy, touch TouchPolicy) (keys.PublicKey, error)
	// sign has the card sign the message (Ed25519) or its digest (P-384, answered in DER), without asking for a PIN first.
	sign(slot Slot, public keys.PublicKey, input []byte) ([]byte, error)

	object(id uint32) ([]byte, error)
	// storeObject needs the management key's security status, which storeManagementKey leaves.
	storeObject(id uint32, value []byte) error
	// storeManagementKey keeps key in the object that is read only with the PIN.
	storeManagementKey(management, key []byte) error
	setManagementKey(old, new []byte) error

	// leave selects another applet, which ends the security status of PIN and management key.
	leave() error
	// enter selects the PIV applet again.
	enter() error
	close() error
}

// A description is what GET METADATA tells of a slot. The zero value is an answer that said nothing.
type description struct {
	algorithm string
	public    keys.PublicKey // zero for algorithms that this project doesn't have
	pin       PINPolicy
	touch     TouchPolicy
	origin    string
}

// errNotFound is an applet, an object or a key that there isn't.
var errNotFound = errors.New("not found on the card")

// errManagement says that the card refused the management key.
var errManagement = errors.New("the card refused the management key")

// A wrongError says that a PIN or PUK was wrong, and how many tries are left.
type wrongError struct{ left int }

func (e wrongError) Error() string { return fmt.Sprintf("wrong, %d tries left", e.left) }

// A statusError is the status word with which a card refused a command.
type statusError uint16

func (e statusError) Error() string { return fmt.Sprintf("the card answered %04x", uint16(e)) }

// Status words (ISO/IEC 7816-4, section 5.6; SP 800-73-4, part 2, section 5.6).
const (
	statusSecurity     statusError = 0x6982
	statusConditions   statusError = 0x6985
	statusBadData      statusError = 0x6a80
	statusUnsupported  statusError = 0x6a81
	statusUnknown      statusError = 0x6d00
	statusUnknownClass statusError = 0x6e00
)

// A readerError is an error code of PC/SC: the card was not reached.
type readerError uint32

func (e readerError) Error() string {
	switch e {
	case codeNoService, codeServiceStopped:
		return fmt.Sprintf("it is not running (PC/SC error %08x)", uint32(e))
	case codeDenied:
		return fmt.Sprintf("access is denied (PC/SC error %08x)", uint32(e))
	case codeTimeout:
		return "it does not answer"
	}
	return fmt.Sprintf("PC/SC error %08x", uint32(e))
}

// Error codes of PC/SC (pcsclite.h).
const (
	codeUnknownReader     readerError = 0x80100009
	codeTimeout           readerError = 0x8010000a // also ours, for a service that hangs
	codeSharing           readerError = 0x8010000b
	codeNoCard            readerError = 0x8010000c
	codeProtocol          readerError = 0x8010000f
	codeNotReady          readerError = 0x80100010
	codeNotTransacted     readerError = 0x80100016
	codeReaderUnavailable readerError = 0x80100017
	codeNoService         readerError = 0x8010001d
	codeServiceStopped    readerError = 0x8010001e
	codeComm              readerError = 0x8010002f
	codeUnresponsive      readerError = 0x80100066
	codeUnpowered         readerError = 0x80100067
	codeReset             readerError = 0x80100068
	codeRemoved           readerError = 0x80100069
	codeDenied            readerError = 0x8010006a
)

// guard turns a panic of the library, which reads some answers without looking at their length, into an error.
func guard(command func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the card's answer makes no sense (%v)", p)
		}
	}()
	return command()
}
