// Commands and answers of ISO/IEC 7816-4: parsing, command chaining, and answers in parts.

package virtualpiv

import "encoding/binary"

// Status words of ISO/IEC 7816-4, section 5.6, and SP 800-73-4, part 2.
const (
	statusOK               = 0x9000
	statusWrongLength      = 0x6700
	statusSecurity         = 0x6982
	statusBlocked          = 0x6983
	statusConditions       = 0x6985
	statusBadData          = 0x6A80
	statusNotFound         = 0x6A82
	statusNoSpace          = 0x6A84
	statusBadParameters    = 0x6A86
	statusNoReference      = 0x6A88
	statusUnknown          = 0x6D00
	statusUnknownClass     = 0x6E00
	statusTries            = 0x63C0
	statusMore             = 0x6100
	statusChainingExpected = 0x6883
)

// maxData is the longest command, its parts joined, that the card's buffer holds, in bytes.
const maxData = 3072

// A command is one parsed APDU, or a chain of them joined.
type command struct {
	class, instruction, p1, p2 byte
	data                       []byte
	// expected is the most data that one answer may carry: 256, or 65536 in the extended form.
	expected int
}

// parseCommand reads one APDU, in the short or the extended form.
func parseCommand(b []byte) (cmd command, ok bool) {
	if len(b) < 4 {
		return command{}, false
	}
	cmd = command{class: b[0], instruction: b[1], p1: b[2], p2: b[3], expected: 256}
	body := b[4:]
	switch {
	case len(body) <= 1:
		// No data, with or without an expected length.
		return cmd, true
	case body[0] != 0:
		n := int(body[0])
		if len(body) != 1+n && len(body) != 2+n {
			return command{}, false
		}
		cmd.data = body[1 : 1+n]
		return cmd, true
	case len(body) < 3:
		return command{}, false
	}
	cmd.expected = 65536
	if len(body) == 3 {
		return cmd, true
	}
	n := int(binary.BigEndian.Uint16(body[1:]))
	if len(body) != 3+n && len(body) != 5+n {
		return command{}, false
	}
	cmd.data = body[3 : 3+n]
	return cmd, true
}

// channel is what spans several APDUs: the parts of a command that have come, and the parts of
// an answer that have not gone.
type channel struct {
	parts   []byte
	head    [3]byte
	chained bool
	pending []byte
}

// Transmit hands the card one command APDU and returns its answer, data then status word.
// Nil means that no answer comes: the card was pulled out (see [PulledBefore]). Malformed
// commands are answered with 6700, as a card does, never with a panic.
func (c *Card) Transmit(apdu []byte) []byte {
	c.busy.Lock()
	defer c.busy.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out {
		return nil
	}
	cmd, ok := parseCommand(apdu)
	if !ok {
		return c.finish(command{}, nil, statusWrongLength)
	}
	if c.around == nil {
		return c.answer(cmd)
	}
	var answer []byte
	status, pulled := c.around(cmd.logged(0), func() { answer = c.answer(cmd) })
	switch {
	case pulled:
		c.out = true
		return nil
	case status != 0:
		return c.finish(cmd, nil, status)
	}
	return answer
}

// answer has the card do what a command says, but for the faults that are ordered.
func (c *Card) answer(cmd command) []byte {
	c.strike(cmd)
	if c.firing[PulledBefore] != nil {
		c.out = true
		c.record(cmd, 0)
		return nil
	}
	var data []byte
	var status uint16
	if fault := c.firing[Answer]; fault != nil {
		status = fault.Status
	} else {
		data, status = c.receive(cmd)
	}
	if c.firing[PulledAfter] != nil {
		c.out = true
		c.record(cmd, 0)
		return nil
	}
	return c.finish(cmd, data, status)
}

// receive collects chains and continues answers; a whole command it executes.
func (c *Card) receive(cmd command) ([]byte, uint16) {
	if cmd.class&^0x10 != 0 {
		return nil, statusUnknownClass
	}
	if cmd.expected > 256 && !c.atLeast(4, 0, 0) {
		return nil, statusWrongLength
	}
	if cmd.instruction == insGetResponse {
		if c.channel.pending == nil {
			return nil, statusConditions
		}
		return c.channel.pending, statusOK
	}
	c.channel.pending = nil
	head := [3]byte{cmd.instruction, cmd.p1, cmd.p2}
	if c.channel.chained && c.channel.head != head {
		c.channel = channel{}
		return nil, statusChainingExpected
	}
	joined := append(c.channel.parts, cmd.data...)
	if len(joined) > maxData {
		c.channel = channel{}
		return nil, statusWrongLength
	}
	if cmd.class&0x10 != 0 {
		c.channel = channel{parts: joined, head: head, chained: true}
		return nil, statusOK
	}
	c.channel = channel{}
	cmd.data = joined
	return c.execute(cmd)
}

// finish cuts an answer to what one APDU carries, keeps the rest for GET RESPONSE, and logs.
func (c *Card) finish(cmd command, data []byte, status uint16) []byte {
	c.channel.pending = nil
	if limit := max(cmd.expected, 256); status == statusOK && len(data) > limit {
		c.channel.pending = data[limit:]
		data = data[:limit]
		status = statusMore
		if rest := len(c.channel.pending); rest < 256 {
			status |= uint16(rest)
		}
	}
	c.record(cmd, status)
	answer := make([]byte, 0, len(data)+2)
	answer = append(answer, data...)
	return binary.BigEndian.AppendUint16(answer, status)
}
