//go:build cgo && linux

// One daemon for the whole test process, because the library reads the socket's path once.

package pcsc_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/cargo-regkey/regkey/internal/virtualpiv/pcsc"
)

// daemon is the stand-in that every test inserts its own readers into.
var daemon *pcsc.Daemon

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pcsc")
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
	if err := os.Setenv("PCSCLITE_CSOCK_NAME", daemon.Socket()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
