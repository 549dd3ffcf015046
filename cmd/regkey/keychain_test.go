//go:build unix

// Runs regkey beside a real gnome-keyring: one that works, is locked, hangs, or is not there.

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/internal/keychain/keychaintest"
)

// A desktop is a session with a keyring, and regkey in it without a terminal.
type desktop struct {
	*keychaintest.Session
	t    *testing.T
	home string
	env  []string
}

func onDesktop(t *testing.T) *desktop {
	t.Helper()
	d := &desktop{Session: keychaintest.Start(t), t: t, home: filepath.Join(t.TempDir(), "home")}
	d.env = append(d.Env(), "REGKEY_AGENT=off", "REGKEY_HOME="+d.home, "CARGO_HOME="+t.TempDir(), "HOME="+t.TempDir(), "PATH="+os.Getenv("PATH"))
	return d
}

// anyExit is wanted where the exit code tells of more than the keychain: of whether cargo is installed, say.
const anyExit = -1

// regkey runs it, wants that exit code, and returns what it said.
func (d *desktop) regkey(want int, args ...string) (said string) {
	d.t.Helper()
	cmd := exec.CommandContext(d.t.Context(), "regkey", args...)
	cmd.Env = d.env
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != want && want != anyExit {
		d.t.Fatalf("regkey %q: exit code %d instead of %d:\n%s", args, code, want, out)
	}
	return string(out)
}

func (d *desktop) says(want string, exit int, args ...string) {
	d.t.Helper()
	if said := d.regkey(exit, args...); !strings.Contains(said, want) {
		d.t.Errorf("regkey %q does not say %q:\n%s", args, want, said)
	}
}

func (d *desktop) items(want int) {
	d.t.Helper()
	if got := d.Items(d.t); got != want {
		d.t.Errorf("the keyring holds %d items instead of %d", got, want)
	}
}

// A key's whole way through the keychain: made, used, replaced, taken out and put in.
func TestKeychain(t *testing.T) {
	d := onDesktop(t)
	d.says("with the keychain", 0, "init", "laptop", "--keychain")
	d.items(1)
	d.says(`"protection": "keychain"`, 0, "status", "--json")
	d.says("ok       keychain", anyExit, "doctor")
	// Opening it takes the keychain: registries are asked to be told by a signature that it signs.
	d.says("unprotected", 0, "protect", "laptop", "--none", "--yes")
	d.items(0)
	if said := d.regkey(0, "protect", "laptop", "--keychain"); !strings.Contains(said, "still hold the key unprotected") {
		t.Errorf("old copies are not spoken of: %s", said)
	}
	d.items(1)
	d.says("with the keychain", 0, "protect", "laptop", "--keychain")
	d.items(1)
	if _, err := os.Stat(filepath.Join(d.home, "keys", "laptop.key")); err == nil {
		t.Error("the unprotected file is still there")
	}
}

// Where a registry asks for the successor of a key in the keychain, it goes there, too.
func TestKeychainRotation(t *testing.T) {
	d := onDesktop(t)
	d.regkey(0, "init", "laptop", "--keychain")
	d.regkey(0, "enroll", "--registry", "sparse+https://registry.example/index/", "--name", "lab", "--key", "laptop", "--manual", "--no-cargo-config")
	d.says("prepared", exitByHand, "rotate", "--registry", "sparse+https://registry.example/index/", "--yes")
	d.items(2)
	d.says("ed25519, keychain", 0, "status")
}

// A keychain that is locked, hangs or is gone is a sentence each, and a key that needs it says so.
func TestKeychainTrouble(t *testing.T) {
	d := onDesktop(t)
	d.regkey(0, "init", "laptop", "--keychain")
	d.Lock(t)
	d.says("problem  keychain", 1, "doctor")
	d.says("it is locked", 1, "doctor")
	d.says("it is locked", 1, "init", "other", "--keychain") // at once: nobody is here who could unlock it
	d.Suspend(t)
	d.says("has not answered within 3s", 1, "init", "other", "--keychain")
	d.says("protect the key in another way: give --passphrase", 1, "init", "other", "--keychain")
	d.says("has not answered within 3s", 1, "protect", "laptop", "--none", "--yes")
	d.Stop()
	d.says("cannot be used", 1, "protect", "laptop", "--none", "--yes")
	d.says("unlock the keychain", 1, "protect", "laptop", "--none", "--yes")
	for _, name := range []string{"other.toml", "other.age", "laptop.key"} {
		if _, err := os.Stat(filepath.Join(d.home, "keys", name)); err == nil {
			t.Errorf("%s was made", name)
		}
	}
}

// On a terminal the keychain is the first choice where it works, and not offered where it hangs.
func TestKeychainIsTheBestThatWorks(t *testing.T) {
	session := keychaintest.Start(t)
	for _, term := range []string{"dumb", "xterm-256color"} {
		s := onTerminalWith(t, append(session.Env(), "TERM="+term), "init", "desk")
		s.expect("the keychain of this computer")
		s.typed("\r")
		s.expect("with the keychain")
		if code := s.exit(); code != 0 {
			t.Fatalf("exit code %d: %q", code, s.shown())
		}
	}
	if n := session.Items(t); n != 2 {
		t.Errorf("the keyring holds %d items instead of 2", n)
	}
	session.Suspend(t)
	s := onTerminalWith(t, append(session.Env(), "TERM=dumb"), "init", "desk")
	s.expect("has not answered within 3s")
	s.expect("1. a passphrase")
	s.typed("2\r")
	if code := s.exit(); code != 0 {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
	s = onTerminalWith(t, append(session.Env(), "TERM=dumb"), "init", "desk", "--keychain")
	s.expect("How is key desk to be protected")
	s.typed("2\r")
	if code := s.exit(); code != 0 || strings.Contains(s.shown(), "keychain of this computer") {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
}
