//go:build linux

// kill -9 of everybody who has a part in a token, at every moment: the next command works, and the
// terminal is as it was.

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/internal/lab"
)

const providerProgram = "cargo-credential-regkey"

// A victim is a program that is killed.
type victim struct {
	name  string
	find  func(t *testing.T, y *yanker) int // 0 if it does not run
	asks  bool                              // the question is its own
	agent bool
}

func program(name string) func(t *testing.T, y *yanker) int {
	return func(t *testing.T, y *yanker) int {
		keeper := theAgent(t, y)
		for _, pid := range y.processes(t, name) {
			if pid != keeper {
				return pid
			}
		}
		return 0
	}
}

func theAgent(t *testing.T, y *yanker) int {
	s, _ := y.status(t)
	return s.PID
}

// A moment waits for the time at which to kill, from the start of a command on. It may type the answer.
type moment struct {
	name string
	wait func(t *testing.T, y *yanker, s *shell, v victim)
}

// rest is what is still to be typed after it, where what asks goes on.
func (m moment) rest(secret string) string {
	switch m.name {
	case "at the question":
		return secret + "\r"
	case "amid the answer":
		return secret[4:] + "\r"
	}
	return ""
}

func someTime(most time.Duration) { time.Sleep(rand.N(most)) }

// appears waits until the victim runs.
func appears(t *testing.T, y *yanker, v victim) {
	t.Helper()
	eventually(t, v.name+" never runs", func() bool { return v.find(t, y) != 0 })
}

// moments are those of a command that asks.
func moments(unlocking time.Duration) []moment {
	question := func(s *shell) { s.await(s.question.String()) }
	after := func(most time.Duration) func(*testing.T, *yanker, *shell, victim) {
		return func(_ *testing.T, _ *yanker, s *shell, _ victim) {
			question(s)
			s.types(s.secret + "\r")
			someTime(most)
		}
	}
	return []moment{
		{"as it starts", func(t *testing.T, y *yanker, _ *shell, v victim) { appears(t, y, v) }},
		{"before the question", func(t *testing.T, y *yanker, _ *shell, v victim) {
			appears(t, y, v)
			someTime(10 * time.Millisecond)
		}},
		{"at the question", func(_ *testing.T, _ *yanker, s *shell, _ victim) { question(s) }},
		{"amid the answer", func(_ *testing.T, _ *yanker, s *shell, _ victim) {
			question(s)
			s.types(s.secret[:4])
		}},
		{"just after the answer", after(5 * time.Millisecond)},
		{"while it is unlocked", after(unlocking)},
		{"while it is unlocked or signs", after(unlocking + unlocking/4)},
		{"as the agent comes", func(t *testing.T, y *yanker, s *shell, _ victim) {
			question(s)
			s.types(s.secret + "\r")
			eventually(t, "no agent comes", func() bool { return agent.PlaceOf(y.RegkeyHome()).Listens(t.Context()) })
		}},
		{"as the agent has it", func(t *testing.T, y *yanker, s *shell, _ victim) {
			question(s)
			s.types(s.secret + "\r")
			eventually(t, "the agent never has it", func() bool {
				s, _ := y.status(t)
				return len(s.Keys)+len(s.Tokens) > 0
			})
		}},
	}
}

// some is every third moment, from the n-th on, or all: each takes some seconds, most of them for
// unlocking a key.
func some(all []moment, n int) []moment {
	if everyMoment {
		return all
	}
	var third []moment
	for i := n % 3; i < len(all); i += 3 {
		third = append(third, all[i])
	}
	return third
}

func TestKilled(t *testing.T) {
	eachKind(t, func(t *testing.T, u *lockedUser) {
		y := newYanker(t, u)
		s := u.openShell(t, "xterm-256color")
		begun := time.Now()
		s.asks(1, y.dir, y.line())
		unlocking := time.Since(begun)
		pin := u.tokens != nil
		victims := []victim{
			{name: "cargo", find: program("cargo")},
			{name: providerProgram, find: program(providerProgram), asks: !pin},
		}
		if pin {
			victims = append(victims, victim{name: lab.Twin, find: program(lab.Twin), asks: true})
		}
		for i, v := range victims {
			for _, m := range some(moments(unlocking), i) {
				y.stopAgent(t)
				y.kill(t, s, v, m)
			}
		}
		// The agent, which is there and holds nothing yet: what is under way goes on without it.
		v := victim{name: "the agent", find: theAgent, agent: true}
		for _, m := range some(moments(unlocking), len(victims)) {
			y.lock(t)
			must(t, u.Lab, "", "", "regkey", "agent", "start")
			y.kill(t, s, v, m)
		}
		y.killUnlocked(t, s, append(victims[:2:2], v))
	})
}

// killUnlocked kills while nobody is asked, as the agent has what it takes.
func (y *yanker) killUnlocked(t *testing.T, s *shell, victims []victim) {
	t.Helper()
	begun := time.Now()
	s.begin(y.dir, y.line())
	s.end()
	whole := time.Since(begun)
	for _, v := range victims {
		for n := range len(some(make([]moment, 9), 0)) {
			if status, runs := y.status(t); !runs || len(status.Keys)+len(status.Tokens) == 0 {
				s.asks(1, y.dir, y.line())
			}
			m := moment{fmt.Sprintf("at some time, %d", n), func(*testing.T, *yanker, *shell, victim) { someTime(whole / 2) }}
			if v.name == providerProgram { // which lives for some milliseconds
				m = moment{fmt.Sprintf("while the agent signs, %d", n), func(t *testing.T, y *yanker, _ *shell, v victim) {
					within(time.Second, func() bool { return v.find(t, y) != 0 })
				}}
			}
			y.kill(t, s, v, m)
		}
	}
}

// stopAgent ends it, as a kill would, half the time.
func (y *yanker) stopAgent(t *testing.T) {
	t.Helper()
	pid := theAgent(t, y)
	if pid != 0 && rand.N(2) == 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		y.gone(t, pid)
		return
	}
	must(t, y.Lab, "", "", "regkey", "agent", "stop")
}

// gone waits for the end of a process, which is nobody's child here.
func (y *yanker) gone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("process %d does not end", pid), func() bool { return !slices.Contains(y.processes(t, ""), pid) })
}

// kill runs a command, kills the victim at that moment, and tries another command.
func (y *yanker) kill(t *testing.T, s *shell, v victim, m moment) {
	t.Helper()
	what := fmt.Sprintf("%s, killed %s", v.name, m.name)
	begun := time.Now()
	s.begin(y.dir, y.line())
	m.wait(t, y, s, v)
	pid := v.find(t, y)
	if pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	} else {
		t.Logf("%s: it had ended already", what)
	}
	shown := ""
	if v.agent { // what is under way goes on without it
		s.types(m.rest(s.secret))
		var exit int
		if shown, _, exit = s.end(); exit != 0 {
			t.Errorf("%s: exit %d:\n%s", what, exit, shown)
		}
	} else {
		shown = s.await(exitMark)
	}
	first := time.Since(begun)
	y.nobodyLeft(t)
	if v.asks {
		s.sane(unix.ECHO)
		if m.name == "amid the answer" {
			s.types("\x15") // the line so far
		}
		if err := unix.IoctlSetTermios(int(s.tty.Fd()), unix.TCSETS, &s.before); err != nil {
			t.Fatal(err)
		}
	} else {
		s.sane()
	}
	s.begin(y.dir, y.line())
	again, asked, exit := s.end()
	t.Logf("%s: %v, and %v with the next command", what, first, time.Since(begun))
	if exit != 0 || asked > 1 || strings.Contains(shown+again, y.secret) {
		t.Errorf("%s: the next command: exit %d, asked %d times:\n%s%s", what, exit, asked, shown, again)
	}
	s.sane()
}
