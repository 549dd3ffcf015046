// The passphrase prompt, on a terminal of its own.

//go:build unix

package main_test

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

	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

// withoutTerminal starts a process that has no controlling terminal, whatever the tests have.
func withoutTerminal() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

const passphrase = "correct horse"

// A scene is a provider with cargo's pipes and a terminal, waiting at its prompt.
type scene struct {
	t       *testing.T
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	stdout  *os.File // the end that cargo reads
	stderr  bytes.Buffer
	master  *os.File
	before  *term.State
	mu      sync.Mutex
	screen  bytes.Buffer
	changed chan struct{} // holds one token when the screen has changed
}

// stage starts the provider and sends the request.
func stage(t *testing.T, u *user, request string) *scene {
	t.Helper()
	master, tty, err := pty.Open()
	check(t, err)
	check(t, pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 200}))
	s := &scene{t: t, master: master, changed: make(chan struct{}, 1)}
	s.before, err = term.GetState(int(master.Fd()))
	check(t, err)
	s.cmd = u.command("--cargo-plugin")
	stdout, childOut, err := os.Pipe()
	check(t, err)
	s.stdout = stdout
	s.cmd.Stdout, s.cmd.Stderr = childOut, &s.stderr
	s.stdin, err = s.cmd.StdinPipe()
	check(t, err)
	// The terminal is none of the three streams: the child gets it as the fourth.
	s.cmd.ExtraFiles = []*os.File{tty}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	check(t, s.cmd.Start())
	_ = childOut.Close()
	_ = tty.Close()
	go s.watch()
	t.Cleanup(func() { _, _ = s.cmd.Process.Kill(), master.Close() })
	_, err = io.WriteString(s.stdin, request)
	check(t, err)
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
	limit := time.After(3 * time.Minute)
	for strings.Count(s.shown(), text) < times {
		select {
		case <-s.changed:
		case <-limit:
			s.t.Fatalf("the screen does not show %q but %q", text, s.shown())
		}
	}
}

func (s *scene) typeIn(text string) {
	s.t.Helper()
	_, err := io.WriteString(s.master, text)
	check(s.t, err)
}

// end reads the answer as cargo does, ends the input, and expects the exit code 0 and the terminal
// as it was.
func (s *scene) end() reply {
	s.t.Helper()
	var out bytes.Buffer
	buffer := make([]byte, 1<<16)
	for strings.Count(out.String(), "\n") < 2 {
		n, err := s.stdout.Read(buffer)
		out.Write(buffer[:n])
		if err != nil {
			s.t.Fatalf("the provider said %q, then %v; stderr %q", out.String(), err, s.stderr.String())
		}
	}
	check(s.t, s.stdin.Close())
	check(s.t, s.cmd.Wait())
	s.sane()
	return parse(s.t, out.String(), s.stderr.String())
}

// sane expects the terminal to be as it was before, and the passphrase to be nowhere.
func (s *scene) sane() {
	s.t.Helper()
	after, err := term.GetState(int(s.master.Fd()))
	check(s.t, err)
	if *after != *s.before {
		s.t.Errorf("the terminal is left as %+v instead of %+v", after, s.before)
	}
	if text := s.shown() + s.stderr.String(); strings.Contains(text, "horse") || strings.Contains(text, "wrong one") {
		s.t.Errorf("the screen shows what was typed: %q", text)
	}
}

func (s *scene) echoes() bool {
	s.t.Helper()
	settings, err := unix.IoctlGetTermios(int(s.master.Fd()), readTermios)
	check(s.t, err)
	return settings.Lflag&unix.ECHO != 0
}

func protected(t *testing.T) (*user, *keys.SoftwareKey) {
	u := newUser(t)
	return u, u.enrol(t, lab(index), keys.Ed25519, passphrase)
}

func TestPromptOpensTheKey(t *testing.T) {
	u, key := protected(t)
	for operation, prompt := range map[string]string{
		"read":    `regkey: to read from lab, passphrase of key "laptop": `,
		"publish": `regkey: to publish foo 1.2.3 to lab, passphrase of key "laptop": `,
		"yank":    `regkey: to yank foo 1.2.3 at lab, passphrase of key "laptop": `,
		"unyank":  `regkey: to unyank foo 1.2.3 at lab, passphrase of key "laptop": `,
		"owners":  `regkey: to see or change who owns foo at lab, passphrase of key "laptop": `,
	} {
		s := stage(t, u, requests(index)[operation])
		s.await(prompt, 1)
		if s.echoes() {
			t.Errorf("%s: the prompt shows while the terminal still echoes", operation)
		}
		s.typeIn(passphrase + "\r")
		if _, err := token.Verify(s.end().token(t), key.Public()); err != nil {
			t.Errorf("%s: %v", operation, err)
		}
		s.await("\r\n", 1) // the terminal may be read later than the answer
		if want := prompt + "\r\n"; s.shown() != want {
			t.Errorf("the screen shows %q instead of %q", s.shown(), want)
		}
	}
}

// Three tries, and a wrong one is said to be.
func TestPromptAsksAgain(t *testing.T) {
	u, key := protected(t)
	s := stage(t, u, requests(index)["publish"])
	for try := 1; try <= 2; try++ {
		s.await(`key "laptop": `, try)
		s.typeIn("wrong one\r")
	}
	s.await(`key "laptop": `, 3)
	s.typeIn("typo\x15" + passphrase + "x\x7f\r") // Ctrl-U and backspace edit
	r := s.end()
	if _, err := token.Verify(r.token(t), key.Public()); err != nil {
		t.Error(err)
	}
	if want := strings.Repeat("regkey: wrong passphrase, try again\n", 2); r.stderr != want {
		t.Errorf("stderr is %q instead of %q", r.stderr, want)
	}

	s = stage(t, u, requests(index)["publish"])
	for try := 1; try <= 3; try++ {
		s.await(`key "laptop": `, try)
		s.typeIn("wrong one\r")
	}
	if got := s.end().failure(t); got != "other\nnothing was signed: 3 wrong passphrases for key \"laptop\"" {
		t.Errorf("failure is %s", got)
	}
}

func TestPromptIsCancelled(t *testing.T) {
	u, _ := protected(t)
	for name, act := range map[string]func(s *scene){
		"Ctrl-C":  func(s *scene) { s.typeIn("correct\x03") },
		"Ctrl-D":  func(s *scene) { s.typeIn("\x04") },
		"SIGINT":  func(s *scene) { check(s.t, s.cmd.Process.Signal(syscall.SIGINT)) },
		"SIGTERM": func(s *scene) { check(s.t, s.cmd.Process.Signal(syscall.SIGTERM)) },
		"SIGHUP":  func(s *scene) { check(s.t, s.cmd.Process.Signal(syscall.SIGHUP)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := stage(t, u, requests(index)["publish"])
			s.await(`key "laptop": `, 1)
			act(s)
			if got := s.end().failure(t); got != "other\nnothing was signed: the passphrase of key \"laptop\" was not given" {
				t.Errorf("failure is %s", got)
			}
		})
	}
	t.Run("empty", func(t *testing.T) {
		s := stage(t, u, requests(index)["publish"])
		s.await(`key "laptop": `, 1)
		s.typeIn("\r")
		if got := s.end().failure(t); got != "other\nnothing was signed: the passphrase of key \"laptop\" was empty" {
			t.Errorf("failure is %s", got)
		}
	})
}

// When cargo is gone nobody waits for an answer: the question ends and the terminal is given back.
func TestPromptEndsWithCargo(t *testing.T) {
	u, _ := protected(t)
	s := stage(t, u, requests(index)["publish"])
	s.await(`key "laptop": `, 1)
	check(t, s.stdin.Close())
	check(t, s.stdout.Close())
	if err := s.cmd.Wait(); err == nil {
		t.Error("the provider tells nobody, and calls it a success")
	}
	s.sane()
}

// Who pipes a request in and closes the pipe at once still gets an answer.
func TestPromptOutlivesItsInput(t *testing.T) {
	u, key := protected(t)
	s := stage(t, u, requests(index)["read"])
	check(t, s.stdin.Close())
	s.await(`key "laptop": `, 1)
	s.typeIn(passphrase + "\r")
	s.stdin = nopCloser{}
	if _, err := token.Verify(s.end().token(t), key.Public()); err != nil {
		t.Error(err)
	}
}

type nopCloser struct{ io.WriteCloser }

func (nopCloser) Close() error { return nil }

// A project at hand chooses the crate's name and version, and cannot forge a prompt with them.
func TestPromptShowsNothingUntrusted(t *testing.T) {
	u, _ := protected(t)
	s := stage(t, u, `{"v":1,"registry":{"index-url":"`+index+`","name":"crates-io"},"kind":"get","operation":"yank",`+
		`"name":"foo\u001b[2K\rharmless","vers":"1\u202e0"}`+"\n")
	s.await(`key "laptop": `, 1)
	s.typeIn("\x03")
	s.end()
	if want := `regkey: to yank "foo\x1b[2K\rharmless" "1\u202e0" at lab, passphrase of key "laptop": `; !strings.HasPrefix(s.shown(), want) {
		t.Errorf("the screen shows %q instead of %q", s.shown(), want)
	}
}
