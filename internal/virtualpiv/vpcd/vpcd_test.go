// Tests of the card's side of vpcd, with a driver played by the test.

package vpcd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
)

// driver is the reader's side.
type driver struct {
	*testing.T
	net.Conn
}

func newDriver(t *testing.T, conn net.Conn) driver { return driver{t, conn} }

func (d driver) send(frame ...byte) {
	d.Helper()
	if _, err := d.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(frame))), frame...)); err != nil {
		d.Fatal(err)
	}
}

func (d driver) ask(frame ...byte) []byte {
	d.Helper()
	d.send(frame...)
	answer, err := readFrame(d)
	if err != nil {
		d.Fatal(err)
	}
	return answer
}

var selectPIV = []byte{0, 0xa4, 4, 0, 5, 0xa0, 0, 0, 3, 8}

func TestDriverThatCalls(t *testing.T) {
	l, err := Listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	card := virtualpiv.New(virtualpiv.Options{Firmware: [3]byte{5, 4, 3}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx, card) }()
	first, err := net.Dial("tcp", l.Address())
	if err != nil {
		t.Fatal(err)
	}
	d := newDriver(t, first)
	if got := d.ask(orderATR); !bytes.Equal(got, card.ATR()) {
		t.Errorf("ATR %x", got)
	}
	d.send(orderPowerOn)
	if got := d.ask(selectPIV...); !bytes.HasSuffix(got, []byte{0x90, 0}) {
		t.Errorf("selecting: %x", got)
	}
	if got := d.ask(0, 0xfd, 0, 0, 0); !bytes.Equal(got, []byte{5, 4, 3, 0x90, 0}) {
		t.Errorf("version: %x", got)
	}
	d.send(orderReset)
	if got := d.ask(0, 0xfd, 0, 0, 0); !bytes.Equal(got, []byte{0x6d, 0}) {
		t.Errorf("version after a reset: %x", got)
	}
	second, err := net.Dial("tcp", l.slots[1].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if got := newDriver(t, second).ask(0, 0xfd, 0, 0, 0); !bytes.Equal(got, []byte{0x6d, 0}) {
		t.Errorf("the second slot answers %x", got)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection after the end: %v", err)
	}
}

func TestDriverThatIsCalled(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan error, 1)
	go func() { ended <- Dial(t.Context(), l.Addr().String(), virtualpiv.New(virtualpiv.Options{})) }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	d := newDriver(t, conn)
	if got := d.ask(orderATR); len(got) == 0 {
		t.Error("no ATR")
	}
	if _, err := conn.Write([]byte{0, 5, 1}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("a frame cut short was no error")
	}
	if err := Dial(t.Context(), "127.0.0.1:1", stranger{}); err == nil {
		t.Error("nobody listens there")
	}
}

func TestPulledOutIsHungUp(t *testing.T) {
	here, there := net.Pipe()
	card := virtualpiv.New(virtualpiv.Options{})
	card.Order(virtualpiv.Fault{Kind: virtualpiv.PulledBefore})
	ended := make(chan error, 1)
	go func() { ended <- serve(t.Context(), there, card) }()
	d := newDriver(t, here)
	d.send(selectPIV...)
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := here.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection after the end: %v", err)
	}
}
