//go:build linux

// Windows: a scripted pinentry, for where there is no terminal but a display, and for --confirm.

package e2e

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// window is a pinentry that answers what a file says, and writes down what it was told.
type window struct{ answer, log string }

const windowScript = `#!/bin/sh
echo "OK Pleased to meet you"
while read -r line; do
    echo "$line" >>'%[2]s'
    case "$line" in
    CONFIRM*) if [ "$(cat '%[1]s')" = yes ]; then echo OK; else echo "ERR 83886194 Not confirmed"; fi ;;
    GETPIN*) echo "D $(cat '%[1]s')"; echo OK ;;
    BYE*) echo OK; exit 0 ;;
    *) echo OK ;;
    esac
done
`

// openWindow gives the user a display.
func openWindow(t *testing.T, u *lockedUser) *window {
	t.Helper()
	w := &window{filepath.Join(u.Dir, "window-answer"), filepath.Join(u.Dir, "window-log")}
	program := filepath.Join(u.Dir, "window")
	if err := os.WriteFile(program, fmt.Appendf(nil, windowScript, w.answer, w.log), 0o755); err != nil {
		t.Fatal(err)
	}
	u.Env = append(u.Env, "REGKEY_PINENTRY="+program, "DISPLAY=:59999")
	return w
}

func (w *window) answers(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(w.answer, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// told is what it was told since it was last looked at, as a person sees it.
func (w *window) told(t *testing.T) string {
	t.Helper()
	text, _ := os.ReadFile(w.log)
	_ = os.Remove(w.log)
	plain, err := url.PathUnescape(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// TestAskedInAWindow: without a terminal, one window for a whole run, none for the next.
func TestAskedInAWindow(t *testing.T) {
	needCargo(t)
	u := withCheapPassphrase(t, "ed25519")
	y := &yanker{lockedUser: u, dir: threeCrates(t, u.Lab)}
	w := openWindow(t, u)
	w.answers(t, u.secret)
	for _, windows := range []int{1, 0} {
		out, exit := y.detached(t, "", nil, strings.Fields(publishAll))
		told := w.told(t)
		if exit != 0 || strings.Count(told, "GETPIN") != windows {
			t.Fatalf("exit %d, and the window was told\n%s\n%s", exit, told, out)
		}
		if windows > 0 {
			contains(t, "the window", told, "laptop", "lab", "read from")
			bump(t, u, y.dir, "1.0.0", "1.0.1")
		}
	}
}

// TestWindowsThatFail: whatever becomes of the program, cargo ends, and says what else there is to do.
func TestWindowsThatFail(t *testing.T) {
	needCargo(t)
	u := withCheapPassphrase(t, "ed25519")
	y := &yanker{lockedUser: u, dir: sample(t, u.Lab, "one", "0.1.0")}
	openWindow(t, u)
	program := filepath.Join(u.Dir, "window")
	for what, script := range map[string]string{
		"it ends at once":       "exit 1",
		"it can open no window": "echo OK; while read -r line; do echo 'ERR 83918950 Inappropriate ioctl for device <Pinentry>'; done",
		"it talks nonsense":     "yes nonsense",
		"it is not there":       "",
	} {
		_ = os.Remove(program)
		if script != "" {
			if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		out, exit := y.detached(t, "", nil, []string{"cargo", "publish", "--no-verify", "--registry", "lab"})
		if exit != 101 {
			t.Errorf("%s: exit %d", what, exit)
		}
		contains(t, what, out, u.setting, "terminal")
	}
}

// TestConfirmedInAWindow: with --confirm nothing that changes a registry is signed without a yes, also
// where the key is unlocked; reading asks nobody.
func TestConfirmedInAWindow(t *testing.T) {
	eachKind(t, func(t *testing.T, u *lockedUser) {
		y := newYanker(t, u)
		w := openWindow(t, u)
		must(t, u.Lab, "", "", "regkey", "agent", "start", "--confirm")
		s := u.openShell(t, "xterm-256color")
		// The first is signed by what asks: a person has just said yes to it by unlocking the key.
		w.answers(t, "no")
		s.begin(y.dir, y.line())
		s.end()
		if status, _ := u.status(t); len(status.Keys)+len(status.Tokens) == 0 {
			t.Fatalf("the agent holds nothing: %+v", status)
		}
		w.told(t)
		state := indexFile(t, u.registry, u.Lab, "one")
		for range 2 {
			out, exit := y.detached(t, "", nil, y.next())
			if exit != 101 {
				t.Errorf("without a yes: exit %d: %s", exit, out)
			}
			contains(t, "a yank without a yes", out, "nothing was signed", "not confirmed")
			contains(t, "the window", w.told(t), "one", "0.1.0", "lab", providerProgram, "CONFIRM")
		}
		if after := indexFile(t, u.registry, u.Lab, "one"); after != state {
			t.Errorf("without a yes the registry went from %s to %s", state, after)
		}
		if told := w.told(t); told != "" {
			t.Errorf("reading asked\n%s", told)
		}
		w.answers(t, "yes")
		for range 2 {
			if out, exit := y.detached(t, "", nil, y.next()); exit != 0 {
				t.Errorf("with a yes: exit %d: %s", exit, out)
			}
		}
		if told := w.told(t); strings.Count(told, "CONFIRM") != 2 {
			t.Errorf("two yanks told the window\n%s", told)
		}
	})
}
