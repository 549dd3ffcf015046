//go:build cgo && linux

// Finding tokens: which, how many, and who is in the way.

package hardware

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/keys"
)

func TestOpenFindsTheToken(t *testing.T) {
	for _, firmware := range firmwares {
		card, reader := insert(t, virtualpiv.Options{Firmware: firmware, Serial: 1001})
		other, _ := insert(t, virtualpiv.Options{Firmware: firmware, Serial: 1002})
		token := open(t, 1002)
		if token.Serial() != 1002 || token.Firmware() != version(firmware) {
			t.Errorf("serial %d, firmware %v", token.Serial(), token.Firmware())
		}
		if card.Verified() || other.Verified() || daemon.Open(reader) != 0 {
			t.Error("the token that was not meant is still open")
		}
		if err := token.Close(); err != nil {
			t.Fatal(err)
		}
		daemon.Remove(reader)
	}
}

func TestOpenSaysWhichThereAre(t *testing.T) {
	var none *NotFoundError
	if _, err := Open(t.Context(), 0); !errors.As(err, &none) || none.Present != nil {
		t.Errorf("no token: %v", err)
	}
	_, reader := insert(t, virtualpiv.Options{Serial: 1001})
	if token := open(t, 0); token.Serial() != 1001 {
		t.Errorf("the only token: %d", token.Serial())
	} else if err := token.Close(); err != nil {
		t.Fatal(err)
	}
	insert(t, virtualpiv.Options{Serial: 1002})
	if _, err := Open(t.Context(), 7); !errors.As(err, &none) || none.Serial != 7 || !slices.Equal(none.Present, []uint32{1001, 1002}) {
		t.Errorf("another token: %v", err)
	}
	var two *AmbiguousError
	if _, err := Open(t.Context(), 0); !errors.As(err, &two) || !slices.Equal(two.Serials, []uint32{1001, 1002}) {
		t.Errorf("two tokens: %v", err)
	}
	daemon.Eject(reader)
	if token := open(t, 0); token.Serial() != 1002 {
		t.Errorf("beside an empty reader: %d", token.Serial())
	}
}

// clock is one that sleeping moves.
type clock struct {
	time   time.Time
	slept  time.Duration
	during func(slept time.Duration)
}

func (c *clock) now() time.Time { return c.time }

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.time, c.slept = c.time.Add(d), c.slept+d
	if c.during != nil {
		c.during(c.slept)
	}
	return ctx.Err()
}

// timed is an opener with a clock of its own.
func timed(c *clock) *opener {
	o := newOpener()
	o.now, o.sleep = c.now, c.sleep
	o.holders = func() []string { return []string{"scdaemon (process 4711)"} }
	return o
}

func TestOpenWaitsForOtherPrograms(t *testing.T) {
	card, reader := insert(t, virtualpiv.Options{})
	daemon.Occupy(reader, -1)
	c := &clock{}
	var busy *BusyError
	if _, err := timed(c).open(t.Context(), testSerial); !errors.As(err, &busy) || busy.Reader != reader || len(busy.Holders) != 1 {
		t.Errorf("busy for good: %v", err)
	}
	if c.slept < sharingPatience || c.slept > sharingPatience+sharingPause {
		t.Errorf("waited %v", c.slept)
	}
	if len(card.Log()) != 0 {
		t.Errorf("a card that was not ours got %v", card.Log())
	}
	if _, err := timed(c).open(t.Context(), 0); !errors.As(err, &busy) {
		t.Errorf("busy, any token: %v", err)
	}
	daemon.Occupy(reader, 0)
	insert(t, virtualpiv.Options{Serial: 1002})
	daemon.Occupy(reader, -1)
	if _, err := timed(&clock{}).open(t.Context(), 0); !errors.As(err, &busy) {
		t.Errorf("it is not known that the other token is the only one: %v", err)
	}
	c = &clock{}
	if token, err := timed(c).open(t.Context(), 1002); err != nil || c.slept != 0 || token.Close() != nil {
		t.Errorf("another token, after %v: %v", c.slept, err)
	}
	c = &clock{during: func(slept time.Duration) {
		if slept >= time.Second {
			daemon.Occupy(reader, 0)
		}
	}}
	token, err := timed(c).open(t.Context(), testSerial)
	if err != nil || c.slept != time.Second {
		t.Fatalf("free after %v: %v", c.slept, err)
	}
	if err := token.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	daemon.Occupy(reader, -1)
	if _, err := timed(&clock{during: func(time.Duration) { cancel() }}).open(ctx, testSerial); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestOpenWaitsForItsOwn(t *testing.T) {
	insert(t, virtualpiv.Options{})
	first := open(t, testSerial)
	var busy *BusyError
	c := &clock{}
	if _, err := timed(c).open(t.Context(), testSerial); !errors.As(err, &busy) || c.slept < queuePatience {
		t.Errorf("held for good, waited %v: %v", c.slept, err)
	}
	c = &clock{during: func(slept time.Duration) {
		if slept >= 30*time.Second {
			_ = first.Close()
		}
	}}
	second, err := timed(c).open(t.Context(), testSerial)
	if err != nil {
		t.Fatalf("after %v: %v", c.slept, err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

func TestTwoAtOneToken(t *testing.T) {
	card, _ := insert(t, virtualpiv.Options{})
	token := open(t, testSerial)
	key, err := token.Generate(t.Context(), GenerateOptions{PIN: PINAlways, Touch: TouchNever})
	if err != nil || token.Close() != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			token, err := Open(t.Context(), testSerial)
			if err != nil {
				t.Errorf("opening: %v", err)
				return
			}
			defer token.Close()
			signer := token.Signer(key, &person{pin: pin123})
			var both sync.WaitGroup
			for range 2 {
				both.Go(func() {
					if _, err := keys.Sign(t.Context(), signer, longMessage); err != nil {
						t.Errorf("signing: %v", err)
					}
				})
			}
			both.Wait()
		})
	}
	all.Wait()
	if card.PINTries() != 3 || card.Verified() {
		t.Errorf("%d tries left, verified: %v", card.PINTries(), card.Verified())
	}
}

// brokenSystem is where no reader can be asked for.
type brokenSystem struct{ err error }

func (s brokenSystem) readers() ([]string, error) { return nil, s.err }
func (s brokenSystem) open(string) (card, error)  { return nil, s.err }

func (s brokenSystem) lookout(string) (lookout, error) { return nil, s.err }

func TestServiceIsMissing(t *testing.T) {
	for _, code := range []readerError{codeNoService, codeServiceStopped, codeDenied} {
		o := newOpener()
		o.system = brokenSystem{code}
		var service *ServiceError
		if _, err := o.open(t.Context(), 0); !errors.As(err, &service) || service.Remedy() == "" {
			t.Errorf("opening: %v", err)
		}
		if _, err := o.list(t.Context()); !errors.As(err, &service) {
			t.Errorf("listing: %v", err)
		}
	}
}

// strangeSystem has readers that fail in ways of their own, and behind them the real ones.
type strangeSystem struct {
	system
	errors map[string]error
}

func (s strangeSystem) readers() ([]string, error) {
	real, err := s.system.readers()
	return append([]string{"a", "b", "c", "d", "e"}, real...), err
}

func (s strangeSystem) open(reader string) (card, error) {
	if err := s.errors[reader]; err != nil {
		return nil, err
	}
	return s.system.open(reader)
}

func TestOpenPassesOverStrangeReaders(t *testing.T) {
	insert(t, virtualpiv.Options{})
	o := newOpener()
	o.system = strangeSystem{o.system, map[string]error{
		"a": codeNoCard, "b": errNotFound, "c": statusUnknown, "d": codeProtocol, "e": errors.New("an answer that makes no sense"),
	}}
	for _, serial := range []uint32{testSerial, 0} {
		token, err := o.open(t.Context(), serial)
		if err != nil || token.Close() != nil {
			t.Errorf("serial %d: %v", serial, err)
		}
	}
	if _, err := o.open(t.Context(), 7); err == nil || errors.As(err, new(*NotFoundError)) {
		t.Errorf("a token that may be in a reader that failed: %v", err)
	}
	list, err := o.list(t.Context())
	if err != nil || len(list) != 2 || list[0].Err == nil || list[1].Serial != testSerial {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestHolders(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	proc := fstest.MapFS{
		"1/comm": file("init\n"), "1/stat": file("1 (init) S 0 1"),
		"20/comm": file("cargo\n"), "20/stat": file("20 (cargo) S 1 1"),
		"30/comm": file("regkey\n"), "30/stat": file("30 (reg) key) S 20 1"),
		"40/comm": file("scdaemon\n"), "50/comm": file("cargo\n"), "60/comm": file("bash\n"),
		"self/comm": file("cargo\n"), "70/stat": file("70 (gone) Z 1"),
	}
	want := []string{"scdaemon (process 40)", "cargo (process 50)"}
	if got := holdersIn(proc, 30); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := holdersIn(fstest.MapFS{}, 30); got != nil {
		t.Errorf("without /proc: %q", got)
	}
}

// A card that can't be opened is given back at once, for others to use: cards of another kind lie in readers for hours.
func TestFailedOpenGivesTheCardBack(t *testing.T) {
	for name, fault := range map[string]virtualpiv.Fault{
		"no PIV applet":       {Kind: virtualpiv.Answer, Instruction: 0xa4, Status: 0x6a82, Always: true},
		"selecting refused":   {Kind: virtualpiv.Answer, Instruction: 0xa4, Status: 0x6985},
		"no version":          {Kind: virtualpiv.Answer, Instruction: 0xfd, Status: 0x6d00},
		"pulled at SELECT":    {Kind: virtualpiv.PulledBefore, Instruction: 0xa4},
		"pulled in an answer": {Kind: virtualpiv.PulledAfter, Instruction: 0xfd},
	} {
		card, reader := insert(t, virtualpiv.Options{})
		card.Order(fault)
		if _, err := Open(t.Context(), testSerial); err == nil {
			t.Errorf("%s: opened", name)
		}
		if n := daemon.Open(reader); n != 0 {
			t.Errorf("%s: %d connections are left", name, n)
		}
		card.Forgive()
		daemon.Insert(reader, card)
		if err := open(t, testSerial).Close(); err != nil {
			t.Errorf("%s, then: %v", name, err)
		}
		daemon.Remove(reader)
	}
}
