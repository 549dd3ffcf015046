// Cargo is killed with -9 while its provider asks: the terminal is sane, whoever has it by then.

//go:build unix

package terminal_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCargoIsKilled(t *testing.T) {
	for _, test := range []struct {
		name  string
		taken bool // the shell has its terminal back already: the provider is in the background
	}{{"in the foreground", false}, {"in the background", true}} {
		t.Run(test.name, func(t *testing.T) {
			s := prepare(t, "shell")
			orders, err := s.cmd.StdinPipe()
			check(t, err)
			s.start()
			s.await("Passphrase: ", 1)
			out := bufio.NewReader(s.stdout)
			pid := 0
			_, err = fmt.Fscanln(out, &pid)
			check(t, err)
			s.typeIn("corr")
			if test.taken {
				_, err = io.WriteString(orders, "take\n")
				check(t, err)
				_, err = out.ReadString('\n')
				check(t, err)
			}
			check(t, syscall.Kill(pid, syscall.SIGKILL))
			s.ended("cancelled")
			if strings.Contains(s.shown(), "corr") || s.waiting() != 0 {
				t.Errorf("%d bytes of the answer still wait to be read; the screen shows %q", s.waiting(), s.shown())
			}
		})
	}
}

// Real shells, with and without an idea of their own of how the terminal has to be.
func TestCargoIsKilledUnderAShell(t *testing.T) {
	for _, shell := range []string{"bash", "dash", "zsh"} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("%s is not installed", shell)
			}
			s := prepare(t, "")
			pids := t.TempDir() + "/pid"
			s.cmd = exec.Command(path, map[string][]string{"bash": {"--norc", "-i"}, "zsh": {"-f", "-i"}, "dash": {"-i"}}[shell]...)
			s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PS1=ready> ", "TERM=dumb", "HOME=/nonexistent"}
			s.cmd.Stdin = s.tty
			s.start()
			s.await("ready> ", 1)
			s.typeIn(fmt.Sprintf("sh -c 'echo $$ >%s; exec env %s=cargo %s >/dev/null'\r", pids, envRole, os.Args[0]))
			s.await("Passphrase: ", 1)
			text, err := os.ReadFile(pids)
			check(t, err)
			pid := 0
			_, err = fmt.Sscan(string(text), &pid)
			check(t, err)
			check(t, syscall.Kill(pid, syscall.SIGKILL))
			// The shell holds the report open too, but who asks writes it with the terminal given back.
			said := make([]byte, len("cancelled"))
			check(t, s.report.SetReadDeadline(time.Now().Add(patience)))
			_, err = io.ReadFull(s.report, said)
			check(t, err)
			s.await("ready> ", 2)
			// The shell edits its line in a mode of its own: how programs find the terminal is asked for there.
			s.typeIn("stty -a >&2; echo 'done' now >&2\r")
			s.await("done now", 1)
			shown := s.shown()
			if shown = shown[strings.LastIndex(shown, "speed"):]; !strings.Contains(shown, " echo ") || !strings.Contains(shown, " icanon ") {
				t.Errorf("the terminal is left as %q", shown)
			}
		})
	}
}

// Who asks is killed, and cargo ends by itself when it can read no more: then bash takes the terminal
// over as it finds it.
func TestAskerIsKilledUnderAShell(t *testing.T) {
	for _, shell := range []string{"bash", "dash", "zsh"} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("%s is not installed", shell)
			}
			s := prepare(t, "")
			pids := t.TempDir() + "/pid"
			s.cmd = exec.Command(path, map[string][]string{"bash": {"--norc", "-i"}, "zsh": {"-f", "-i"}, "dash": {"-i"}}[shell]...)
			s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PS1=ready> ", "TERM=dumb", "HOME=/nonexistent"}
			s.cmd.Stdin = s.tty
			s.start()
			s.await("ready> ", 1)
			s.typeIn(fmt.Sprintf("sh -c '(%s=ask %s & echo $! >%s; wait) | cat; exit 101'\r", envRole, os.Args[0], pids))
			s.await("Passphrase: ", 1)
			text, err := os.ReadFile(pids)
			check(t, err)
			pid := 0
			_, err = fmt.Sscan(string(text), &pid)
			check(t, err)
			s.typeIn("corr")
			check(t, syscall.Kill(pid, syscall.SIGKILL))
			s.await("ready> ", 2)
			s.typeIn("stty -a >&2; echo 'done' now >&2\r")
			s.await("done now", 1)
			shown := s.shown()
			if !strings.Contains(shown, "echo 'done' now") {
				t.Errorf("the shell does not show what is typed: %q", shown)
			}
			if shown = shown[strings.LastIndex(shown, "speed"):]; !strings.Contains(shown, " echo ") || !strings.Contains(shown, " icanon ") {
				t.Errorf("the terminal is left as %q", shown)
			}
		})
	}
}
