//go:build cgo && linux

// The daemon that the tests of this package share: libpcsclite reads the socket's path once in a process.

package hardware

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/internal/virtualpiv/pcsc"
)

var daemon *pcsc.Daemon

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if dir := os.Getenv(envPCSCD); dir != "" {
		if err := os.Setenv("PCSCLITE_CSOCK_NAME", filepath.Join(dir, "pcscd.comm")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "hw")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if daemon, err = pcsc.Start(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer daemon.Close()
	for name, value := range map[string]string{"PCSCLITE_CSOCK_NAME": daemon.Socket(), "XDG_CACHE_HOME": dir} {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// The firmware versions that have their own ways.
var (
	v435 = [3]byte{4, 3, 5}
	v527 = [3]byte{5, 2, 7}
	v543 = [3]byte{5, 4, 3}
	v574 = [3]byte{5, 7, 4}
)

var firmwares = [][3]byte{v435, v527, v543, v574}

const testSerial = 12345678

// insert plugs a token in for one test.
func insert(t testing.TB, o virtualpiv.Options) (*virtualpiv.Card, string) {
	t.Helper()
	if o.Serial == 0 {
		o.Serial = testSerial
	}
	card := virtualpiv.New(o)
	name := fmt.Sprintf("Yubico YubiKey CCID %d %.60s", o.Serial, t.Name())
	daemon.Insert(name, card)
	t.Cleanup(func() { daemon.Remove(name) })
	return card, name
}

// open opens a token through the real library.
func open(t testing.TB, serial uint32) *Token {
	t.Helper()
	token, err := Open(t.Context(), serial)
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	t.Cleanup(func() {
		if err := token.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return token
}

// never is a clock by which nothing takes long enough to be told of.
func never(time.Duration) <-chan time.Time { return nil }

// atOnce is a clock by which everything does.
func atOnce(time.Duration) <-chan time.Time {
	c := make(chan time.Time, 1)
	c <- time.Time{}
	return c
}

func version(v [3]byte) Version { return Version{Major: v[0], Minor: v[1], Patch: v[2]} }
