//go:build cgo && linux

// A service that hangs, and tokens that the caller has open itself.

package hardware

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
)

// hangingSystem answers when it is let go.
type hangingSystem struct {
	system
	reached chan string
	listing chan struct{}
	opening chan struct{}
	closed  chan struct{} // gets a value for each card that is closed
}

type toldCard struct {
	card
	closed chan struct{}
}

func (c toldCard) close() error {
	defer func() { c.closed <- struct{}{} }()
	return c.card.close()
}

func (s hangingSystem) readers() ([]string, error) {
	s.reached <- "readers"
	<-s.listing
	return s.system.readers()
}

func (s hangingSystem) open(reader string) (card, error) {
	s.reached <- "open"
	<-s.opening
	c, err := s.system.open(reader)
	return toldCard{c, s.closed}, err
}

func TestServiceHangs(t *testing.T) {
	_, reader := insert(t, virtualpiv.Options{})
	free := make(chan struct{})
	close(free)
	for _, at := range []string{"readers", "open"} {
		o, s := newOpener(), hangingSystem{newSystem(), make(chan string, 9), free, free, make(chan struct{}, 1)}
		held := make(chan struct{})
		if at == "readers" {
			s.listing = held
		} else {
			s.opening = held
		}
		o.system = s
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for <-s.reached != at {
			}
			cancel()
		}()
		if _, err := o.open(ctx, testSerial); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", at, err)
		}
		close(held)
		if at == "open" {
			<-s.closed // a card that comes too late is given back
		}
	}
	if daemon.Open(reader) != 0 {
		t.Errorf("%d connections are left", daemon.Open(reader))
	}

	o, held := newOpener(), make(chan struct{})
	defer close(held)
	o.system, o.patience = hangingSystem{newSystem(), make(chan string, 9), held, free, nil}, time.Nanosecond
	var service *ServiceError
	if _, err := o.open(t.Context(), 0); !errors.As(err, &service) || err.Error() != "reaching the smart card service: it does not answer" {
		t.Errorf("nobody cancels: %v", err)
	}
}

func TestOpenBesideItsOwn(t *testing.T) {
	insert(t, virtualpiv.Options{Serial: 1001})
	first := open(t, 1001)
	var none *NotFoundError
	c := &clock{}
	if _, err := timed(c).open(t.Context(), 1002, first); !errors.As(err, &none) || !slices.Equal(none.Present, []uint32{1001}) || c.slept != 0 {
		t.Errorf("not plugged in, after %v: %v", c.slept, err)
	}
	insert(t, virtualpiv.Options{Serial: 1002})
	second, err := timed(c).open(t.Context(), 1002, first)
	if err != nil || c.slept != 0 {
		t.Fatalf("after %v: %v", c.slept, err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := timed(c).open(t.Context(), 0, first); !errors.As(err, new(*AmbiguousError)) {
		t.Errorf("any: %v", err)
	}
}
