// The system's word before it sleeps: a message bus of the test's own, and a logind on it that is none.

package keeper

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/cargo-regkey/regkey/internal/agent"
)

const busConfiguration = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>`

// startBus starts a message bus, and has everybody in this test take it for the system's.
func startBus(t *testing.T) {
	t.Helper()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("there is no dbus-daemon: install dbus")
	}
	dir, err := os.MkdirTemp("", "regkey-bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, busConfiguration, filepath.Join(dir, "bus")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config-file="+file, "--nofork", "--print-address")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed, and says so
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", strings.TrimSpace(address))
}

// A fakeLogin is on the bus by logind's name.
type fakeLogin struct {
	bus      *dbus.Conn
	inhibits chan inhibitor
}

// An inhibitor is a pipe: when who holds the end that was given away closes it, the machine may sleep.
type inhibitor struct {
	ours  *os.File // which is at its end then
	given int      // this process closes its own copy when the holder has one
}

// Inhibit is what logind offers to those who want to be waited for.
func (l *fakeLogin) Inhibit(what, _, _, mode string) (dbus.UnixFD, *dbus.Error) {
	if what != "sleep" || mode != "delay" {
		return 0, dbus.MakeFailedError(fmt.Errorf("inhibiting %q by %q", what, mode))
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, dbus.MakeFailedError(err)
	}
	fd, err := unix.Dup(int(w.Fd()))
	if err != nil {
		return 0, dbus.MakeFailedError(err)
	}
	_ = w.Close()
	l.inhibits <- inhibitor{r, fd}
	return dbus.UnixFD(fd), nil
}

// inhibited waits until somebody holds an inhibitor, and returns what is at its end when that one lets go.
func (l *fakeLogin) inhibited(t *testing.T) *os.File {
	t.Helper()
	i := within(t, "the wish to be waited for", l.inhibits)
	t.Cleanup(func() { _ = i.ours.Close() })
	pipe, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", i.given))
	if err != nil {
		t.Fatal(err)
	}
	// The holder is in this process too, so that three of its files are the pipe.
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		found, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		ends := 0
		for _, file := range found {
			if target, _ := os.Readlink(file); target == pipe {
				ends++
			}
		}
		if ends == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("who wanted to be waited for does not get what says so")
		}
	}
	if err := unix.Close(i.given); err != nil {
		t.Fatal(err)
	}
	return i.ours
}

func newFakeLogin(t *testing.T) *fakeLogin {
	t.Helper()
	bus, err := dbus.ConnectSystemBus()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	l := &fakeLogin{bus, make(chan inhibitor, 8)}
	if err := bus.Export(l, loginPath, loginManager); err != nil {
		t.Fatal(err)
	}
	if reply, err := bus.RequestName(loginName, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("taking logind's name: %v, %v", reply, err)
	}
	return l
}

func (l *fakeLogin) prepareForSleep(t *testing.T, before bool) {
	t.Helper()
	if err := l.bus.Emit(loginPath, loginManager+"."+sleepSignal, before); err != nil {
		t.Fatal(err)
	}
}

// patience bounds every wait for something that takes milliseconds, on the slowest machine.
const patience = 3 * time.Minute

// within waits for something that must come.
func within[T any](t *testing.T, what string, c <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-c:
	case <-time.After(patience):
		t.Fatalf("%s does not come", what)
	}
	return value
}

// TestSuspend: everything is dropped before the machine sleeps, which waits for that.
func TestSuspend(t *testing.T) {
	startBus(t)
	login := newFakeLogin(t)
	home, laptop := lab(t)
	ended := make(chan error, 1)
	ctx := t.Context()
	go func() { ended <- Serve(ctx, Options{Home: home, Suspend: Sleeps(ctx)}) }()
	client := awaitAgent(t, home)
	for range 2 {
		delay := login.inhibited(t)
		if err := client.Add(ctx, "laptop", laptop.Secret()); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Token(ctx, publish, nil); err != nil {
			t.Fatal(err)
		}
		login.prepareForSleep(t, true)
		released := make(chan struct{})
		go func() {
			_, _ = delay.Read(make([]byte, 1))
			close(released)
		}()
		within(t, "the leave to sleep", released)
		if _, err := client.Token(ctx, publish, nil); !errors.As(err, new(*agent.LockedError)) {
			t.Errorf("when the machine may sleep: %v", err)
		}
		login.prepareForSleep(t, false)
	}
	if err := client.Stop(ctx); err != nil {
		t.Error(err)
	}
	if err := within(t, "the end", ended); err != nil {
		t.Error(err)
	}
}

func awaitAgent(t *testing.T, home string) *agent.Client {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		client, err := agent.Reach(t.Context(), home)
		if err == nil {
			return client
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestNoBus: without one nothing is said and nothing fails; nor where the bus hangs.
func TestNoBus(t *testing.T) {
	home, _ := lab(t)
	for _, address := range []string{"unix:path=" + filepath.Join(home, "nothing"), "nonsense", "", hangingBus(t)} {
		t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
		ended := make(chan error, 1)
		ctx := t.Context()
		go func() { ended <- Serve(ctx, Options{Home: home, Suspend: Sleeps(ctx)}) }()
		client := awaitAgent(t, home)
		if _, err := client.Status(ctx); err != nil {
			t.Errorf("%q: %v", address, err)
		}
		if err := client.Stop(ctx); err != nil {
			t.Errorf("%q: %v", address, err)
		}
		if err := within(t, "the end", ended); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// hangingBus takes connections and says nothing.
func hangingBus(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 8)); err != nil {
		t.Fatal(err)
	}
	return "unix:path=" + path
}

// TestClockJump: the clocks alone tell, at the next request, and at the next patrol without one.
func TestClockJump(t *testing.T) {
	home, laptop := lab(t)
	asleep := make(chan time.Duration, 1)
	asleep <- 0
	clocks := func() (time.Time, time.Duration) {
		slept := <-asleep
		asleep <- slept
		return time.Unix(0, 0).Add(slept), 0
	}
	ended := make(chan error, 1)
	ctx := t.Context()
	go func() { ended <- Serve(ctx, Options{Home: home, Clocks: clocks, Patrol: time.Hour}) }()
	client := awaitAgent(t, home)
	if err := client.Add(ctx, "laptop", laptop.Secret()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Token(ctx, publish, nil); err != nil {
		t.Fatal(err)
	}
	asleep <- <-asleep + time.Hour
	if _, err := client.Token(ctx, publish, nil); !errors.As(err, new(*agent.LockedError)) {
		t.Errorf("after an hour asleep: %v", err)
	}
	if err := client.Stop(ctx); err != nil {
		t.Error(err)
	}
	if err := within(t, "the end", ended); err != nil {
		t.Error(err)
	}

	quick := Options{Home: home, Clocks: clocks, Patrol: time.Millisecond}
	quick.fill()
	c := begin(t, quick)
	c.addKey(t, "laptop", laptop)
	held := c.vault.use(slot{key: "laptop"}).secret
	asleep <- <-asleep + time.Hour
	c.lookAtClocks()
	if err := held.Use(func([]byte) error { return nil }); err == nil {
		t.Error("it was not wiped")
	}
}
