// The PIN and the PUK: what they are, how often they may be wrong, and what follows.

package virtualpiv

import "bytes"

// referenceSize is the length of a PIN or PUK in a command, padded with ff.
const referenceSize = 8

// Key references of SP 800-73-4, part 1, table 4b.
const (
	referencePIN = 0x80
	referencePUK = 0x81
)

// A reference is a PIN or a PUK with its counter.
type reference struct {
	value        []byte
	tries, limit int
	original     bool
}

func newReference(text string, limit int) reference {
	value := bytes.Repeat([]byte{0xff}, referenceSize)
	copy(value, text)
	return reference{value: value, tries: limit, limit: limit, original: true}
}

// check compares, and counts: a wrong value costs one try, the right one restores them all.
// The status is 9000, 63Cx with the tries left, or 6983 where none was left before.
func (r *reference) check(value []byte) uint16 {
	if r.tries == 0 {
		return statusBlocked
	}
	if !bytes.Equal(r.value, value) {
		r.tries--
		return statusTries | uint16(min(r.tries, 15))
	}
	r.tries = r.limit
	return statusOK
}

// set replaces the value and restores all tries. A value that is not six to eight bytes and
// then padding is refused with 6A80.
func (r *reference) set(value []byte) uint16 {
	text := bytes.TrimRight(value, "\xff")
	if len(text) < 6 || bytes.IndexByte(text, 0xff) >= 0 {
		return statusBadData
	}
	r.value = bytes.Clone(value)
	r.tries = r.limit
	r.original = false
	return statusOK
}

// verify is VERIFY (SP 800-73-4, part 2, section 3.2.1): a PIN, or the question how many tries
// are left, or with P1 ff the end of what an earlier one gained.
func (c *Card) verify(cmd command) uint16 {
	if cmd.p2 != referencePIN {
		return statusNoReference
	}
	if cmd.p1 == 0xff && len(cmd.data) == 0 {
		c.session.verified = false
		return statusOK
	}
	if cmd.p1 != 0 {
		return statusBadParameters
	}
	switch {
	case len(cmd.data) == 0 && c.session.verified:
		return statusOK
	case len(cmd.data) == 0 && c.pin.tries == 0:
		return statusBlocked
	case len(cmd.data) == 0:
		return statusTries | uint16(min(c.pin.tries, 15))
	case len(cmd.data) != referenceSize:
		return statusBadData
	}
	status := c.pin.check(cmd.data)
	c.session.verified = status == statusOK
	c.session.fresh = c.session.verified
	return status
}

// changeReference is CHANGE REFERENCE DATA: the old PIN or PUK, then the new one. The old one
// is judged first, so that a wrong one costs a try even where the new one is no good.
func (c *Card) changeReference(cmd command) uint16 {
	if cmd.p1 != 0 {
		return statusBadParameters
	}
	if len(cmd.data) != 2*referenceSize {
		return statusBadData
	}
	before, after := cmd.data[:referenceSize], cmd.data[referenceSize:]
	switch cmd.p2 {
	case referencePIN:
		status := c.pin.check(before)
		if status != statusOK {
			c.session.verified = false
			return status
		}
		return c.pin.set(after)
	case referencePUK:
		if status := c.puk.check(before); status != statusOK {
			return status
		}
		return c.puk.set(after)
	}
	return statusNoReference
}

// resetRetry is RESET RETRY COUNTER: the PUK, then a new PIN.
func (c *Card) resetRetry(cmd command) uint16 {
	if cmd.p2 != referencePIN {
		return statusNoReference
	}
	if cmd.p1 != 0 {
		return statusBadParameters
	}
	if len(cmd.data) != 2*referenceSize {
		return statusBadData
	}
	if status := c.puk.check(cmd.data[:referenceSize]); status != statusOK {
		return status
	}
	c.session.verified = false
	return c.pin.set(cmd.data[referenceSize:])
}

// setRetries sets how often PIN and PUK may be wrong, and puts both back to the factory's.
func (c *Card) setRetries(cmd command) uint16 {
	if !c.session.managed || !c.session.verified {
		return statusSecurity
	}
	if cmd.p1 == 0 || cmd.p2 == 0 {
		return statusBadData
	}
	c.pin = newReference("123456", int(cmd.p1))
	c.puk = newReference("12345678", int(cmd.p2))
	c.session.verified = false
	return statusOK
}

// reset is the factory reset, which a token grants only when PIN and PUK are both blocked.
func (c *Card) reset() uint16 {
	if c.pin.tries > 0 || c.puk.tries > 0 {
		return statusConditions
	}
	c.factory()
	return statusOK
}
