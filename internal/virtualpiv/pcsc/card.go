// What a client does with a card that it has open.

package pcsc

import "io"

// reconnect changes how a card is shared, may reset it, and clears what was reported.
func (c *client) reconnect(h *handle, m message) {
	share, protocols, initialization := m.word(4), m.word(8), m.word(12)
	d := c.daemon
	d.mu.Lock()
	defer d.mu.Unlock()
	r := h.reader
	switch {
	case share < shareExclusive || share > shareDirect || initialization > disposeUnpower:
		m.settle(invalidValue)
		return
	case r.gone:
		m.settle(readerUnavailable)
		return
	case !r.free(h) || share == shareExclusive && len(r.handles) > 1:
		m.settle(sharingViolation)
		return
	case !r.present:
		m.settle(noCard)
		return
	}
	if initialization != disposeLeave {
		r.power(true, h)
	}
	switch {
	case share == shareExclusive && !h.exclusive:
		r.lock(h)
	case share != shareExclusive && h.exclusive:
		d.unlock(h, false)
	}
	h.exclusive = share == shareExclusive
	h.event = eventNone
	d.signal()
	m.put(16, negotiated(protocols))
	m.settle(success)
}

// disconnect closes a connection, after any other client's transaction where it resets.
func (c *client) disconnect(h *handle, m message) {
	d := c.daemon
	d.mu.Lock()
	defer d.mu.Unlock()
	disposition := m.word(4)
	if disposition > disposeEject {
		m.settle(invalidValue)
		return
	}
	for disposition != disposeLeave && !h.reader.gone && !h.reader.free(h) && !d.closed {
		d.changed.Wait()
	}
	delete(c.handles, h.id)
	d.disconnect(h, disposition)
	m.settle(success)
}

// begin takes the card for this client alone, as soon as no other has it.
func (c *client) begin(h *handle, m message) {
	d := c.daemon
	d.mu.Lock()
	defer d.mu.Unlock()
	for h.usable() == success && !h.reader.free(h) && !d.closed {
		d.changed.Wait()
	}
	s := h.usable()
	if s == success {
		h.reader.lock(h)
	}
	m.settle(s)
}

// end gives the card back.
func (c *client) end(h *handle, m message) {
	d := c.daemon
	d.mu.Lock()
	defer d.mu.Unlock()
	disposition := m.word(4)
	if disposition > disposeEject {
		m.settle(invalidValue)
		return
	}
	s := h.usable()
	switch {
	case s != success:
	case h.reader.holder == nil:
		s = notTransacted
	case h.reader.holder != h:
		s = sharingViolation
	default:
		if disposition == disposeReset || disposition == disposeUnpower {
			h.reader.power(true, h)
			d.signal()
		}
		d.unlock(h, false)
	}
	m.settle(s)
}

// status says whether the connection still stands.
func (c *client) status(h *handle, m message) {
	c.daemon.mu.Lock()
	defer c.daemon.mu.Unlock()
	m.settle(h.ready())
}

// ready is usable, but for a reader that another client has locked.
func (h *handle) ready() status {
	if s := h.usable(); s != success {
		return s
	}
	if !h.reader.free(h) {
		return sharingViolation
	}
	return success
}

// Offsets in the structure of a transmission.
const (
	transmitSendProtocol    = 4
	transmitSendLength      = 12
	transmitReceiveProtocol = 16
	transmitReceiveLength   = 24
)

// transmit passes one APDU to the card. The card may take its time, so the daemon's lock is
// let go meanwhile; a card that was pulled out while it worked has not answered.
func (c *client) transmit(h *handle, m message) bool {
	n := m.word(transmitSendLength)
	if n > maxTransmit {
		return false
	}
	apdu := make([]byte, n)
	if _, err := io.ReadFull(c.conn, apdu); err != nil {
		return false
	}
	answer, s := c.exchange(h, m.word(transmitSendProtocol), apdu)
	if s == success && uint32(len(answer)) > m.word(transmitReceiveLength) {
		s = insufficientBuffer
	}
	m.put(transmitReceiveProtocol, m.word(transmitSendProtocol))
	m.put(transmitReceiveLength, uint32(len(answer)))
	m.settle(s)
	if s == success {
		return c.send(append(m, answer...))
	}
	return c.send(m)
}

// exchange has the card answer, and pulls its reader when the card was ordered to vanish.
func (c *client) exchange(h *handle, protocol uint32, apdu []byte) ([]byte, status) {
	d := c.daemon
	d.mu.Lock()
	s := h.ready()
	switch {
	case s == success && !h.reader.present:
		s = noCard
	case s == success && protocol != protocolT1 && protocol != protocolRaw:
		s = protocolMismatch
	}
	card := h.reader.card
	d.mu.Unlock()
	if s != success {
		return nil, s
	}
	answer := card.Transmit(apdu)
	d.mu.Lock()
	defer d.mu.Unlock()
	if answer == nil && !h.reader.gone {
		d.pull(h.reader)
	}
	if answer == nil || h.reader.gone || !h.reader.present {
		return nil, notTransacted
	}
	return answer, success
}

// control refuses what a driver would do, after reading what was sent with it.
func (c *client) control(h *handle, m message) bool {
	n := m.word(8)
	if n > maxTransmit {
		return false
	}
	if _, err := io.CopyN(io.Discard, c.conn, int64(n)); err != nil {
		return false
	}
	c.daemon.mu.Lock()
	s := h.ready()
	c.daemon.mu.Unlock()
	if s == success {
		s = unsupportedFeature
	}
	m.put(16, 0)
	m.settle(s)
	return c.send(m)
}

// attribute reads the few attributes that clients ask for; none can be written.
func (c *client) attribute(h *handle, m message, write bool) {
	const lengthAt = 8 + attributeSize
	c.daemon.mu.Lock()
	defer c.daemon.mu.Unlock()
	var value []byte
	s := h.ready()
	switch id := m.word(4); {
	case s != success:
	case write:
		s = unsupportedFeature
	case id == attributeATR && h.reader.present:
		value = h.reader.card.ATR()
	case id == attributeFriendlyName || id == attributeSystemName:
		value = append([]byte(h.reader.name), 0)
	case id == attributeVendorName:
		value = []byte("Virtual PIV\x00")
	default:
		s = unsupportedFeature
	}
	if room := m.word(lengthAt); s == success && uint32(len(value)) > room {
		s = insufficientBuffer
	} else if s == success {
		copy(m[8:lengthAt], value)
	}
	m.put(lengthAt, uint32(len(value)))
	m.settle(s)
}
