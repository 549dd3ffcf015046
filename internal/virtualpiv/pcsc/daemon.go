// Package pcsc stands in for pcscd, the PC/SC daemon, in tests: it speaks the socket protocol
// of pcsc-lite (message versions 4:4 and 4:5, as in its winscard_msg.h), so that an unmodified
// program with the real libpcsclite finds virtual tokens where it expects readers. It needs no
// root and starts in milliseconds.
//
// The library finds it by the environment variable PCSCLITE_CSOCK_NAME, which it reads once in
// the life of a process: a test sets it, with os.Setenv, before anything in that process talks
// to PC/SC (TestMain is the place), starts one daemon, and gives each test readers of its own.
//
// Not imitated: reader drivers (SCardControl is refused), more than 16 readers, and the power
// that a real daemon takes from a card some seconds after its last user left: a test that
// wants it says so with [Daemon.PowerDown].
package pcsc

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
)

// maxReaders is the size of the table of readers in the protocol.
const maxReaders = 16

// maxSocketPath keeps the socket's path below what a socket address holds everywhere.
const maxSocketPath = 100

// A Daemon is a running stand-in. Its methods may be called from several goroutines.
type Daemon struct {
	socket   string
	listener net.Listener
	serving  sync.WaitGroup

	// mu guards everything below, and every write that tells a client of an event. changed is
	// signalled whenever a lock or a reader goes away.
	mu         sync.Mutex
	changed    *sync.Cond
	readers    []*reader
	clients    map[*client]bool
	lastHandle int32
	lastClient uint32
	events     uint32
	closed     bool
}

// Start listens on a socket in dir, which must exist. The socket's path must stay below 100
// characters: give a short dir, such as one of os.MkdirTemp.
func Start(dir string) (*Daemon, error) {
	socket := filepath.Join(dir, "pcscd.comm")
	if len(socket) >= maxSocketPath {
		return nil, fmt.Errorf("listening on %q: the path is longer than a socket address holds", socket)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listening for PC/SC clients: %w", err)
	}
	d := &Daemon{socket: socket, listener: listener, clients: make(map[*client]bool)}
	d.changed = sync.NewCond(&d.mu)
	d.serving.Go(d.accept)
	return d, nil
}

// Socket is the value for PCSCLITE_CSOCK_NAME.
func (d *Daemon) Socket() string { return d.socket }

// Close stops the daemon and drops its clients. A command that waits for a finger is waited
// for; a client that is just leaving by itself is no failure.
func (d *Daemon) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	err := d.listener.Close()
	for c := range d.clients {
		if left := c.conn.Close(); !errors.Is(left, net.ErrClosed) {
			err = errors.Join(err, left)
		}
	}
	d.changed.Broadcast()
	d.mu.Unlock()
	d.serving.Wait()
	return err
}

// accept serves each client in a goroutine of its own, until the listener closes.
func (d *Daemon) accept() {
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			return
		}
		c := &client{daemon: d, conn: conn, handles: make(map[int32]*handle)}
		d.mu.Lock()
		if d.closed {
			d.mu.Unlock()
			_ = conn.Close()
			return
		}
		d.clients[c] = true
		d.mu.Unlock()
		d.serving.Go(c.serve)
	}
}

// Insert plugs a token in: a reader of that name appears, with the card in it and powered. An
// empty reader of that name takes the card, and a token under it is pulled out first. Names
// have at most 127 bytes; the reader names of YubiKeys begin with "Yubico YubiKey". Inserting
// a seventeenth is a panic.
func (d *Daemon) Insert(readerName string, card *virtualpiv.Card) {
	if readerName == "" || len(readerName) >= nameSize {
		panic(fmt.Sprintf("pcsc: no reader can be called %q", readerName))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.find(readerName)
	if r != nil && !r.present {
		card.Reset()
		r.card, r.present, r.powered = card, true, true
		r.events++
		d.signal()
		return
	}
	if r != nil {
		d.pull(r)
	}
	if len(d.readers) == maxReaders {
		panic("pcsc: the protocol has no room for more than 16 readers")
	}
	card.Reset()
	d.readers = append(d.readers, &reader{name: readerName, card: card, present: true, powered: true})
	d.signal()
}

// Remove pulls a token out, reader and all, as a USB token goes. Who still has it open is told
// SCARD_E_READER_UNAVAILABLE from then on. A command in progress gets no answer. It does
// nothing when there is no such reader.
func (d *Daemon) Remove(readerName string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.find(readerName); r != nil {
		d.pull(r)
	}
}

// Eject takes the card out and leaves the reader, as with a card of plastic. Who still has it
// open is told SCARD_W_REMOVED_CARD. [Daemon.Insert] under the same name puts a card in again, and
// both are counted, where a reader that comes back begins to count anew.
func (d *Daemon) Eject(readerName string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.find(readerName); r != nil && r.present {
		r.present, r.powered = false, false
		r.events++
		r.notify(eventRemoved, nil)
		d.signal()
	}
}

// PowerDown does what pcscd does five seconds after the last program closed the card: it takes
// its power. It does nothing while a program has the card open.
func (d *Daemon) PowerDown(readerName string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.find(readerName); r != nil && r.present && len(r.handles) == 0 {
		r.powered = false
		r.card.Reset()
		d.signal()
	}
}

// Occupy lets the next n connections to the reader fail with SCARD_E_SHARING_VIOLATION, as if
// another program held the card; a negative n lets all of them fail, until Occupy with 0.
func (d *Daemon) Occupy(readerName string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.find(readerName); r != nil {
		r.refusals = n
	}
}

// Open counts the connections to a reader, over all clients.
func (d *Daemon) Open(readerName string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.find(readerName); r != nil {
		return len(r.handles)
	}
	return 0
}

// Readers are the names of the readers, in the order in which they were inserted.
func (d *Daemon) Readers() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for _, r := range d.readers {
		names = append(names, r.name)
	}
	return names
}
