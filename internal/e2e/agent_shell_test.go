//go:build linux

// A shell on a terminal: what is typed there, what is shown, and how the terminal is left.

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// A shell is a real one that manages jobs, on a terminal of its own.
type shell struct {
	*lockedUser
	t             *testing.T
	terminal, tty *os.File
	shown         *screen
	at            int // what was shown so far and is dealt with
	before        unix.Termios
}

// openShell opens a terminal of the type term; "" is one whose programs are not told any. The shell is a plain
// one, which does not edit lines and so never sets the terminal itself.
func (u *lockedUser) openShell(t *testing.T, term string, env ...string) *shell {
	t.Helper()
	dash, err := exec.LookPath("dash")
	if err != nil {
		t.Skipf("the shell of this test is not installed: %v", err)
	}
	s := &shell{lockedUser: u, t: t, shown: &screen{grown: make(chan struct{}, 1)}}
	if s.terminal, s.tty, err = pty.Open(); err != nil {
		t.Fatal(err)
	}
	// A line must not break where this test looks for words.
	if err := pty.Setsize(s.terminal, &pty.Winsize{Rows: 50, Cols: 400}); err != nil {
		t.Fatal(err)
	}
	c := u.Command(context.WithoutCancel(t.Context()), "", dash, "-i")
	c.Env = append(append(c.Env, "PS1=ready> ", "ENV="), env...)
	if term != "" {
		c.Env = append(c.Env, "TERM="+term)
	}
	c.Stdin, c.Stdout, c.Stderr = s.tty, s.tty, s.tty
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // which hangs the terminal up for whoever is left on it
		_ = c.Wait()
		_, _ = s.terminal.Close(), s.tty.Close()
	})
	go s.shown.watch(s.terminal)
	s.await(`ready> `)
	s.before = s.termios()
	return s
}

func (s *shell) termios() unix.Termios {
	s.t.Helper()
	now, err := unix.IoctlGetTermios(int(s.tty.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return *now
}

// next is what was shown up to the end of a match, if there is one, which is dealt with then.
func (s *shell) next(wanted *regexp.Regexp) (text string, match []string) {
	unseen := s.shown.from(s.at)
	at := wanted.FindIndex(unseen)
	if at == nil {
		return string(unseen), nil
	}
	s.at += at[1]
	return string(unseen[:at[1]]), wanted.FindStringSubmatch(string(unseen))
}

// await waits until the terminal shows that, and returns all that it showed before and with it.
func (s *shell) await(pattern string) string {
	s.t.Helper()
	wanted := regexp.MustCompile(pattern)
	late := time.After(shellLimit)
	for {
		text, match := s.next(wanted)
		if match != nil {
			return text
		}
		select {
		case <-s.shown.grown:
			late = time.After(shellLimit) // as long as something happens there, it is no hang
		case <-late:
			s.t.Fatalf("the terminal never shows %q, but\n%s", pattern, text)
		}
	}
}

func (s *shell) types(text string) {
	s.t.Helper()
	if _, err := s.terminal.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// begin types a command, which prints how it ended, and returns once the shell has taken it. The
// marks are split where they are typed, as what is typed is shown.
func (s *shell) begin(dir, command string) {
	s.t.Helper()
	s.types(fmt.Sprintf("cd '%s'; echo be''gin; %s; echo ex''it=$?\r", dir, command))
	if text := s.await(`begin\r?\n`); strings.Contains(text, "not found") {
		s.t.Errorf("what was typed as an answer became a command:\n%s", text)
	}
}

// exitMark has room for the last words of who is in the background by then.
const exitMark = `exit=(\d+)\r?\n(?s:.*?)ready> `

var exited = regexp.MustCompile(exitMark)

// asking reports whether a question stands there, which comes before any end.
func (s *shell) asking() (shown string, asks bool) {
	shown, match := s.next(s.question)
	return shown, match != nil
}

// ended reports whether the command has ended, with no question before that.
func (s *shell) ended() (shown string, exit int, ended bool) {
	unseen := s.shown.from(s.at)
	if end := exited.FindIndex(unseen); end == nil || s.question.Match(unseen[:end[1]]) {
		return "", 0, false
	}
	shown, match := s.next(exited)
	exit, _ = strconv.Atoi(match[1])
	return shown, exit, true
}

// end answers every question, and returns what was shown, how often it was asked, and how that ended.
func (s *shell) end() (shown string, asked, exit int) {
	s.t.Helper()
	o := together(s.t, []*shell{s})[0]
	return o.shown, o.asked, o.exit
}

// asks runs a command that is to succeed, with so many questions.
func (s *shell) asks(times int, dir, command string) string {
	s.t.Helper()
	return s.asksWithin(time.Hour, times, dir, command)
}

// asksWithin is asks for a command that asks once more where it takes longer than that, as on a machine that is busy.
func (s *shell) asksWithin(limit time.Duration, times int, dir, command string) string {
	s.t.Helper()
	begun := time.Now()
	s.begin(dir, command)
	shown, asked, exit := s.end()
	if late := time.Since(begun) > limit; exit != 0 || asked < times || asked > times && !late {
		s.t.Errorf("%s: exit %d, asked %d times instead of %d:\n%s", command, exit, asked, times, shown)
	}
	if strings.Contains(shown, s.secret) {
		s.t.Errorf("%s: the secret is shown", command)
	}
	s.sane()
	return shown
}

// sane wants the terminal as it was, soon: whoever is in the background may still be giving it back.
func (s *shell) sane(but ...uint32) {
	s.t.Helper()
	want := s.before
	for _, flag := range but {
		want.Lflag &^= flag
	}
	if !within(shellLimit, func() bool { now := s.termios(); return now == s.before || now == want }) {
		s.t.Errorf("the terminal is left as %+v instead of %+v", s.termios(), s.before)
	}
}
