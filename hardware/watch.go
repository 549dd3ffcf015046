// Knowing that a token was pulled out without having it open: a lookout on its reader.

package hardware

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// How long one look at a reader lasts, and how much longer it may take before the service hangs, or this process, or the
// machine, slept meanwhile: nobody can know then what happened to the token.
const (
	lookLimit    = time.Second
	lookPatience = 2 * time.Second
)

// A lookout sees the state of one reader, and has a connection to the service of its own.
type lookout interface {
	// look waits until the reader's state is another than known, 0 being none; after limit it is errSame, with the state or 0.
	look(known uint32, limit time.Duration) (uint32, error)
	close()
}

// errSame says that a reader's state has not changed.
var errSame = errors.New("nothing has changed")

// Bits of a reader's state (winscard.h, SCARD_STATE_…). The upper half counts the cards that came and went. Where that is not
// so (macOS), and where the reader itself went and came back, which begins at 0 again, it takes a look in between to see it: looks
// follow each other without a pause, and a person needs longer to plug a token in than the service to tell that it went.
const (
	stateChanged = 0x0002
	stateAbsent  = 0x0004 | 0x0008 | 0x0010 | 0x0200 // unknown, unavailable, empty, mute
	statePresent = 0x0020
	stateCounter = 0xffff0000
)

// Gone is closed when the token may have been pulled out, or its card or reader changed behind it, also where it is back
// by then: whoever keeps a PIN for it has to forget that. A service that stops, is restarted or hangs, and a machine that slept,
// count as well. It must be called while the token is open, and watches until ctx ends, whether the token is still open or not;
// where ctx ends first it is never closed. What happened before the call, the next command tells with a [*RemovedError].
//
// Where the service tells at once, it is noticed within some milliseconds; three seconds is the longest.
func (t *Token) Gone(ctx context.Context) <-chan struct{} {
	w := watch{lookout: t.lookout, reader: t.reader, now: time.Now, after: time.After}
	return w.start(ctx)
}

// A watch is one call of Gone.
type watch struct {
	lookout func(reader string) (lookout, error)
	reader  string
	now     func() time.Time
	after   func(time.Duration) <-chan time.Time
}

// start returns when the state is known that must not change.
func (w *watch) start(ctx context.Context) <-chan struct{} {
	gone, well := make(chan struct{}), make(chan struct{})
	looking, stop := context.WithCancel(ctx)
	go w.looks(looking, well)
	end := func() {
		stop()
		if ctx.Err() == nil {
			close(gone)
		}
	}
	if !w.isWell(ctx, well) {
		end()
		return gone
	}
	go func() {
		defer end()
		for w.isWell(ctx, well) {
		}
	}()
	return gone
}

// isWell awaits the next look, and reports whether the token was there.
func (w *watch) isWell(ctx context.Context, well <-chan struct{}) bool {
	select {
	case _, ok := <-well:
		return ok
	case <-w.after(lookLimit + lookPatience):
		return false
	case <-ctx.Done():
		return false
	}
}

// looks sends on well after each look that found the token where it was, and closes it at the first that did not.
func (w *watch) looks(ctx context.Context, well chan<- struct{}) {
	defer close(well)
	on, err := w.lookout(w.reader)
	if err != nil {
		return
	}
	defer on.close()
	for known := uint32(0); ; {
		began := w.now()
		state, err := on.look(known, lookLimit)
		if errors.Is(err, errSame) {
			// The library does not wait for the counter to change from 0, and tells it all the same.
			state, err = cmp.Or(state, known), nil
		}
		if err != nil || !same(known, state) || asleep(began, w.now()) {
			return
		}
		known = state &^ stateChanged
		select {
		case well <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// same reports whether the card that was in the reader is there now; known is 0 at the first look. Who else uses it, and
// whether it has power, is of no importance.
func same(known, state uint32) bool {
	there := state&statePresent != 0 && state&stateAbsent == 0
	return there && (known == 0 || (known^state)&stateCounter == 0)
}

// asleep reports whether a look took longer than one does, by the wall clock, which goes on while the machine sleeps.
func asleep(began, ended time.Time) bool {
	return ended.Round(0).Sub(began.Round(0)) > lookLimit+lookPatience
}
