// One client's socket: reading its messages, answering, telling it of events.

package pcsc

import (
	"io"
	"net"
)

// A client is one connected process's context. handles, context and waiting are guarded by the
// daemon's mu; the socket is read by one goroutine alone.
type client struct {
	daemon  *Daemon
	conn    net.Conn
	context uint32
	handles map[int32]*handle
	waiting bool
}

// serve answers messages until the client goes, or breaks the protocol.
func (c *client) serve() {
	defer c.leave()
	for {
		header := make(message, headerSize)
		if _, err := io.ReadFull(c.conn, header); err != nil {
			return
		}
		size, command := header.word(0), header.word(4)
		want, known := bodySizes[command]
		if !known || size != uint32(want) {
			return
		}
		body := make(message, want)
		if _, err := io.ReadFull(c.conn, body); err != nil {
			return
		}
		if !c.handle(command, body) {
			return
		}
	}
}

// handle answers one message; false ends the connection.
func (c *client) handle(command uint32, m message) bool {
	switch command {
	case cmdVersion:
		c.version(m)
	case cmdReadersState, cmdWaitReadersState:
		return c.readersState(command == cmdWaitReadersState)
	case cmdStopWaiting:
		c.daemon.mu.Lock()
		defer c.daemon.mu.Unlock()
		c.tell(success)
		return true
	case cmdReaderEvents:
		c.daemon.mu.Lock()
		m = words(c.daemon.events, success)
		c.daemon.mu.Unlock()
	case cmdEstablishContext:
		c.establish(m)
	case cmdReleaseContext:
		c.release(m)
	case cmdCancel:
		c.cancel(m)
	case cmdConnect:
		c.connect(m)
	default:
		return c.handleCard(command, m)
	}
	return c.send(m)
}

// handleCard answers a message that concerns an open connection to a card. One that this
// client does not have ends the client, as in pcscd.
func (c *client) handleCard(command uint32, m message) bool {
	c.daemon.mu.Lock()
	h := c.handles[int32(m.word(0))]
	c.daemon.mu.Unlock()
	if h == nil {
		return false
	}
	switch command {
	case cmdTransmit:
		return c.transmit(h, m)
	case cmdControl:
		return c.control(h, m)
	case cmdReadAttribute, cmdWriteAttribute:
		c.attribute(h, m, command == cmdWriteAttribute)
	case cmdReconnect:
		c.reconnect(h, m)
	case cmdDisconnect:
		c.disconnect(h, m)
	case cmdBeginTransaction:
		c.begin(h, m)
	case cmdEndTransaction:
		c.end(h, m)
	case cmdStatus:
		c.status(h, m)
	}
	return c.send(m)
}

// send writes a message; false when the client is gone.
func (c *client) send(m []byte) bool {
	_, err := c.conn.Write(m)
	return err == nil
}

// tell ends a client's wait for a change, if it waits. mu is held. A client that is gone is
// noticed by its own goroutine.
func (c *client) tell(s status) bool {
	if !c.waiting {
		return false
	}
	c.waiting = false
	_ = c.send(words(0, s))
	return true
}

// readersState sends the table of readers, and lets the client wait for a change of it.
func (c *client) readersState(wait bool) bool {
	d := c.daemon
	d.mu.Lock()
	defer d.mu.Unlock()
	c.waiting = wait
	return c.send(d.table())
}

// leave ends what a client had: a card that it held locked is reset, as pcscd does when a
// program dies in the middle.
func (c *client) leave() {
	_ = c.conn.Close()
	c.daemon.mu.Lock()
	defer c.daemon.mu.Unlock()
	delete(c.daemon.clients, c)
	c.waiting = false
	c.drop()
}

// drop closes all of the client's connections to cards. mu is held.
func (c *client) drop() {
	for id, h := range c.handles {
		disposition := uint32(disposeLeave)
		if h.reader.holder == h && h.event == eventNone {
			disposition = disposeReset
		}
		delete(c.handles, id)
		c.daemon.disconnect(h, disposition)
	}
}
