//go:build linux

// Where a person can be asked, and where nobody can: terminals of all kinds, and none.

package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// yanker is a user with a crate that is yanked and taken back in turn: one operation each, which costs
// a question where nothing is unlocked.
type yanker struct {
	*lockedUser
	dir    string
	yanked bool
}

func newYanker(t *testing.T, u *lockedUser) *yanker {
	t.Helper()
	y := &yanker{lockedUser: u, dir: sample(t, u.Lab, "one", "0.1.0")}
	s := u.openShell(t, "xterm-256color")
	s.asks(1, y.dir, "cargo publish --no-verify --registry lab")
	y.lock(t)
	return y
}

func (y *yanker) lock(t *testing.T) {
	t.Helper()
	must(t, y.Lab, "", "", "regkey", "agent", "lock")
}

// next is the next command.
func (y *yanker) next() []string {
	y.yanked = !y.yanked
	command := []string{"cargo", "yank", "--registry", "lab", "one@0.1.0"}
	if !y.yanked {
		command = append(command, "--undo")
	}
	return command
}

func (y *yanker) line() string { return strings.Join(y.next(), " ") }

// eachKind runs a test for a passphrase and for a PIN.
func eachKind(t *testing.T, test func(t *testing.T, u *lockedUser)) {
	needCargo(t)
	t.Run("passphrase", func(t *testing.T) { test(t, withCheapPassphrase(t, "ed25519")) })
	t.Run("pin", func(t *testing.T) { test(t, withPIN(t, "p384")) })
}

func TestAskedOnEveryTerminal(t *testing.T) {
	eachKind(t, func(t *testing.T, u *lockedUser) {
		y := newYanker(t, u)
		for _, c := range []struct{ what, term, before, after string }{
			{"a full terminal", "xterm-256color", "", ""},
			{"a dumb one", "dumb", "", ""},
			{"a bare one", "", "", ""},
			{"a full one, to a program that is not told of it", "xterm-256color", "env -u TERM ", ""},
			{"in CI", "dumb", "env CI=true ", ""},
			{"with input piped", "xterm-256color", "printf 'y\\nwrong\\n\\n' | ", ""},
			{"with no input", "xterm-256color", "", " </dev/null"},
			{"with everything redirected", "xterm-256color", "", " </dev/null >/dev/null 2>&1"},
			{"quiet", "xterm-256color", "", " --quiet"},
		} {
			t.Run(c.what, func(t *testing.T) {
				s := u.openShell(t, c.term)
				s.asks(1, y.dir, c.before+y.line()+c.after)
				s.asks(0, y.dir, c.before+y.line()+c.after)
				y.lock(t)
			})
		}
	})
}

// TestAskedUnderTmux has tmux between the person and cargo.
func TestAskedUnderTmux(t *testing.T) {
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skipf("tmux is not installed: %v", err)
	}
	eachKind(t, func(t *testing.T, u *lockedUser) {
		y := newYanker(t, u)
		folder, err := os.MkdirTemp("", "tmux") // a socket's path is short
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(folder) })
		tmux := func(args ...string) string {
			t.Helper()
			c := u.Command(context.WithoutCancel(t.Context()), "", "tmux", append([]string{"-S", filepath.Join(folder, "socket"), "-f", "/dev/null"}, args...)...)
			c.Env = append(c.Env, "TERM=xterm-256color", "SHELL=/bin/sh") // and not what the user's account says, if anything
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("tmux %q: %v: %s", args, err, out)
			}
			return string(out)
		}
		exit := filepath.Join(folder, "exit")
		tmux("new-session", "-d", "-x", "300", "-y", "50", "-c", y.dir, y.line()+"; echo $? >"+exit+"; sleep 600")
		t.Cleanup(func() { tmux("kill-server") })
		for _, questions := range []int{1, 0} {
			if questions > 0 {
				eventually(t, "no question comes", func() bool { return u.question.MatchString(tmux("capture-pane", "-p")) })
				tmux("send-keys", "-l", u.secret)
				tmux("send-keys", "Enter")
			} else {
				tmux("respawn-pane", "-k", "-c", y.dir, y.line()+"; echo $? >"+exit+"; sleep 600")
			}
			eventually(t, "cargo comes to no end", func() bool { text, _ := os.ReadFile(exit); return len(text) > 1 })
			if code := read(t, exit); code != "0\n" {
				t.Errorf("exit %s%s", code, tmux("capture-pane", "-p"))
			}
			if err := os.Remove(exit); err != nil {
				t.Fatal(err)
			}
			if shown := tmux("capture-pane", "-p"); strings.Contains(shown, u.secret) || len(u.question.FindAllString(shown, -1)) != questions {
				t.Errorf("the screen shows\n%s", shown)
			}
		}
	})
}

// TestNobodyToAsk: without a terminal cargo fails soon, says what to set, and takes nothing for an answer.
func TestNobodyToAsk(t *testing.T) {
	eachKind(t, func(t *testing.T, u *lockedUser) {
		y := newYanker(t, u)
		command := y.next()
		for _, c := range []struct {
			what, stdin string
			env         []string
		}{
			{what: "plain"},
			{what: "the secret piped in", stdin: u.secret + "\n" + u.secret + "\n"},
			{what: "yes piped in", stdin: strings.Repeat("y\n", 1000)},
			{what: "in CI", env: []string{"CI=true", "TERM=dumb"}},
			{what: "with a terminal's name", env: []string{"TERM=xterm-256color"}},
			{what: "with a display that is not there", env: []string{"DISPLAY=:59999", "WAYLAND_DISPLAY=none"}},
			{what: "without an agent", env: []string{"REGKEY_AGENT=off"}},
		} {
			out, exit := y.detached(t, c.stdin, c.env, command)
			if exit != 101 {
				t.Errorf("%s: exit %d", c.what, exit)
			}
			contains(t, c.what, out, u.setting, "terminal")
		}
		// What it says works, and unlocks nothing for anybody else.
		file := filepath.Join(u.Dir, "secret")
		if err := os.WriteFile(file, []byte(u.secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, exit := y.detached(t, "", []string{u.setting + "=" + file}, command); exit != 0 {
			t.Errorf("with %s: exit %d: %s", u.setting, exit, out)
		}
		if s, runs := u.status(t); runs && len(s.Keys)+len(s.Tokens) != 0 {
			t.Errorf("the agent holds what came from a file: %+v", s)
		}
		// Nor does what a person unlocks elsewhere need a terminal here.
		s := u.openShell(t, "xterm-256color")
		s.asks(1, y.dir, y.line())
		if out, exit := y.detached(t, "", nil, y.next()); exit != 0 {
			t.Errorf("with the agent: exit %d: %s", exit, out)
		}
	})
}

// detached runs a command in a session that has no terminal, and gives it far less time than any
// limit of the provider's. An empty stdin is the null device.
func (y *yanker) detached(t *testing.T, stdin string, env, command []string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), shellLimit)
	defer cancel()
	c := y.Command(ctx, y.dir, command[0], command[1:]...)
	c.Env = append(c.Env, env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.WaitDelay = shellLimit // for what keeps the output open
	if stdin != "" {
		c.Stdin = strings.NewReader(stdin)
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("%s: %v\n%s", command, err, out.String())
	}
	return out.String(), c.ProcessState.ExitCode()
}

// TestAskedPerOperationWithoutAgent: REGKEY_AGENT=off costs a question for each operation, and leaves
// nothing behind.
func TestAskedPerOperationWithoutAgent(t *testing.T) {
	eachKind(t, func(t *testing.T, u *lockedUser) {
		u.Env[len(u.Env)-1] = "REGKEY_AGENT=off"
		s := u.openShell(t, "xterm-256color")
		each := 1 // the key in a token has another beside it, which reads
		if u.tokens == nil {
			each = 2
		}
		for range 2 {
			root := filepath.Join(u.Dir, "workspace")
			if _, err := os.Stat(root); err != nil {
				threeCrates(t, u.Lab)
			} else {
				bump(t, u, root, "1.0.0", "1.0.1")
			}
			s.asks(2+each, root, publishAll)
		}
		if status, runs := u.status(t); runs {
			t.Errorf("an agent runs: %+v", status)
		}
	})
}
