// Questions on pseudo-terminals, and every way in which they end.

//go:build unix

package terminal_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// patience bounds every wait for something that takes milliseconds, on the slowest machine.
const patience = 3 * time.Minute

// A scene is a program of these tests on a terminal that is none of its standard streams.
type scene struct {
	t       *testing.T
	cmd     *exec.Cmd
	stdout  *os.File // the end that cargo reads
	report  *os.File
	master  *os.File
	tty     *os.File
	before  *term.State
	mu      sync.Mutex
	screen  bytes.Buffer
	changed chan struct{} // holds one token when the screen has changed
}

// prepare is a scene whose program is not started yet.
func prepare(t *testing.T, role string, environ ...string) *scene {
	t.Helper()
	s := &scene{t: t, changed: make(chan struct{}, 1)}
	var err error
	s.master, s.tty, err = pty.Open()
	check(t, err)
	s.before, err = term.GetState(int(s.tty.Fd()))
	check(t, err)
	s.cmd = exec.Command(os.Args[0])
	s.cmd.Env = append(environ, envRole+"="+role)
	t.Cleanup(func() {
		_, _ = s.master.Close(), s.tty.Close()
		if s.cmd.Process != nil {
			_, _ = s.cmd.Process.Kill(), s.cmd.Wait()
		}
	})
	return s
}

func (s *scene) start() *scene {
	s.t.Helper()
	stdout, childOut, err := os.Pipe()
	check(s.t, err)
	reported, reports, err := os.Pipe()
	check(s.t, err)
	s.stdout, s.report = stdout, reported
	s.cmd.Stdout, s.cmd.Stderr = childOut, s.tty
	s.cmd.ExtraFiles = []*os.File{reports}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 2}
	check(s.t, s.cmd.Start())
	_, _ = childOut.Close(), reports.Close()
	s.t.Cleanup(func() { _, _ = stdout.Close(), reported.Close() })
	go s.watch()
	return s
}

func (s *scene) watch() {
	buffer := make([]byte, 1024)
	for {
		n, err := s.master.Read(buffer)
		s.mu.Lock()
		s.screen.Write(buffer[:n])
		s.mu.Unlock()
		select {
		case s.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (s *scene) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.screen.String()
}

// await returns when the screen has shown text the given number of times.
func (s *scene) await(text string, times int) {
	s.t.Helper()
	late := time.After(patience)
	for strings.Count(s.shown(), text) < times {
		select {
		case <-s.changed:
		case <-late:
			s.t.Fatalf("the screen does not show %q but %q", text, s.shown())
		}
	}
}

func (s *scene) typeIn(text string) {
	s.t.Helper()
	_, err := io.WriteString(s.master, text)
	check(s.t, err)
}

// settings are what the terminal is set to now.
func (s *scene) settings() *unix.Termios {
	s.t.Helper()
	settings, err := unix.IoctlGetTermios(int(s.tty.Fd()), readTermios)
	check(s.t, err)
	return settings
}

// ended is said, and expects the terminal as it was.
func (s *scene) ended(want string) {
	s.t.Helper()
	s.said(want)
	after, err := term.GetState(int(s.tty.Fd()))
	check(s.t, err)
	if *after != *s.before {
		s.t.Errorf("the terminal is left as %+v instead of %+v", after, s.before)
	}
}

// said waits for the end of who asked, and expects what it has to say.
func (s *scene) said(want string) {
	s.t.Helper()
	check(s.t, s.report.SetReadDeadline(time.Now().Add(patience)))
	said, err := io.ReadAll(s.report)
	check(s.t, err)
	if string(said) != want {
		s.t.Errorf("the answer is %q instead of %q; the screen shows %q", said, want, s.shown())
	}
}

// shows expects exactly that on the screen, now or soon.
func (s *scene) shows(want string) {
	s.t.Helper()
	s.await(want, 1)
	if s.shown() != want {
		s.t.Errorf("the screen shows %q instead of %q", s.shown(), want)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAsk(t *testing.T) {
	for _, environ := range []string{"TERM=xterm-256color", "TERM=dumb", "NOTERM=1"} {
		s := prepare(t, "ask", environ).start()
		s.await("Passphrase: ", 1)
		if settings := s.settings(); settings.Lflag&unix.ECHO != 0 {
			t.Error("the prompt shows while the terminal still echoes")
		}
		s.typeIn("typo\x15corrk\x7fect horsex\x7f\r") // Ctrl-U and backspace edit
		s.ended("correct horse")
		s.shows("Passphrase: \r\n")
	}
}

func TestAskEnds(t *testing.T) {
	signals := func(signal syscall.Signal) func(s *scene) {
		return func(s *scene) { check(s.t, s.cmd.Process.Signal(signal)) }
	}
	for name, test := range map[string]struct {
		act  func(s *scene)
		want string
	}{
		"empty":            {func(s *scene) { s.typeIn("\r") }, ""},
		"Ctrl-C":           {func(s *scene) { s.typeIn("correct\x03") }, "cancelled"},
		"Ctrl-D":           {func(s *scene) { s.typeIn("\x04") }, "cancelled"},
		"Ctrl-D in a line": {func(s *scene) { s.typeIn("correct\x04\x04") }, "cancelled"},
		"Ctrl-\\":          {func(s *scene) { s.typeIn("correct\x1c") }, "cancelled"},
		"SIGINT":           {signals(syscall.SIGINT), "cancelled"},
		"SIGQUIT":          {signals(syscall.SIGQUIT), "cancelled"},
		"SIGTERM":          {signals(syscall.SIGTERM), "cancelled"},
		"SIGHUP":           {signals(syscall.SIGHUP), "cancelled"},
		"half a line":      {func(s *scene) { s.typeIn("correct"); signals(syscall.SIGTERM)(s) }, "cancelled"},
		"reader gone":      {func(s *scene) { check(s.t, s.stdout.Close()) }, "cancelled"},
		"long":             {func(s *scene) { s.typeIn(strings.Repeat("x", 3000)); s.typeIn(strings.Repeat("x", 3000) + "\r") }, "reading the answer: it is longer than 4094 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := prepare(t, "ask").start()
			s.await("Passphrase: ", 1)
			test.act(s)
			s.ended(test.want)
			s.shows("Passphrase: \r\n")
			// What was typed is not left for whoever reads the terminal next.
			if waiting := s.waiting(); waiting != 0 {
				t.Errorf("%d bytes of the answer still wait to be read", waiting)
			}
		})
	}
}

// waiting is how much a shell would find typed. Half a line counts only where lines are not collected.
func (s *scene) waiting() int {
	s.t.Helper()
	before, err := term.MakeRaw(int(s.tty.Fd()))
	check(s.t, err)
	defer func() { check(s.t, term.Restore(int(s.tty.Fd()), before)) }()
	n, err := unix.IoctlGetInt(int(s.tty.Fd()), inputWaiting)
	check(s.t, err)
	return n
}

// On a machine that does something else meanwhile, the limit may be reached before the question shows.
func TestAskHasALimit(t *testing.T) {
	for range 100 {
		s := prepare(t, "ask", envLimit+"=50ms").start()
		s.ended("late")
		if strings.Contains(s.shown(), "Passphrase: ") {
			return
		}
	}
	t.Error("whatever has a limit asks nothing")
}

// A terminal stopped with Ctrl-S does not even show the prompt.
func TestAskOnAStoppedTerminal(t *testing.T) {
	s := prepare(t, "ask", envLimit+"=50ms")
	s.typeIn("\x13")
	s.start().ended("late")
}

func TestAskAgainAfterArrows(t *testing.T) {
	s := prepare(t, "ask").start()
	s.await("Passphrase: ", 1)
	s.typeIn("horse\x1b[D\r")
	s.await("Passphrase: ", 2)
	s.typeIn("correct\r")
	s.ended("correct")
}

// What was typed before the prompt has been seen, and answers no question that was not read.
func TestTypedAheadIsNoAnswer(t *testing.T) {
	for role, prompt := range map[string]string{"ask": "Passphrase: ", "confirm": "Go on? (y/n) "} {
		s := prepare(t, role)
		s.typeIn("y\ry\rhalf a line")
		s.start().await(prompt, 1)
		_, before, _ := strings.Cut(s.shown(), prompt)
		if before != "" {
			t.Errorf("after the prompt the screen shows %q", before)
		}
		s.typeIn("n\r")
		s.ended(map[string]string{"ask": "n", "confirm": "false"}[role])
	}
}

// A shell gives the terminal its own settings while it has stopped a job.
func TestAskAfterAStop(t *testing.T) {
	s := prepare(t, "ask").start()
	s.await("Passphrase: ", 1)
	check(t, term.Restore(int(s.tty.Fd()), s.before))
	check(t, s.cmd.Process.Signal(syscall.SIGCONT))
	s.await("Passphrase: ", 2)
	if s.settings().Lflag&unix.ECHO != 0 {
		t.Error("the prompt shows again while the terminal echoes")
	}
	s.typeIn("correct\r")
	s.ended("correct")
}

func TestConfirm(t *testing.T) {
	for typed, want := range map[string]string{
		"y\r": "true", "Yes\r": "true", "n\r": "false", "NO\r": "false", "\x03": "cancelled", "\x04": "cancelled", "y\x04\x03": "cancelled",
	} {
		s := prepare(t, "confirm").start()
		s.await("Go on? (y/n) ", 1)
		s.typeIn(typed)
		s.ended(want)
	}
	// No default is taken.
	s := prepare(t, "confirm").start()
	for i, typed := range []string{"\r", "yeah\r", "y\r"} {
		s.await("Go on? (y/n) ", i+1)
		s.typeIn(typed)
	}
	s.ended("true")
}

func TestNoTerminal(t *testing.T) {
	reported, reports, err := os.Pipe()
	check(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = []string{envRole + "=ask"}
	cmd.ExtraFiles = []*os.File{reports}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	check(t, cmd.Run())
	check(t, reports.Close())
	said, err := io.ReadAll(reported)
	check(t, err)
	if string(said) != "none" {
		t.Errorf("without a terminal the answer is %q", said)
	}
}

// What a killed process leaves: it restores nothing, so the prompt has changed only the echo.
func TestKilledItself(t *testing.T) {
	s := prepare(t, "ask").start()
	s.await("Passphrase: ", 1)
	check(t, s.cmd.Process.Signal(syscall.SIGSTOP)) // the end of a session's leader would hang the terminal up
	settings := s.settings()
	settings.Lflag |= unix.ECHO
	check(t, unix.IoctlSetTermios(int(s.tty.Fd()), writeTermios, settings))
	after, err := term.GetState(int(s.tty.Fd()))
	check(t, err)
	if *after != *s.before {
		t.Errorf("with the echo the terminal is %+v instead of %+v", after, s.before)
	}
	check(t, s.cmd.Process.Kill())
}
