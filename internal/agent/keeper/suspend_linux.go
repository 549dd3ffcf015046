// The machine's suspension, as systemd-logind announces it.

package keeper

import (
	"context"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// logind's names: org.freedesktop.login1(5).
const (
	loginName    = "org.freedesktop.login1"
	loginPath    = dbus.ObjectPath("/org/freedesktop/login1")
	loginManager = "org.freedesktop.login1.Manager"
	sleepSignal  = "PrepareForSleep"
)

// Sleeps returns a channel on which something comes before the machine is suspended, and again
// afterwards, as systemd-logind tells on the system bus (whose address DBUS_SYSTEM_BUS_ADDRESS can
// say). The machine waits, for the some seconds that logind grants, until the function that came was
// called. Where there is no such bus nothing ever comes. It ends with ctx.
func Sleeps(ctx context.Context) <-chan func() {
	sleeps := make(chan func())
	go func() {
		bus, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
		if err != nil {
			return
		}
		defer func() { _ = bus.Close() }()
		l := &sleepWatch{ctx: ctx, bus: bus, delay: -1}
		l.run(sleeps)
		l.letGo()
	}()
	return sleeps
}

// A sleepWatch listens on one bus.
type sleepWatch struct {
	ctx   context.Context
	bus   *dbus.Conn
	delay int // a file descriptor: while it is open the machine waits; -1 none
}

func (w *sleepWatch) run(sleeps chan<- func()) {
	signals := make(chan *dbus.Signal, 4)
	w.bus.Signal(signals)
	err := w.bus.AddMatchSignalContext(w.ctx, dbus.WithMatchSender(loginName), dbus.WithMatchObjectPath(loginPath),
		dbus.WithMatchInterface(loginManager), dbus.WithMatchMember(sleepSignal))
	if err != nil {
		return
	}
	w.hold()
	for {
		select {
		case <-w.ctx.Done():
			return
		case s, open := <-signals:
			if !open {
				return
			}
			if s.Name != loginManager+"."+sleepSignal {
				continue
			}
			if !w.pass(sleeps, s.Body) {
				return
			}
		}
	}
}

// pass has everything dropped before the machine sleeps, and once more when it is awake again.
func (w *sleepWatch) pass(sleeps chan<- func(), body []any) bool {
	done := make(chan struct{})
	select {
	case sleeps <- func() { close(done) }:
		<-done
	case <-w.ctx.Done():
		return false
	}
	if before, ok := body0(body); ok && !before {
		w.hold()
	} else {
		w.letGo()
	}
	return true
}

// body0 is the signal's only argument: true before, false after.
func body0(body []any) (before, ok bool) {
	if len(body) == 0 {
		return false, false
	}
	before, ok = body[0].(bool)
	return before, ok
}

// hold asks for a delay before the machine sleeps. Without one it may sleep a moment too early.
func (w *sleepWatch) hold() {
	w.letGo()
	var delay dbus.UnixFD
	call := w.bus.Object(loginName, loginPath).CallWithContext(w.ctx, loginManager+".Inhibit", 0,
		"sleep", "regkey", "Unlocked keys are dropped first", "delay")
	if call.Store(&delay) == nil {
		w.delay = int(delay)
		unix.CloseOnExec(w.delay)
	}
}

func (w *sleepWatch) letGo() {
	if w.delay >= 0 {
		_ = unix.Close(w.delay)
		w.delay = -1
	}
}
