// The card's side when the driver calls.

package vpcd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// pairTries bounds the search for two free ports in a row.
const pairTries = 20

// A Listener waits for a driver on two ports in a row: the card is in the first slot, in the
// second is one that knows nothing.
type Listener struct {
	slots [2]net.Listener
}

// Listen listens on host:port and host:port+1. Port 0 finds two that are free.
func Listen(host string, port int) (*Listener, error) {
	tries := 1
	if port == 0 {
		tries = pairTries
	}
	var err error
	for range tries {
		var l Listener
		if l.slots[0], err = net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port))); err != nil {
			continue
		}
		next := l.slots[0].Addr().(*net.TCPAddr).Port + 1
		if l.slots[1], err = net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(next))); err == nil {
			return &l, nil
		}
		err = errors.Join(err, l.slots[0].Close())
	}
	return nil, fmt.Errorf("listening for a virtual reader: %w", err)
}

// Address is the first slot's, for DEVICENAME.
func (l *Listener) Address() string { return l.slots[0].Addr().String() }

// Serve serves the card to every driver that calls, until ctx ends.
func (l *Listener) Serve(ctx context.Context, card Card) error {
	var all sync.WaitGroup
	defer all.Wait()
	stop := context.AfterFunc(ctx, func() {
		_ = l.slots[0].Close()
		_ = l.slots[1].Close()
	})
	defer stop()
	all.Go(func() { accept(ctx, l.slots[1], stranger{}) })
	accept(ctx, l.slots[0], card)
	return ctx.Err()
}

// accept serves each call in its own goroutine, until the listener closes. A call that breaks
// off concerns nobody but the driver, which calls again.
func accept(ctx context.Context, l net.Listener, card Card) {
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		calls.Go(func() { _ = serve(ctx, conn, card) })
	}
}

// stranger is the card in the second slot: the driver has no word for an empty one. It knows
// T=0 alone and no command.
type stranger struct{}

func (stranger) Transmit([]byte) []byte { return []byte{0x6d, 0x00} }
func (stranger) ATR() []byte            { return []byte{0x3b, 0x00} }
func (stranger) Reset()                 {}
