// A client of the socket protocol, without the library.

package pcsc

import (
	"io"
	"net"
	"os"
	"testing"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
)

// started starts a daemon with one card in a reader called "r".
func started(t *testing.T) (*Daemon, *virtualpiv.Card) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pcsc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d, err := Start(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	card := virtualpiv.New(virtualpiv.Options{})
	d.Insert("r", card)
	return d, card
}

// A client that leaves while the daemon ends is no failure of the daemon.
func TestClosingWhileClientsLeave(t *testing.T) {
	for range 50 {
		d, _ := started(t)
		r := dial(t, d)
		go func() { _ = r.Conn.Close() }()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// raw is one client.
type raw struct {
	*testing.T
	net.Conn
	context uint32
}

// dial connects, agrees on 4:4, and establishes a context.
func dial(t *testing.T, d *Daemon) *raw {
	t.Helper()
	r := dialBare(t, d)
	if m := r.call(cmdVersion, words(4, 4, 0)); m.word(8) != success {
		t.Fatalf("version refused: %x", m)
	}
	m := r.call(cmdEstablishContext, words(2, 0, 0))
	if r.context = m.word(4); m.word(8) != success || r.context == 0 {
		t.Fatalf("no context: %x", m)
	}
	return r
}

func dialBare(t *testing.T, d *Daemon) *raw {
	t.Helper()
	conn, err := net.Dial("unix", d.Socket())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &raw{T: t, Conn: conn}
}

func (r *raw) post(command uint32, body message) {
	r.Helper()
	if _, err := r.Write(append(words(uint32(len(body)), command), body...)); err != nil {
		r.Fatal(err)
	}
}

func (r *raw) read(n int) message {
	r.Helper()
	m := make(message, n)
	if _, err := io.ReadFull(r, m); err != nil {
		r.Fatalf("reading an answer: %v", err)
	}
	return m
}

// call sends a structure and reads the one that answers it.
func (r *raw) call(command uint32, body message) message {
	r.Helper()
	r.post(command, body)
	return r.read(len(body))
}

// connect opens "r" and demands a status; it returns the handle.
func (r *raw) connect(want status, share uint32) uint32 {
	r.Helper()
	m := make(message, bodySizes[cmdConnect])
	m.put(0, r.context)
	copy(m[connectName:], "r")
	m.put(connectShare, share)
	m.put(connectProtocol, 3)
	m = r.call(cmdConnect, m)
	if got := m.word(len(m) - 4); got != want {
		r.Fatalf("connecting: %08x, want %08x", got, want)
	}
	return m.word(connectHandle)
}

// status sends a command of words about a handle and returns its status.
func (r *raw) status(command uint32, values ...uint32) status {
	r.Helper()
	m := r.call(command, words(values...))
	return m.word(len(m) - 4)
}

// transmit sends GET VERSION and returns the status.
func (r *raw) transmit(h uint32) status {
	r.Helper()
	r.post(cmdTransmit, words(h, protocolT1, 8, 5, 3, 8, 300, 0))
	if _, err := r.Write([]byte{0, 0xfd, 0, 0, 0}); err != nil {
		r.Fatal(err)
	}
	m := r.read(32)
	if s := m.word(28); s != success {
		return s
	}
	r.read(int(m.word(transmitReceiveLength)))
	return success
}
