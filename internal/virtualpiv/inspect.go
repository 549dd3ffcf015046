// What a test may know about a card without asking it: its log, its counters, its slots.

package virtualpiv

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"slices"
)

// A Command is one APDU of the log. No data is kept, so no PIN is.
type Command struct {
	Class       byte `json:"class"`
	Instruction byte `json:"instruction"`
	P1          byte `json:"p1"`
	P2          byte `json:"p2"`
	// Length is that of the data, in bytes.
	Length int `json:"length"`
	// Status is the status word; 0 where no answer came.
	Status uint16 `json:"status"`
}

// record logs one APDU. mu is held.
func (c *Card) record(cmd command, status uint16) {
	c.log = append(c.log, cmd.logged(status))
}

func (cmd command) logged(status uint16) Command {
	return Command{cmd.class, cmd.instruction, cmd.p1, cmd.p2, len(cmd.data), status}
}

// Log returns the APDUs that the card has had since it was made or [Card.ClearLog].
func (c *Card) Log() []Command {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.log)
}

// ClearLog forgets the log.
func (c *Card) ClearLog() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = nil
}

// PINTries is how often the PIN may still be wrong; 0 is blocked.
func (c *Card) PINTries() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pin.tries
}

// PUKTries is how often the PUK may still be wrong; 0 is blocked.
func (c *Card) PUKTries() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.puk.tries
}

// Verified says whether the PIN's security status is set at this moment.
func (c *Card) Verified() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session.verified
}

// Managed says whether the management key's security status is set at this moment.
func (c *Card) Managed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session.managed
}

// Defaults says which of PIN, PUK and management key are still the factory's.
func (c *Card) Defaults() (pin, puk, management bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pin.original, c.puk.original, slices.Equal(c.manage.value, defaultManagementKey)
}

// A Slot describes the key of one slot.
type Slot struct {
	// Reference is the slot's number, such as 0x9a.
	Reference byte
	// Algorithm is [AlgorithmP256], [AlgorithmP384] or [AlgorithmEd25519].
	Algorithm  byte
	PIN, Touch Policy
	// Generated says that the key was made on the card, not imported.
	Generated bool
	Public    crypto.PublicKey
}

// Slots lists the slots that hold a key, by their number.
func (c *Card) Slots() []Slot {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []Slot
	for reference, key := range c.slots {
		list = append(list, Slot{
			Reference: reference,
			Algorithm: key.algorithm,
			PIN:       key.pin,
			Touch:     key.touch,
			Generated: key.origin == originGenerated,
			Public:    key.private.Public(),
		})
	}
	slices.SortFunc(list, func(a, b Slot) int { return cmp.Compare(a.Reference, b.Reference) })
	return list
}

// Serial is the card's serial number.
func (c *Card) Serial() uint32 { return c.options.Serial }

// Firmware is the card's firmware: major, minor, patch.
func (c *Card) Firmware() [3]byte { return c.options.Firmware }

// AttestationCertificate is the certificate of the key with which the card attests others.
func (c *Card) AttestationCertificate() *x509.Certificate { return c.attester.certificate }
