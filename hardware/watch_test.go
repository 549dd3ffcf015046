//go:build cgo && linux

// Tokens that are pulled while nobody has them open, seen through the real library; and services that hang.

package hardware

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/keys"
)

// watched plugs a token in and has it watched, and closed.
func watched(t *testing.T) (card *virtualpiv.Card, reader string, gone <-chan struct{}) {
	t.Helper()
	card, reader = insert(t, virtualpiv.Options{})
	token := open(t, testSerial)
	gone = goneUnhurried(t, token)
	if err := token.Close(); err != nil {
		t.Fatal(err)
	}
	return card, reader, gone
}

// goneUnhurried is [Token.Gone] by a clock that stands still: a test on a machine that has no time for it for
// some seconds looks like one that slept, and that is as if the token were gone.
func goneUnhurried(t *testing.T, token *Token) <-chan struct{} {
	w := watch{lookout: token.lookout, reader: token.reader, now: func() time.Time { return time.Time{} }, after: never}
	return w.start(t.Context())
}

func isGone(gone <-chan struct{}) bool {
	select {
	case <-gone:
		return true
	default:
		return false
	}
}

func TestGone(t *testing.T) {
	for name, pull := range map[string]func(reader string, card *virtualpiv.Card){
		"the token":          func(reader string, _ *virtualpiv.Card) { daemon.Remove(reader) },
		"its card":           func(reader string, _ *virtualpiv.Card) { daemon.Eject(reader) },
		"its card, and back": func(reader string, card *virtualpiv.Card) { daemon.Eject(reader); daemon.Insert(reader, card) },
		"the token, in use":  func(_ string, card *virtualpiv.Card) { pullInUse(t, card) },
	} {
		t.Run(name, func(t *testing.T) {
			card, reader, gone := watched(t)
			if isGone(gone) {
				t.Fatal("gone before it was pulled")
			}
			pull(reader, card)
			<-gone
		})
	}
}

func pullInUse(t *testing.T, card *virtualpiv.Card) {
	token := open(t, testSerial)
	card.Order(virtualpiv.Fault{Kind: virtualpiv.PulledBefore})
	if _, err := token.Info(t.Context()); !errors.As(err, new(*RemovedError)) {
		t.Errorf("pulled: %v", err)
	}
}

// Whoever uses the token, and whatever becomes of its power and of other tokens, it is not gone.
func TestNotGone(t *testing.T) {
	_, reader, gone := watched(t)
	var last <-chan struct{}
	for range 3 {
		token := open(t, testSerial)
		if _, err := token.Generate(t.Context(), GenerateOptions{Algorithm: keys.P384, PIN: PINNever, Touch: TouchNever}); err != nil {
			t.Fatal(err)
		}
		last = goneUnhurried(t, token)
		if err := token.Close(); err != nil {
			t.Fatal(err)
		}
		daemon.PowerDown(reader)
		_, other := insert(t, virtualpiv.Options{Serial: 1002})
		daemon.Remove(other)
	}
	if isGone(gone) || isGone(last) {
		t.Error("gone, though it was never pulled")
	}
	daemon.Remove(reader)
	<-gone
	<-last
}

func TestGoneAtOnce(t *testing.T) {
	_, reader := insert(t, virtualpiv.Options{})
	token := open(t, testSerial)
	daemon.Remove(reader)
	<-token.Gone(t.Context())
}

func TestGoneEndsWithItsContext(t *testing.T) {
	_, reader := insert(t, virtualpiv.Options{})
	token := open(t, testSerial)
	s := &countedSystem{system: newSystem(), closed: make(chan struct{})}
	token.lookout = s.lookout
	ctx, cancel := context.WithCancel(t.Context())
	gone := token.Gone(ctx)
	cancel()
	<-s.closed // within a look
	daemon.Remove(reader)
	if isGone(gone) {
		t.Error("told after its context had ended")
	}
}

// countedSystem says when a lookout is closed.
type countedSystem struct {
	system
	closed chan struct{}
}

type countedLookout struct {
	lookout
	closed chan struct{}
}

func (s *countedSystem) lookout(reader string) (lookout, error) {
	l, err := s.system.lookout(reader)
	return countedLookout{l, s.closed}, err
}

func (l countedLookout) close() {
	l.lookout.close()
	close(l.closed)
}

func TestGoneWithItsService(t *testing.T) {
	insert(t, virtualpiv.Options{})
	token := open(t, testSerial)
	stop := make(chan struct{})
	token.lookout = func(string) (lookout, error) { return failingLookout{stop}, nil }
	gone := token.Gone(t.Context())
	if isGone(gone) {
		t.Error("gone while the service runs")
	}
	close(stop)
	<-gone
}

// failingLookout sees a card once, and then nothing any more.
type failingLookout struct{ stop chan struct{} }

func (l failingLookout) look(known uint32, _ time.Duration) (uint32, error) {
	if known == 0 {
		return statePresent, nil
	}
	<-l.stop
	return 0, codeServiceStopped
}

func (failingLookout) close() {}

// A lookout of synthetic time.
type syntheticLookout struct {
	looks int
	hang  <-chan struct{}
	wall  func()
}

func (l *syntheticLookout) look(known uint32, limit time.Duration) (uint32, error) {
	l.looks++
	if known == 0 {
		return statePresent | stateChanged | 7<<16, nil
	}
	if known != statePresent|7<<16 {
		return 0, errors.New("another state is waited with")
	}
	if l.looks == 5 && l.hang != nil {
		<-l.hang
	}
	if l.looks == 5 && l.wall != nil {
		l.wall()
	}
	time.Sleep(limit)
	return 0, errSame
}

func (l *syntheticLookout) close() {}

func TestGoneWhereNobodyCouldLook(t *testing.T) {
	for name, c := range map[string]struct {
		hangs, sleeps bool
		want          time.Duration
	}{
		"the service hangs": {hangs: true, want: 3*lookLimit + lookLimit + lookPatience},
		"the machine slept": {sleeps: true, want: 4 * lookLimit},
		"nothing of it":     {},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer time.Sleep(2 * lookLimit) // for the look that is under way
			defer cancel()
			l := &syntheticLookout{}
			var slept time.Duration
			if c.hangs {
				l.hang = ctx.Done()
			}
			if c.sleeps {
				l.wall = func() { slept = time.Hour }
			}
			w := watch{
				lookout: func(string) (lookout, error) { return l, nil }, after: time.After,
				now: func() time.Time { return time.Now().Round(0).Add(slept) },
			}
			began := time.Now()
			gone := w.start(ctx)
			select {
			case <-gone:
				if got := time.Since(began); got != c.want {
					t.Errorf("%s: gone after %v", name, got)
				}
			case <-time.After(time.Hour):
				if c.want != 0 {
					t.Errorf("%s: not gone in an hour", name)
				}
			}
		})
	}
}
