//go:build linux

// Several cargos at once share one question.

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestParallelCargosShareOneQuestion has three cargos publish at once: on one terminal, as one script
// does, and on three.
func TestParallelCargosShareOneQuestion(t *testing.T) {
	for _, algorithm := range []string{"ed25519", "p384"} {
		t.Run(algorithm, func(t *testing.T) {
			needCargo(t)
			t.Run("passphrase", func(t *testing.T) { shareOneQuestion(t, withCheapPassphrase(t, algorithm, "--auth-required")) })
			t.Run("pin", func(t *testing.T) { shareOneQuestion(t, withPIN(t, algorithm)) })
		})
	}
}

func shareOneQuestion(t *testing.T, u *lockedUser) {
	t.Run("one terminal", func(t *testing.T) {
		s := u.openShell(t, "xterm-256color")
		s.asks(1, u.Dir, "sh -c '"+u.threeAtOnce(t, "a", "one")+"'")
		must(t, u.Lab, "", "", "regkey", "agent", "lock")
	})
	t.Run("one terminal, one home of cargo's", func(t *testing.T) {
		s := u.openShell(t, "xterm-256color")
		s.asks(1, u.Dir, "sh -c '"+u.threeAtOnce(t, "b", "")+"'")
		must(t, u.Lab, "", "", "regkey", "agent", "lock")
	})
	t.Run("three terminals", func(t *testing.T) {
		var shells []*shell
		for _, command := range u.publishers(t, "c", "three") {
			s := u.openShell(t, "xterm-256color")
			s.begin(u.Dir, command)
			shells = append(shells, s)
		}
		asked := 0
		for _, s := range together(t, shells) {
			asked += s.asked
			if s.exit != 0 {
				t.Errorf("exit %d:\n%s", s.exit, s.shown)
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		for _, s := range shells {
			s.sane()
		}
	})
}

// publishers are commands that publish three crates of one family. With homes given, each has a home
// of cargo's own, whose name begins so.
func (u *lockedUser) publishers(t *testing.T, family, homes string) (commands []string) {
	t.Helper()
	for n := range 3 {
		name := fmt.Sprintf("%s%d", family, n)
		dir := sample(t, u.Lab, name, "0.1.0")
		home := u.CargoHome()
		if homes != "" {
			home = filepath.Join(u.Dir, fmt.Sprintf("cargo-%s-%d", homes, n))
			if err := os.MkdirAll(home, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := u.WriteFile(filepath.Join(home, "config.toml"), read(t, u.CargoHome(), "config.toml")); err != nil {
				t.Fatal(err)
			}
		}
		commands = append(commands, fmt.Sprintf(`CARGO_HOME="%s" cargo publish --no-verify --registry lab --manifest-path "%s/Cargo.toml"`, home, dir))
	}
	return commands
}

// threeAtOnce is one command of a shell that succeeds if all three do.
func (u *lockedUser) threeAtOnce(t *testing.T, family, homes string) string {
	t.Helper()
	var line strings.Builder
	for n, command := range u.publishers(t, family, homes) {
		fmt.Fprintf(&line, "%s & p%d=$!; ", command, n)
	}
	return line.String() + "wait $p0 && wait $p1 && wait $p2"
}

// outcome is what became of the command of one shell.
type outcome struct {
	shown       string
	asked, exit int
}

// together answers the questions of several shells, and only one at a time: what waits for the answer
// on another terminal has to come without.
func together(t *testing.T, shells []*shell) []outcome {
	t.Helper()
	outcomes := make([]outcome, len(shells))
	grown, late := 0, time.Time{}
	for left := len(shells); left > 0; time.Sleep(2 * time.Millisecond) {
		size := 0
		for _, s := range shells {
			size += s.shown.size()
		}
		if size > grown { // as long as something happens there, it is no hang
			grown, late = size, time.Now().Add(shellLimit)
		}
		if time.Now().After(late) {
			t.Fatalf("they come to no end: %+v", outcomes)
		}
		for n, s := range shells {
			o := &outcomes[n]
			if text, exit, ended := s.ended(); ended {
				o.shown, o.exit = o.shown+text, exit
				left--
			} else if text, asks := s.asking(); asks {
				o.shown, o.asked = o.shown+text, o.asked+1
				s.types(s.secret + "\r")
			}
		}
	}
	return outcomes
}
