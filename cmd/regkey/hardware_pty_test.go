//go:build unix

// Tokens and the person before the terminal: PINs that are typed, touches that are waited for.

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/lab"
)

// plug plugs virtual tokens in until the test ends.
func plug(t *testing.T, cards ...string) *lab.Tokens {
	t.Helper()
	if noHardware != nil {
		t.Skipf("virtual tokens can't be used here: %v", noHardware)
	}
	dir, err := os.MkdirTemp("", "tokens")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	tokens, err := lab.Plug(t.Context(), fixtures, dir, cards...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tokens.Close() })
	return tokens
}

// at starts regkey in the home of another session, or in its own if that is nil.
func (s *session) at(home string) *session {
	for i, variable := range s.cmd.Env {
		if strings.HasPrefix(variable, "REGKEY_HOME=") {
			s.cmd.Env[i] = "REGKEY_HOME=" + home
		}
	}
	s.home = home
	return s
}

func environOf(tokens *lab.Tokens, term string) []string {
	return []string{"TERM=" + term, "PCSCLITE_CSOCK_NAME=" + tokens.Socket, "XDG_CACHE_HOME=" + filepath.Dir(tokens.Socket)}
}

func pinTries(t *testing.T, tokens *lab.Tokens) int {
	t.Helper()
	state, err := tokens.State("yk1")
	if err != nil {
		t.Fatal(err)
	}
	return state.PINTries
}

func TestTypedPIN(t *testing.T) {
	tokens := plug(t, "name=yk1,serial=12345678,firmware=5.7.4")
	for _, term := range []string{"xterm-256color", "dumb"} {
		s := onTerminalWith(t, environOf(tokens, term), "init", "yk", "--hardware", "--touch", "never")
		s.expect("PIN of YubiKey 12345678")
		s.typed("ccccccbchvthlivuitriujjifivbvtrjkjfirllluurf"[:44] + "\r")
		s.expectAfter("one-time password", "PIN of YubiKey 12345678")
		s.typed("999999\r")
		s.expectAfter("wrong PIN: 2 tries are left", "PIN of YubiKey 12345678")
		s.typed("123456\r")
		// The last try but one wants a plain yes.
		s.expect("Spend one?")
		if tries := pinTries(t, tokens); tries != 2 {
			t.Errorf("%d tries are left before the yes", tries)
		}
		s.typed("y")
		if term == "dumb" {
			s.typed("\r")
		}
		if code := s.exit(); code != 0 {
			t.Fatalf("exit code %d: %q", code, s.shown())
		}
		if tries := pinTries(t, tokens); tries != 3 {
			t.Errorf("%d tries are left after the right PIN", tries)
		}
		if shown := s.shown(); strings.Contains(shown, "999999") || strings.Contains(shown, "123456\r") {
			t.Errorf("a PIN shows: %q", shown)
		}
	}
}

// A no, or Ctrl-C, spends nothing and makes nothing.
func TestPINIsNotSpent(t *testing.T) {
	tokens := plug(t, "name=yk1,serial=12345678,firmware=5.4.3")
	s := onTerminalWith(t, environOf(tokens, "xterm-256color"), "init", "yk", "--hardware")
	s.expect("PIN of YubiKey 12345678")
	s.typed("999999\r")
	s.expectAfter("wrong PIN: 2 tries are left", "PIN of YubiKey 12345678")
	s.typed("123456\r")
	s.expect("Spend one?")
	s.typed("n")
	if code := s.exit(); code != exitCancelled {
		t.Errorf("exit code %d: %q", code, s.shown())
	}
	s = onTerminalWith(t, environOf(tokens, "xterm-256color"), "init", "yk", "--hardware")
	s.expect("PIN of YubiKey 12345678")
	s.typed("\x03")
	if code := s.exit(); code != exitCancelled {
		t.Errorf("exit code %d: %q", code, s.shown())
	}
	state, err := tokens.State("yk1")
	if err != nil || state.PINTries != 2 || len(state.Slots) != 0 {
		t.Errorf("the token has %+v: %v", state, err)
	}
}

func TestSetupOnTerminal(t *testing.T) {
	tokens := plug(t, "name=yk1,serial=12345678,firmware=5.7.4")
	s := onTerminalWith(t, environOf(tokens, "xterm-256color"), "hardware", "setup")
	for _, step := range []struct{ question, answer string }{
		{"New PIN", "739120"}, {"The same again", "739120"}, {"New PUK", "73912064"}, {"The same again", "73912064"},
	} {
		s.expect(step.question)
		s.forget()
		s.typed(step.answer + "\r")
	}
	if code := s.exit(); code != 0 {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
	state, err := tokens.State("yk1")
	if err != nil || state.Defaults.PIN || state.Defaults.PUK || state.Defaults.Management || state.Verified || state.Managed {
		t.Errorf("the token has %+v: %v", state, err)
	}
}

func TestOverwriteWantsTheSlotsName(t *testing.T) {
	tokens := plug(t, "name=yk1,serial=12345678,firmware=5.7.4")
	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte("123456\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := append(environOf(tokens, "xterm-256color"), "REGKEY_PIN_FILE="+pin)
	s := onTerminalWith(t, environ, "init", "yk", "--hardware")
	if code := s.exit(); code != 0 {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
	home := s.home
	for _, try := range []struct {
		typed string
		want  int
	}{{"yes", exitCancelled}, {"9a", 0}} {
		typed, want := try.typed, try.want
		s := newSession(t, environ, "init", "other", "--hardware", "--slot", "9a", "--force").at(home)
		s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.tty, s.tty, s.tty
		s.start()
		s.expect("called yk here, which would be destroyed for ever")
		s.expect("to overwrite it:")
		s.typed(typed + "\r")
		if code := s.exit(); code != want {
			t.Errorf("%q: exit code %d instead of %d: %q", typed, code, want, s.shown())
		}
	}
}

// The provider's pipes are standard input and output: all talk is with the terminal, and what is
// signed shows while the token waits for a finger, and is gone after it.
func TestTouchShowsWhatIsSigned(t *testing.T) {
	tokens := plug(t, "name=yk1,serial=12345678,firmware=5.7.4,finger=wait")
	s := onTerminalWith(t, environOf(tokens, "xterm-256color"), "init", "yk", "--hardware", "--touch", "always")
	s.expect("PIN of YubiKey 12345678")
	s.typed("123456\r")
	if code := s.exit(); code != 0 {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
	const index = "sparse+https://crates.example.com/index/"
	enrolByHand(t, s.home, index)

	s = newSession(t, environOf(tokens, "xterm-256color"), "token", "--index", index).at(s.home)
	var stdout, stderr bytes.Buffer
	s.cmd.Stdin = strings.NewReader(`{"operation":"publish","name":"foo","vers":"1.2.3","cksum":"ab12` + strings.Repeat("0", 60) + "\"}\n")
	s.cmd.Stdout, s.cmd.Stderr = &stdout, &stderr
	s.start()
	s.expect("publish foo 1.2.3 (sha256 ab12…) to lab with key yk: PIN of YubiKey 12345678:")
	s.typed("123456\r")
	s.expect("publish foo 1.2.3 (sha256 ab12…) to lab: touch your YubiKey 12345678")
	if err := tokens.Order("finger yes"); err != nil {
		t.Fatal(err)
	}
	s.expect("\r\x1b[J")
	if code := s.exit(); code != 0 {
		t.Fatalf("exit code %d: %q %q", code, stdout.String(), s.shown())
	}
	if !strings.HasPrefix(stdout.String(), "v4.public.") || strings.Count(stdout.String(), "\n") != 1 || stderr.Len() > 0 {
		t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
	}
}

// enrolByHand has the key yk sign for a registry that nobody asks.
func enrolByHand(t *testing.T, home, index string) {
	t.Helper()
	s := newSession(t, nil, "enroll", "--registry", index, "--name", "lab", "--key", "yk", "--manual", "--no-cargo-config", "--yes").at(home)
	s.start()
	if code := s.exit(); code != 0 {
		t.Fatalf("enrolling by hand: exit code %d", code)
	}
}

// expectAfter waits until text shows somewhere after first.
func (s *session) expectAfter(first, text string) {
	s.t.Helper()
	s.expect(first)
	late := time.After(patience)
	for {
		shown, grown := s.look()
		_, after, _ := strings.Cut(shown, first)
		if strings.Contains(after, text) {
			return
		}
		select {
		case <-grown:
		case <-late:
			s.t.Fatalf("%q does not show after %q:\n%q", text, first, after)
		}
	}
}

// forget has expect look only at what shows from now on.
func (s *session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.screen.Reset()
}
