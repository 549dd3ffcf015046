// Finding tokens: every reader is looked into once, and those that are busy are waited for.

package hardware

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"
)

// How long a busy reader is waited for, and how often it is looked at.
const (
	sharingPatience = 2 * time.Second
	sharingPause    = 50 * time.Millisecond
	queuePatience   = time.Minute
	queuePause      = 20 * time.Millisecond
	// servicePatience is for a service that the system starts only when it is asked for.
	servicePatience = 10 * time.Second
)

// Built reports whether this program can reach tokens.
func Built() bool { return built }

// An opener opens tokens; what it is made of, tests replace.
type opener struct {
	system  system
	now     func() time.Time
	sleep   func(context.Context, time.Duration) error
	after   func(time.Duration) <-chan time.Time
	holders func() []string
	queue   func(reader string) lock
	awake   time.Duration
	// patience is how long the service may take to answer.
	patience time.Duration
}

// windowsPatience is less than the five seconds after which Windows resets a card that is taken and gets
// no commands (https://learn.microsoft.com/windows/win32/api/winscard/nf-winscard-scardbegintransaction).
const windowsPatience = 2 * time.Second

func newOpener() *opener {
	o := &opener{
		system:   newSystem(),
		now:      time.Now,
		sleep:    sleep,
		after:    time.After,
		holders:  holders,
		queue:    queueFor,
		patience: servicePatience,
	}
	if runtime.GOOS == "windows" {
		o.awake = windowsPatience
	}
	return o
}

// Open takes the token with that serial number for this program alone, until [Token.Close]. Serial 0 means
// the only one that is plugged in. It fails with [*NotFoundError], [*AmbiguousError], [*BusyError] after two seconds
// (a minute where this project's own programs have it), [*ServiceError] or [ErrNotBuilt], and gives up when ctx ends.
// A caller that has tokens open already names them as beside: nobody waits for their readers, and they count as present.
func Open(ctx context.Context, serial uint32, beside ...*Token) (*Token, error) {
	return newOpener().open(ctx, serial, beside...)
}

func (o *opener) open(ctx context.Context, serial uint32, beside ...*Token) (*Token, error) {
	readers, err := o.readers(ctx)
	if err != nil {
		return nil, err
	}
	s := search{opener: o, serial: serial}
	for _, t := range beside {
		s.present = append(s.present, t.serial)
		readers = slices.DeleteFunc(readers, func(reader string) bool { return reader == t.reader })
	}
	for _, reader := range readers {
		if s.look(ctx, reader, false) {
			return s.found, nil
		}
	}
	for _, reader := range s.waiting {
		if s.look(ctx, reader, true) {
			return s.found, nil
		}
	}
	return s.result(ctx)
}

// search is one call of Open.
type search struct {
	*opener
	serial  uint32
	present []uint32
	waiting []string // readers that were busy
	found   *Token
	failed  error // of a reader whose token may have been the one
}

// look opens the token in one reader, and reports whether it is the one. A reader that fails ends no search: the
// token may be in another.
func (s *search) look(ctx context.Context, reader string, patient bool) bool {
	t, err := s.take(ctx, reader, patient)
	switch {
	case errors.As(err, new(*BusyError)) && !patient:
		s.waiting = append(s.waiting, reader)
	case err != nil && s.failed == nil:
		s.failed = err
	}
	if t == nil {
		return false
	}
	s.present = append(s.present, t.serial)
	if s.found != nil || s.serial != 0 && s.serial != t.serial {
		_ = t.Close()
		return false
	}
	s.found = t
	return s.serial != 0
}

// result is that of a search through all readers. Any token will do only if there is no other, not
// even a busy one.
func (s *search) result(ctx context.Context) (*Token, error) {
	slices.Sort(s.present)
	err := s.failed
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case s.serial == 0 && len(s.present) > 1:
		err = &AmbiguousError{s.present}
	case s.found != nil && !errors.As(err, new(*BusyError)):
		return s.found, nil
	case err == nil:
		err = &NotFoundError{s.serial, s.present}
	}
	if s.found != nil {
		_ = s.found.Close()
	}
	return nil, err
}

// readers also finds out whether the service answers at all: it does so at once, unless it hangs.
func (o *opener) readers(ctx context.Context) ([]string, error) {
	limited, cancel := context.WithTimeout(ctx, o.patience)
	defer cancel()
	readers, err := await(limited, o.system.readers, nil)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil && err != nil:
		return nil, &ServiceError{codeTimeout}
	case err != nil:
		return nil, explain(0, "listing smart card readers", err)
	}
	return readers, nil
}

// take opens the token in a reader. There is no token, and no error, where the reader is empty or its card
// has no PIV applet.
func (o *opener) take(ctx context.Context, reader string, patient bool) (*Token, error) {
	place := o.queue(reader)
	c, err := o.connect(ctx, reader, place, patient)
	if err != nil {
		place.release()
		if errors.As(err, new(*RemovedError)) || errors.Is(err, errNotFound) || errors.As(err, new(statusError)) || errors.Is(err, codeProtocol) {
			return nil, nil
		}
		return nil, err
	}
	t := &Token{
		card: c, reader: reader, after: o.after, awake: o.awake, place: place, pukLeft: -1, lookout: o.system.lookout,
		turn: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	t.firmware = c.firmware()
	t.serial, err = await(ctx, c.serial, func(uint32) { _ = t.Close() })
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil, err // the token is closed when it answers
	}
	if hasNoSerial(err) {
		t.serial, err = 0, nil
	}
	if err != nil {
		_ = t.Close()
		if err = explain(t.serial, "asking for the serial number", err); errors.As(err, new(*RemovedError)) {
			return nil, nil
		}
		return nil, err
	}
	return t, nil
}

// hasNoSerial reports whether a token has answered that it knows no such question. Tokens of other makers may
// have no serial number: 0 then, which only "any token" finds. Any other refusal says nothing of that, and a key
// with such a record would not be found again.
func hasNoSerial(err error) bool {
	var status statusError
	if !errors.As(err, &status) {
		return errors.Is(err, errNotFound)
	}
	return slices.Contains([]statusError{statusUnknown, statusUnknownClass, statusUnsupported}, status)
}

// connect waits for the programs of this project first, then for others.
func (o *opener) connect(ctx context.Context, reader string, place lock, patient bool) (card, error) {
	busy := func() error { return &BusyError{reader, o.holders()} }
	for until := o.now().Add(queuePatience); !place.acquire(); {
		if !patient || !o.now().Before(until) {
			return nil, busy()
		}
		if err := o.sleep(ctx, queuePause); err != nil {
			return nil, err
		}
	}
	for until := o.now().Add(sharingPatience); ; {
		c, err := await(ctx, func() (card, error) { return o.system.open(reader) }, closeLate)
		if !errors.Is(err, codeSharing) {
			return c, explain(0, "opening the token in reader "+reader, err)
		}
		if !patient || !o.now().Before(until) {
			return nil, busy()
		}
		if err := o.sleep(ctx, sharingPause); err != nil {
			return nil, err
		}
	}
}

// await runs a call that nothing can end before its time, and leaves it to itself when ctx ends: what it still
// comes to, late gets, which may be nil. A panic of the library is an error.
func await[T any](ctx context.Context, call func() (T, error), late func(T)) (T, error) {
	type outcome struct {
		answer T
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		o.err = guard(func() (err error) {
			o.answer, err = call()
			return err
		})
		done <- o
	}()
	select {
	case o := <-done:
		return o.answer, o.err
	case <-ctx.Done():
		go func() {
			if o := <-done; late != nil {
				late(o.answer)
			}
		}()
		var none T
		return none, ctx.Err()
	}
}

// closeLate gives a card back that nobody waits for any more; nil is none.
func closeLate(c card) {
	if c != nil {
		_ = guard(c.close)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
