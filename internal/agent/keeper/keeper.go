// Package keeper is the agent itself: the process that keeps what a person has unlocked, and mints
// cargo tokens with it for package agent's clients.
//
// It keeps the PASERK texts of software keys, the PINs of hardware tokens, and, for some seconds
// after a signature, a token that is open. It writes each cargo token itself, for a registry at which
// its user has enrolled, with the key that this enrolment names, both as the files say at that
// moment. There is no request by which it would sign bytes, a keyset or a revocation: whatever runs
// as the user can reach it, and trust must not change without a person.
//
// What it keeps lies in locked memory (package lockedmemory), and is dropped some time after its
// last use, some hours after it was added, on "lock", when the machine is suspended, and a PIN when
// its token is pulled. For each signature a key is parsed, and its parsed form, like a line that a
// client has sent and a PIN on its way to the card, is on Go's heap for a while, where nothing can be
// wiped for certain. What this package made there it overwrites. The rest goes with the collection
// that [Options.Idle] makes a second after the last request: an agent that [agent.Start] has started
// runs with a collector that overwrites what it frees. Copies on stacks, and in registers that
// were saved, nobody can find.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/keys"
)

// Options say whom an agent serves, and how.
type Options struct {
	Home     string   // regkey's folder
	Settings Settings // zero: as [DefaultSettings]
	Tokens   Tokens   // how hardware is reached; nil: not at all
	// Confirm asks a person whether what the description says may be signed; an error is a no. It is
	// needed only where the settings want it: nil then refuses every mutation.
	Confirm func(ctx context.Context, description string) error
	// Log is told what was asked by whom and what came of it, nothing secret. nil: nobody.
	Log *slog.Logger
	// Idle is called when nothing was asked for a second, and when everything was locked. It is for
	// collecting garbage and giving memory back, as [GiveBack] does; nil: nothing.
	Idle func()

	Now     func() time.Time                           // for what tokens state; nil: [time.Now]
	Clocks  func() (wall time.Time, run time.Duration) // nil: the system's; see [clocks]
	Suspend <-chan func()                              // whatever comes there drops everything, and is called then; see [Sleeps]; nil: nothing comes
	Patrol  time.Duration                              // how often it looks whether it is still the agent; 0: 5 s
}

const (
	defaultPatrol = 5 * time.Second
	idlePause     = time.Second
	// partingPatience is for answers that are still under way when the agent ends.
	partingPatience = 2 * time.Second
)

// ErrTaken says that another process is the agent.
var ErrTaken = errors.New("another agent runs")

// A keeper is a running agent.
type keeper struct {
	Options
	place    agent.Place
	store    *keys.Store
	since    time.Time
	vault    *vault
	sessions *sessions
	room     waitingRoom
	clocks   *clocks
	crowd    chan struct{} // requests that wait for a person or a card
	asking   chan struct{} // one person is asked one thing at a time
	quiet    *time.Timer

	stop chan struct{} // somebody asked it to end
	gone chan struct{} // everything is dropped, and the socket too
	once sync.Once
}

// Serve is the agent until ctx ends, somebody stops it, it has held nothing for the time that the
// settings say, or its socket is gone. It takes the place of an agent that has died. It fails with
// [ErrTaken] where another lives. When it returns everything is dropped.
func Serve(ctx context.Context, o Options) error {
	o.fill()
	k := newKeeper(o)
	if err := k.place.Prepare(); err != nil {
		return fmt.Errorf("becoming the agent: %w", err)
	}
	s, err := takeStand(ctx, k.place)
	if err != nil {
		return fmt.Errorf("becoming the agent: %w", err)
	}
	k.Log.Info("listening", "socket", k.place.Socket)
	var handlers sync.WaitGroup
	handlers.Go(func() { k.accept(s.listener, &handlers) })
	why := k.watch(ctx, s)
	k.vault.close()
	s.leave()
	close(k.gone)
	k.Log.Info("ending", "because", why)
	k.room.empty()
	waitFor(&handlers, partingPatience)
	return nil
}

func (o *Options) fill() {
	if o.Settings == (Settings{}) {
		o.Settings = DefaultSettings()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Clocks == nil {
		o.Clocks = systemClocks()
	}
	if o.Patrol == 0 {
		o.Patrol = defaultPatrol
	}
	if o.Idle == nil {
		o.Idle = func() {}
	}
}

func newKeeper(o Options) *keeper {
	k := &keeper{
		Options: o,
		place:   agent.PlaceOf(o.Home),
		store:   keys.OpenStore(filepath.Join(o.Home, "keys")),
		since:   o.Now(),
		clocks:  newClocks(o.Clocks),
		crowd:   make(chan struct{}, maxCrowd),
		asking:  make(chan struct{}, 1),
		stop:    make(chan struct{}),
		gone:    make(chan struct{}),
	}
	k.sessions = &sessions{tokens: o.Tokens, desks: map[uint32]*desk{}}
	k.vault = newVault(o.Settings.TTL, o.Settings.Max, k.sessions)
	k.sessions.busy = func(more int) {
		k.vault.busy(more)
		k.quiet.Reset(idlePause) // closing a token takes memory too, seconds after the last request
	}
	k.quiet = time.AfterFunc(idlePause, o.Idle)
	return k
}

// watch waits for a reason to end, and drops everything when the machine was suspended.
func (k *keeper) watch(ctx context.Context, s *stand) (why string) {
	patrol := time.NewTicker(k.Patrol)
	defer patrol.Stop()
	defer k.quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return "it was told to"
		case <-k.stop:
			return "a client stopped it"
		case <-k.vault.abandoned:
			return "it held nothing"
		case done := <-k.Suspend:
			k.lock("the system is being suspended")
			done()
		case <-patrol.C:
			k.lookAtClocks()
			if !s.ours() {
				return "its socket is gone"
			}
		}
	}
}

// lookAtClocks drops everything where the machine was suspended since the last look. Each request
// looks first, as one may come before the system's own word.
func (k *keeper) lookAtClocks() {
	if k.clocks.jumped() {
		k.lock("the clocks say that the machine was suspended")
	}
}

// lock drops everything, and what is left of it on the heap.
func (k *keeper) lock(why string) {
	k.vault.lock()
	k.Idle()
	k.Log.Info("locked", "because", why)
}

// waitFor waits for a group, but not for ever.
func waitFor(group *sync.WaitGroup, patience time.Duration) {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
	}
}

// accept takes connections until the listener is closed.
func (k *keeper) accept(l net.Listener, handlers *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of file descriptors, most likely: whoever has waited longest without a word makes room.
			k.room.makeRoom()
			time.Sleep(10 * time.Millisecond)
			continue
		}
		who, err := peerOf(conn)
		if err != nil {
			k.Log.Warn("refused a connection", "because", err)
			_ = conn.Close()
			continue
		}
		k.room.enter(conn, who.PID)
		handlers.Go(func() { k.handle(conn, who) })
	}
}
