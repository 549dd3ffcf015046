// A keyring that hangs.

//go:build unix

package keychaintest

import (
	"syscall"
	"testing"
)

// Suspend stops the keyring where it stands, so that it answers nobody, until Resume or Stop.
func (s *Session) Suspend(t testing.TB) { s.signal(t, syscall.SIGSTOP) }

// Resume lets the keyring go on.
func (s *Session) Resume(t testing.TB) { s.signal(t, syscall.SIGCONT) }

// SuspendBus stops the bus itself.
func (s *Session) SuspendBus(t testing.TB) {
	t.Helper()
	if err := s.bus.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

func (s *Session) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := s.keyring.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}
