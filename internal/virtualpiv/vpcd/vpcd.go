// Package vpcd plugs a virtual card into vsmartcard's vpcd, the reader driver through which
// the real pcscd reaches a card over TCP: it is the card's side of that connection. Tests and
// test programs alone import it.
//
// Which side calls the other is the driver's DEVICENAME: "/dev/null:PORT" waits for [Dial], on
// all of the machine's addresses, and takes a hang-up for a card that was pulled out;
// "HOST:PORT" calls a [Listener], and both of its ports must listen before pcscd starts, since
// the driver has two slots. There a hang-up brings pcscd down (vsmartcard 0.8), so a token that
// is to be pulled out wants the first way, or package pcsc.
//
// Both sides send frames: a length of two bytes, big-endian, then as many bytes. From the
// reader a frame of one byte is an order (power off, power on, reset, tell the ATR), and any
// other is a command APDU, which is answered with a frame.
package vpcd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
)

// Orders from the reader, as in vpcd.h.
const (
	orderPowerOff = 0
	orderPowerOn  = 1
	orderReset    = 2
	orderATR      = 4
)

// A Card answers APDUs; nil, for an answer or an ATR, is a card that is not there.
type Card interface {
	Transmit(command []byte) []byte
	ATR() []byte
	Reset()
}

// Dial connects to the reader at an address (HOST:PORT) and serves the card until the reader
// hangs up (nil), the card is not there (nil; the connection is closed), or ctx ends (its
// error).
func Dial(ctx context.Context, address string, card Card) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("connecting to the virtual reader: %w", err)
	}
	return serve(ctx, conn, card)
}

// serve answers frames, and closes the connection.
func serve(ctx context.Context, conn net.Conn, card Card) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	for {
		// The reader sends a frame in two writes and waits: an acknowledgement that the
		// kernel holds back costs every command some 40 ms.
		acknowledgeQuickly(conn)
		frame, err := readFrame(conn)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading from the virtual reader: %w", err)
		}
		answer, due := respond(card, frame)
		if !due {
			continue
		}
		if answer == nil {
			return nil
		}
		if len(answer) > math.MaxUint16 {
			return fmt.Errorf("answering the virtual reader: %d bytes do not fit one frame", len(answer))
		}
		out := binary.BigEndian.AppendUint16(nil, uint16(len(answer)))
		if _, err := conn.Write(append(out, answer...)); err != nil {
			return fmt.Errorf("answering the virtual reader: %w", err)
		}
	}
}

// respond obeys one frame. Orders to do with power have no answer.
func respond(card Card, frame []byte) (answer []byte, due bool) {
	if len(frame) != 1 {
		return card.Transmit(frame), true
	}
	switch frame[0] {
	case orderPowerOff, orderPowerOn, orderReset:
		card.Reset()
	case orderATR:
		return card.ATR(), true
	}
	return nil, false
}

// readFrame reads a length and what follows it.
func readFrame(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, fmt.Errorf("a frame was cut short: %w", err)
	}
	return frame, nil
}
