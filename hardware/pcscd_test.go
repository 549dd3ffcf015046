//go:build cgo && linux

// Watching a token behind the real pcscd, with a virtual card that comes and goes.

package hardware

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/lab"
	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/internal/virtualpiv/vpcd"
)

// envPCSCD names the folder of the real daemon, for a test process that has one to itself.
const envPCSCD = "REGKEY_TEST_PCSCD"

// In the way in which its card can be pulled, the driver listens on all addresses. So there is a network with nobody else in it.
func TestGoneBehindPCSCD(t *testing.T) {
	if os.Getenv(envPCSCD) != "" {
		goneBehindPCSCD(t)
		return
	}
	if err := lab.RealDaemonTools(); err != nil {
		t.Skipf("this test needs the real pcscd with a virtual reader, and %v", err)
	}
	if output, err := exec.CommandContext(t.Context(), "unshare", "-rn", "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Skipf("this test needs a network of its own (unshare, ip): %v: %s", err, output)
	}
	dir, err := os.MkdirTemp("", "pcscd") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const alone = `ip link set lo up && exec "$0" -test.run '^TestGoneBehindPCSCD$' -test.v`
	inside := exec.CommandContext(t.Context(), "unshare", "-rn", "sh", "-c", alone, os.Args[0])
	inside.Env = append(os.Environ(), envPCSCD+"="+dir, "XDG_CACHE_HOME="+dir)
	if output, err := inside.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

// vpcdPort is the driver's; its second slot takes the next.
const vpcdPort = "35963"

func goneBehindPCSCD(t *testing.T) {
	service, err := lab.StartDaemon(t.Context(), os.Getenv(envPCSCD), "/dev/null:"+vpcdPort)
	if err != nil {
		t.Fatal(err)
	}
	stop := func() {
		if err := service.Stop(); err != nil {
			t.Error(err)
		}
	}
	card := poweredCard{virtualpiv.New(virtualpiv.Options{Serial: testSerial}), make(chan struct{})}
	pull := plug(t, card)
	token := awaitOpen(t)
	gone := goneUnhurried(t, token)
	giveBack(t, token)
	<-card.power // goes some seconds after the last program has left
	token = awaitOpen(t)
	giveBack(t, token)
	if isGone(gone) {
		t.Fatalf("gone, though it was never pulled\n%s", service.Log())
	}
	pull()
	<-gone

	pull = plug(t, card)
	token = awaitOpen(t)
	gone = token.Gone(t.Context())
	giveBack(t, token)
	pull()
	pull = plug(t, card)
	defer pull()
	<-gone

	token = awaitOpen(t)
	gone = token.Gone(t.Context())
	giveBack(t, token)
	stop()
	<-gone
}

// plug dials the reader until it is there, and serves the card until pull is called.
func plug(t *testing.T, card poweredCard) (pull func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil && vpcd.Dial(ctx, "127.0.0.1:"+vpcdPort, card) != nil {
			pause(ctx)
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

func pause(ctx context.Context) {
	_ = sleep(ctx, 20*time.Millisecond)
}

// awaitOpen opens the token as soon as the service knows it.
func awaitOpen(t *testing.T) *Token {
	t.Helper()
	for {
		token, err := Open(t.Context(), testSerial)
		if err == nil {
			return token
		}
		if !errors.As(err, new(*NotFoundError)) && !errors.As(err, new(*ServiceError)) {
			t.Fatal(err)
		}
		pause(t.Context())
	}
}

func giveBack(t *testing.T, token *Token) {
	t.Helper()
	if err := token.Close(); err != nil {
		t.Fatal(err)
	}
}

// A poweredCard tells when its power goes, or comes, where somebody listens.
type poweredCard struct {
	*virtualpiv.Card
	power chan struct{}
}

func (c poweredCard) Reset() {
	c.Card.Reset()
	select {
	case c.power <- struct{}{}:
	default:
	}
}
