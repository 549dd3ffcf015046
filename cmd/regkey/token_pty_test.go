//go:build unix

// The terminal on which regkey token asks, whose standard streams are the provider's pipes.

package main

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asksForPIN is regkey token at its first question, and the end of its standard output that the
// provider reads.
func asksForPIN(t *testing.T, cards string) (*session, *os.File) {
	t.Helper()
	tokens := plug(t, cards)
	s := onTerminalWith(t, environOf(tokens, "dumb"), "init", "yk", "--hardware", "--touch", "never")
	s.expect("PIN of YubiKey 12345678")
	s.typed("123456\r")
	if code := s.exit(); code != 0 {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
	const index = "sparse+https://crates.example.com/index/"
	enrolByHand(t, s.home, index)

	s = newSession(t, append(environOf(tokens, "dumb"), "REGKEY_AGENT=off"), "token", "--index", index).at(s.home)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stdin = strings.NewReader(`{"operation":"yank","name":"foo","vers":"1.2.3"}` + "\n")
	s.cmd.Stdout = in
	s.start()
	_ = in.Close()
	t.Cleanup(func() { _ = out.Close() })
	s.expect("yank foo 1.2.3 at lab with key yk: PIN of YubiKey 12345678: ")
	if s.lflag()&unix.ECHO != 0 {
		t.Error("the question shows while the terminal still echoes")
	}
	return s, out
}

func (s *session) lflag() uint32 {
	s.t.Helper()
	settings, err := unix.IoctlGetTermios(int(s.tty.Fd()), termiosRequest)
	if err != nil {
		s.t.Fatal(err)
	}
	return uint32(settings.Lflag)
}

// Whoever waits for the token is killed: the terminal echoes again.
func TestTokenEndsWithTheProvider(t *testing.T) {
	s, out := asksForPIN(t, "name=yk1,serial=12345678,firmware=5.7.4")
	before := s.lflag() | unix.ECHO
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if code := s.exit(); code == 0 {
		t.Error("it tells nobody, and calls that a success")
	}
	if after := s.lflag(); after != before {
		t.Errorf("the terminal is left as %x instead of %x", after, before)
	}
}

// The last tries want a plain yes, which nothing but a yes is.
func TestTokenAsksBeforeLastTries(t *testing.T) {
	s, _ := asksForPIN(t, "name=yk1,serial=12345678,firmware=5.7.4")
	s.typed("999999\r")
	s.expect("wrong PIN: 2 tries are left")
	s.expect("Spend one? (y/n) ")
	s.forget()
	s.typed("\r")
	s.expect("Spend one? (y/n) ")
	s.typed("n\r")
	if code := s.exit(); code != exitCancelled {
		t.Errorf("exit code %d: %q", code, s.shown())
	}
	if s.lflag()&unix.ECHO == 0 {
		t.Error("the terminal is not as it was")
	}
}
