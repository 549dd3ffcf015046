//go:build linux

// A user with a locked key at a shell: what is typed there, what is shown, how the terminal is left,
// and which processes are.

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/internal/lab"
)

const (
	lockedPhrase = "wharf lantern 3 cobalt"
	// shellLimit is less than the minute that the provider waits for a person where cargo reads: what
	// takes longer is a hang.
	shellLimit = 50 * time.Second
)

// A lockedUser has an enrolled key that a person has to unlock, and may use an agent.
type lockedUser struct {
	*lab.Lab
	registry *lab.Registry
	question *regexp.Regexp // what asks for the secret
	secret   string         // the answer
	setting  string         // the variable that names a file with it
	tokens   *lab.Tokens    // nil for a key in a file
}

// withPassphrase is one whose key lies in a file.
func withPassphrase(t *testing.T, algorithm string, serveArgs ...string) *lockedUser {
	t.Helper()
	l := newLab(t)
	r := serve(t, l, serveArgs...)
	if err := r.Name("lab"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(l.Dir, "passphrase")
	if err := os.WriteFile(file, []byte(lockedPhrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, err := r.Invite(t.Context(), "crates-team")
	if err != nil {
		t.Fatal(err)
	}
	l.Env = []string{"REGKEY_PASSPHRASE_FILE=" + file}
	must(t, l, "", "", "regkey", "init", "laptop", "--algorithm", algorithm)
	must(t, l, "", code+"\n", "regkey", "enroll", "--registry", "lab", "--key", "laptop", "--account", "crates-team", "--code-stdin")
	l.Env = []string{"REGKEY_AGENT="}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	u := &lockedUser{
		Lab: l, registry: r, secret: lockedPhrase, setting: "REGKEY_PASSPHRASE_FILE",
		question: regexp.MustCompile(`regkey: to [^\n]+ lab, passphrase of key "laptop": ?`),
	}
	u.endsClean(t)
	return u
}

// cheapWork is 1/8 of the usual work of scrypt: tests that unlock often have time for that.
const cheapWork = 15

// cheapen writes the key's file again, as age would with less work.
func (u *lockedUser) cheapen(t *testing.T) {
	t.Helper()
	path := filepath.Join(u.RegkeyHome(), "keys", "laptop.age")
	from, err := age.NewScryptIdentity(u.secret)
	if err != nil {
		t.Fatal(err)
	}
	to, err := age.NewScryptRecipient(u.secret)
	if err != nil {
		t.Fatal(err)
	}
	to.SetWorkFactor(cheapWork)
	plain, err := age.Decrypt(armor.NewReader(strings.NewReader(read(t, path))), from)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	armored := armor.NewWriter(&file)
	w, err := age.Encrypt(armored, to)
	if err == nil {
		_, err = io.Copy(w, plain)
	}
	if err := errors.Join(err, w.Close(), armored.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// withPIN is one whose key is in a hardware token that wants no touch.
func withPIN(t *testing.T, algorithm string) *lockedUser {
	t.Helper()
	h := newHolder(t, "name=yk1,serial=12345678,firmware=5.7.4")
	r := serve(t, h.Lab)
	before := h.Env[:1:1] // the socket alone
	h.setup(t, "12345678")
	h.enrolled(t, r, "--algorithm", algorithm, "--touch", "never")
	for _, name := range []string{"pin", "new-pin", "puk", "new-puk"} {
		if err := os.Remove(filepath.Join(h.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	h.Env = append(before, "REGKEY_AGENT=")
	u := &lockedUser{
		Lab: h.Lab, registry: r, secret: newPIN, setting: "REGKEY_PIN_FILE", tokens: h.tokens,
		question: regexp.MustCompile(`(publish|yank|unyank) [^\n]+ lab: PIN of YubiKey 12345678(?: \(3 tries left\))?: ?`),
	}
	u.endsClean(t)
	return u
}

// endsClean stops the agent after the test, and wants no process of the user's to be left then.
func (u *lockedUser) endsClean(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		if result, err := u.Run(ctx, "", "", "regkey", "agent", "stop"); err != nil || result.Exit != 0 {
			t.Errorf("stopping the agent: %v, %+v", err, result)
		}
		u.nobodyLeft(t)
	})
}

// status is the agent's, if one runs.
func (u *lockedUser) status(t *testing.T) (agent.Status, bool) {
	t.Helper()
	client, err := agent.Reach(t.Context(), u.RegkeyHome())
	if err == nil {
		var s agent.Status
		if s, err = client.Status(t.Context()); err == nil {
			return s, true
		}
	}
	if !errors.Is(err, agent.ErrNoAgent) {
		t.Fatal(err)
	}
	return agent.Status{}, false
}

// awaitLocked waits until no agent holds anything.
func (u *lockedUser) awaitLocked(t *testing.T) {
	t.Helper()
	eventually(t, "the agent still holds something", func() bool {
		s, runs := u.status(t)
		return !runs || len(s.Keys)+len(s.Tokens) == 0
	})
}

// processes are those of the user, but for the registry: by program, or all if there is no name.
func (u *lockedUser) processes(t *testing.T, program string) (found []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	mark := []byte("REGKEY_HOME=" + u.RegkeyHome() + "\x00")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		exe, _ := os.Readlink("/proc/" + entry.Name() + "/exe")
		name := filepath.Base(exe)
		if name == "regkey-registry" || program != "" && name != program {
			continue
		}
		environ, _ := os.ReadFile("/proc/" + entry.Name() + "/environ")
		if bytes.Contains(environ, mark) {
			found = append(found, pid)
		}
	}
	return found
}

// nobodyLeft waits until no process of the user is left but the shells, and the agent if one runs.
func (u *lockedUser) nobodyLeft(t *testing.T) {
	t.Helper()
	var left []string
	gone := within(shellLimit, func() bool {
		left = nil
		keeper, _ := u.status(t)
		for _, pid := range u.processes(t, "") {
			exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
			if pid != keeper.PID && filepath.Base(exe) != "dash" {
				left = append(left, fmt.Sprintf("%d %s", pid, exe))
			}
		}
		return len(left) == 0
	})
	if !gone {
		t.Errorf("processes are left: %s", strings.Join(left, "; "))
	}
}

// within reports whether something comes true in that time.
func within(limit time.Duration, is func() bool) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		if is() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

func eventually(t *testing.T, otherwise string, is func() bool) {
	t.Helper()
	if !within(shellLimit, is) {
		t.Fatal(otherwise)
	}
}

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
	s.await(`begin\r?\n`)
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
	s.begin(dir, command)
	shown, asked, exit := s.end()
	if asked != times || exit != 0 {
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
