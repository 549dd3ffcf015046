//go:build linux

// How much memory an idle agent takes.

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/lab"
)

// idleMemory is the most that an agent may take while nothing is asked of it, in KiB.
const idleMemory = 20 << 10

// settled is how many looks, a tenth of a second apart, find the same size once an agent is idle: it
// tidies up a second after the last request, gives a card back three seconds after it, and looks
// around every five, which frees nothing more.
const settled = 35

// withoutTwin has the user run a regkey that lies beside no other, and so stays what it is.
func (u *lockedUser) withoutTwin(t *testing.T) {
	t.Helper()
	alone := filepath.Join(u.Dir, "bin")
	if err := os.Mkdir(alone, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"regkey", providerProgram} {
		if err := os.Link(filepath.Join(bin, name), filepath.Join(alone, name)); err != nil {
			t.Fatal(err)
		}
	}
	config := read(t, u.CargoHome(), "config.toml")
	edited := strings.ReplaceAll(config, filepath.Join(bin, providerProgram), filepath.Join(alone, providerProgram))
	if edited == config {
		t.Fatalf("cargo's configuration does not name the provider:\n%s", config)
	}
	if err := u.WriteFile(filepath.Join(u.CargoHome(), "config.toml"), edited); err != nil {
		t.Fatal(err)
	}
	u.Bin = alone
}

// TestIdleAgentIsSmall measures agents of both programs, built as they are released, after they have
// unlocked something and signed with it.
func TestIdleAgentIsSmall(t *testing.T) {
	for name, twin := range map[string]bool{"regkey": false, lab.Twin: true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachKind(t, func(t *testing.T, u *lockedUser) {
				if !twin {
					if u.tokens != nil {
						t.Skip("the one without the other reaches no tokens")
					}
					u.withoutTwin(t)
				}
				idles(t, u, name)
			})
		})
	}
}

func idles(t *testing.T, u *lockedUser, program string) {
	y := newYanker(t, u)
	s := u.openShell(t, "xterm-256color")
	s.asks(1, y.dir, y.line())
	for range 3 {
		s.asks(0, y.dir, y.line())
	}
	pid := theAgent(t, y)
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(exe) != program && lab.HardwareTools(t.Context()) == nil {
		t.Fatalf("the agent is %s", exe)
	}
	now, same := memory(t, pid, "VmRSS"), 0
	eventually(t, "its size does not settle", func() bool {
		time.Sleep(100 * time.Millisecond) // nobody asks the agent meanwhile
		before := now
		if now = memory(t, pid, "VmRSS"); now != before {
			same = 0
		}
		same++
		return same > settled
	})
	if now > idleMemory {
		t.Errorf("%s takes %d KiB", exe, now)
	}
	t.Logf("%s: %d KiB, of which %d are its own; at most %d", filepath.Base(exe), now, memory(t, pid, "RssAnon"), memory(t, pid, "VmHWM"))
	if now, runs := u.status(t); !runs || len(now.Keys)+len(now.Tokens) == 0 {
		t.Errorf("it holds nothing: %+v", now)
	}
}

func memory(t *testing.T, pid int, what string) int {
	t.Helper()
	text := read(t, fmt.Sprintf("/proc/%d/status", pid))
	match := regexp.MustCompile(`(?m)^` + what + `:\s+(\d+) kB$`).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("there is no %s in\n%s", what, text)
	}
	kib, err := strconv.Atoi(match[1])
	if err != nil {
		t.Fatal(err)
	}
	return kib
}
