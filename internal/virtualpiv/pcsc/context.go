// Contexts: the version, establishing, releasing, cancelling, and connecting to a reader.

package pcsc

import (
	"bytes"
	"math/rand/v2"
)

// version agrees on a message version: the client's own, where this daemon knows it.
func (c *client) version(m message) {
	major, minor := m.word(0), m.word(4)
	if major == protocolMajor && minor >= protocolMinorOldest && minor <= protocolMinorNewest {
		m.settle(success)
		return
	}
	m.put(0, protocolMajor)
	m.put(4, protocolMinorNewest)
	m.settle(serviceStopped)
}

// establish gives the client a context: a number that no other client can guess by counting.
func (c *client) establish(m message) {
	const scopes = 4
	if m.word(0) >= scopes {
		m.settle(invalidValue)
		return
	}
	d := c.daemon
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lastClient++
	c.context = d.lastClient<<16 | rand.Uint32N(1<<16-1) + 1
	m.put(4, c.context)
	m.settle(success)
}

// release ends the context and every connection in it.
func (c *client) release(m message) {
	c.daemon.mu.Lock()
	defer c.daemon.mu.Unlock()
	switch {
	case c.context == 0:
		m.settle(invalidHandle)
	case c.context != m.word(0):
		m.settle(invalidValue)
	default:
		c.drop()
		c.context = 0
		m.settle(success)
	}
}

// cancel ends another client's wait.
func (c *client) cancel(m message) {
	c.daemon.mu.Lock()
	defer c.daemon.mu.Unlock()
	for other := range c.daemon.clients {
		if other.context == m.word(0) && other.context != 0 {
			other.tell(cancelled)
			m.settle(success)
			return
		}
	}
	m.settle(invalidHandle)
}

// Offsets in the structure of a connection.
const (
	connectName     = 4
	connectShare    = connectName + nameSize
	connectProtocol = connectShare + 4
	connectHandle   = connectProtocol + 4
	connectActive   = connectHandle + 4
)

// connect opens a reader. Exclusive use by another is an error at once; a transaction of
// another is waited for.
func (c *client) connect(m message) {
	name, _, _ := bytes.Cut(m[connectName:connectName+nameSize], []byte{0})
	share, protocols := m.word(connectShare), m.word(connectProtocol)
	m.put(connectHandle, 0)
	d := c.daemon
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.find(string(name))
	if r == nil {
		m.settle(unknownReader)
		return
	}
	if s := r.admits(share, protocols); s != success {
		m.settle(s)
		return
	}
	for !r.gone && !r.free(nil) && !d.closed {
		d.changed.Wait()
	}
	// What was true before the wait need not be now.
	if r.gone {
		m.settle(readerUnavailable)
		return
	}
	if r.exclusive() || share == shareExclusive && len(r.handles) > 0 {
		m.settle(sharingViolation)
		return
	}
	d.lastHandle++
	h := &handle{id: d.lastHandle, reader: r, exclusive: share == shareExclusive}
	r.handles = append(r.handles, h)
	c.handles[h.id] = h
	if h.exclusive {
		r.lock(h)
	}
	if r.present {
		r.powered = true
	}
	d.signal()
	m.put(connectHandle, uint32(h.id))
	m.put(connectActive, negotiated(protocols))
	m.settle(success)
}

// admits checks what can be known before a wait.
func (r *reader) admits(share, protocols uint32) status {
	switch {
	case share < shareExclusive || share > shareDirect:
		return invalidValue
	case r.refusals != 0:
		r.refusals = max(r.refusals-1, -1)
		return sharingViolation
	case r.exclusive():
		return sharingViolation
	case share == shareDirect:
		return success
	case !r.present:
		return noCard
	case protocols&(protocolT1|protocolRaw) == 0:
		// The cards offer T=1 alone.
		return protocolMismatch
	}
	return success
}

// negotiated is the protocol in use.
func negotiated(protocols uint32) uint32 {
	if protocols&protocolRaw != 0 {
		return protocolRaw
	}
	return protocolT1
}
