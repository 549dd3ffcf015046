//go:build unix

// Runs regkey on pseudo-terminals: one that never answers, forms on a full screen, and Ctrl-C.

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// patience bounds every wait for something that takes milliseconds, or a passphrase's second, on the slowest machine.
const patience = 3 * time.Minute

// A session is regkey on a terminal of its own: stdin, stdout and stderr.
type session struct {
	t        *testing.T
	terminal *os.File // the far end: what is written there was typed
	tty      *os.File
	home     string
	cmd      *exec.Cmd

	mu     sync.Mutex
	screen bytes.Buffer
	grown  chan struct{} // closed when screen grows; then there is another
}

// onTerminal starts regkey with those arguments. Nothing answers the terminal's own questions.
func onTerminal(t *testing.T, term string, args ...string) *session {
	t.Helper()
	return onTerminalWith(t, []string{"TERM=" + term}, args...)
}

func onTerminalWith(t *testing.T, environ []string, args ...string) *session {
	t.Helper()
	s := newSession(t, environ, args...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.tty, s.tty, s.tty
	s.start()
	return s
}

// newSession is regkey with a terminal, not started yet.
func newSession(t *testing.T, environ []string, args ...string) *session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	s := &session{t: t, home: filepath.Join(t.TempDir(), "home"), grown: make(chan struct{})}
	s.cmd = exec.CommandContext(ctx, "regkey", args...)
	s.cmd.Env = append(append([]string{"REGKEY_AGENT=off"}, environ...), "REGKEY_HOME="+s.home, "CARGO_HOME="+t.TempDir(), "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir())
	var err error
	if s.terminal, s.tty, err = pty.Open(); err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(s.terminal, &pty.Winsize{Rows: 30, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = s.terminal.Close(), s.tty.Close() })
	return s
}

// start runs it, with the terminal as the controlling one.
func (s *session) start() {
	s.t.Helper()
	s.cmd.ExtraFiles = []*os.File{s.tty} // which is number 3 there
	s.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go s.watch()
}

func (s *session) watch() {
	buffer := make([]byte, 4096)
	for {
		n, err := s.terminal.Read(buffer)
		s.mu.Lock()
		s.screen.Write(buffer[:n])
		close(s.grown)
		s.grown = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *session) shown() string {
	text, _ := s.look()
	return text
}

// look is what shows now, and what tells everybody who waits that more does.
func (s *session) look() (shown string, grown <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.screen.String(), s.grown
}

// expect waits until text shows.
func (s *session) expect(text string) {
	s.t.Helper()
	late := time.After(patience)
	for {
		shown, grown := s.look()
		if strings.Contains(shown, text) {
			return
		}
		select {
		case <-grown:
		case <-late:
			s.t.Fatalf("%q does not show:\n%q", text, shown)
		}
	}
}

func (s *session) typed(text string) {
	s.t.Helper()
	if _, err := s.terminal.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) signal(signal unix.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// exit waits for the end and returns the exit code. All that regkey has written shows by then.
func (s *session) exit() int {
	s.t.Helper()
	err := s.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	s.drain()
	return s.cmd.ProcessState.ExitCode()
}

// lastWord is what no program writes.
const lastWord = "\x00the end\x00"

// drain waits until the screen has all that was written to the terminal, which is read in its order.
func (s *session) drain() {
	s.t.Helper()
	if _, err := s.tty.WriteString(lastWord); err != nil {
		s.t.Fatal(err)
	}
	s.expect(lastWord)
	s.mu.Lock()
	defer s.mu.Unlock()
	before, after, _ := strings.Cut(s.screen.String(), lastWord)
	s.screen.Reset()
	s.screen.WriteString(before + after)
}

// made lists the secret files in the home.
func (s *session) made() []string {
	entries, _ := os.ReadDir(filepath.Join(s.home, "keys"))
	var names []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext == ".age" || ext == ".key" {
			names = append(names, e.Name())
		}
	}
	return names
}

// The terminal's library asks for the background colour and gives an answer 5 s; see package
// background.
func TestSilentTerminalDelaysNothing(t *testing.T) {
	least := patience
	for try := 0; try < 5 && least > 4*time.Second; try++ { // a machine that does something else delays it too, and not each time
		begun := time.Now()
		s := onTerminal(t, "xterm-256color", "version")
		if code := s.exit(); code != 0 {
			t.Fatalf("exit code %d: %q", code, s.shown())
		}
		least = min(least, time.Since(begun))
		if strings.Contains(s.shown(), "\x1b]11;?") {
			t.Errorf("the terminal was asked for its background colour: %q", s.shown())
		}
	}
	if least > 4*time.Second {
		t.Errorf("regkey version took %v on a terminal that answers no question", least)
	}
}

func TestFullScreen(t *testing.T) {
	s := onTerminal(t, "xterm-256color", "init", "--no-passphrase")
	s.expect("Name of the new key")
	s.typed("desk")
	s.expect("desk")
	s.typed("\r")
	if code := s.exit(); code != 0 {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
	s.expect("k4.public.")
	if _, err := os.Stat(filepath.Join(s.home, "keys", "desk.key")); err != nil {
		t.Error(err)
	}
}

func TestFullScreenPassphraseIsNotShown(t *testing.T) {
	s := onTerminal(t, "xterm-256color", "init", "desk", "--passphrase")
	s.expect("Passphrase for the new key desk")
	s.typed("hunter2\r")
	s.expect("The same again")
	s.typed("hunter2\r")
	s.expect("k4.public.")
	if code := s.exit(); code != 0 {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
	if strings.Contains(s.shown(), "hunter2") || strings.Contains(s.shown(), "***") {
		t.Errorf("the passphrase, or its length, shows: %q", s.shown())
	}
}

// The first answer is the best that works here; the last one is said loudly.
func TestFullScreenProtection(t *testing.T) {
	s := onTerminal(t, "xterm-256color", "init", "desk")
	s.expect("How is key desk to be protected?")
	s.expect("nothing: ANYONE WHO CAN READ THIS FILE CAN PUBLISH AS YOU")
	s.typed("\x1b[B") // down
	s.typed("\r")
	s.expect("warning: ANYONE WHO CAN READ THIS FILE CAN PUBLISH AS YOU")
	if code := s.exit(); code != 0 {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
	if _, err := os.Stat(filepath.Join(s.home, "keys", "desk.key")); err != nil {
		t.Error(err)
	}
}

// A terminal that does not say how large it is, as bare ones do not, still shows what is asked.
func TestTerminalWithoutASize(t *testing.T) {
	s := newSession(t, []string{"TERM=xterm"}, "init", "desk")
	if err := pty.Setsize(s.terminal, &pty.Winsize{}); err != nil {
		t.Fatal(err)
	}
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.tty, s.tty, s.tty
	s.start()
	s.expect("Enter a number between 1 and 2")
	s.typed("2\r")
	s.expect("desk (ed25519, unprotected)")
	if code := s.exit(); code != 0 {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
}

// Every way to say "never mind" ends with exit code 4 and changes nothing.
func TestCancel(t *testing.T) {
	const name, passphrase, protection = "Name of the new key", "Passphrase for the new key desk", "How is key desk to be protected"
	for _, test := range []struct {
		name, term string
		args       []string
		question   string
		keys       string // empty: SIGINT; "TERM": SIGTERM
	}{
		{"ctrl-c", "xterm", []string{"init", "--no-passphrase"}, name, "\x03"},
		{"esc", "xterm", []string{"init", "--no-passphrase"}, name, "\x1b"},
		{"ctrl-c at a passphrase", "xterm", []string{"init", "desk", "--passphrase"}, passphrase, "\x03"},
		{"signal", "xterm", []string{"init", "desk", "--passphrase"}, passphrase, ""},
		{"ctrl-c line by line", "dumb", []string{"init", "--no-passphrase"}, name, "\x03"},
		{"ctrl-d line by line", "dumb", []string{"init", "--no-passphrase"}, name, "\x04"},
		{"ctrl-c at a passphrase line by line", "dumb", []string{"init", "desk", "--passphrase"}, passphrase, "\x03"},
		{"ctrl-d at a passphrase line by line", "dumb", []string{"init", "desk", "--passphrase"}, passphrase, "\x04"},
		{"signal line by line", "dumb", []string{"init", "desk", "--passphrase"}, passphrase, ""},
		{"ctrl-c at the protection", "xterm", []string{"init", "desk"}, protection, "\x03"},
		{"esc at the protection", "xterm", []string{"init", "desk"}, protection, "\x1b"},
		{"signal at the protection", "xterm", []string{"init", "desk"}, protection, ""},
		{"ctrl-c at the protection line by line", "dumb", []string{"init", "desk"}, protection, "\x03"},
		{"ctrl-d at the protection line by line", "dumb", []string{"init", "desk"}, protection, "\x04"},
		{"termination", "xterm", []string{"init", "--no-passphrase"}, name, "TERM"},
		{"termination line by line", "dumb", []string{"init", "--no-passphrase"}, name, "TERM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := onTerminal(t, test.term, test.args...)
			s.expect(test.question)
			switch test.keys {
			case "":
				s.signal(unix.SIGINT)
			case "TERM":
				s.signal(unix.SIGTERM)
			default:
				s.typed(test.keys)
			}
			if code := s.exit(); code != exitCancelled {
				t.Errorf("exit code %d: %q", code, s.shown())
			}
			if made := s.made(); len(made) > 0 {
				t.Errorf("keys were made: %q", made)
			}
			settings, err := unix.IoctlGetTermios(int(s.tty.Fd()), termiosRequest)
			if err != nil {
				t.Fatal(err)
			}
			if settings.Lflag&unix.ECHO == 0 || settings.Lflag&unix.ICANON == 0 {
				t.Error("the terminal is not as it was")
			}
		})
	}
}

func TestNoColor(t *testing.T) {
	s := onTerminal(t, "xterm-256color", "init", "--no-passphrase")
	s.expect("Name of the new key")
	s.typed("\x03")
	s.exit()
	colourful := s.shown()
	if !strings.Contains(colourful, "\x1b[38;") && !strings.Contains(colourful, "\x1b[1;3") && !strings.Contains(colourful, "\x1b[9") {
		t.Fatalf("no colours to begin with: %q", colourful)
	}
	s = onTerminalWith(t, []string{"TERM=xterm-256color", "NO_COLOR=1"}, "init", "--no-passphrase")
	s.expect("Name of the new key")
	s.typed("\x03")
	s.exit()
	if strings.Contains(s.shown(), "\x1b[38;") || strings.Contains(s.shown(), "\x1b[9") {
		t.Errorf("colours in spite of NO_COLOR: %q", s.shown())
	}
}
