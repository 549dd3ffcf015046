//go:build unix

// What a person types goes to the agent, what came from a file does not, and a key that is protected
// anew is forgotten.

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const goodPassphrase = "velvet tundra mosaic otter lantern"

// withAgent has agents come in that home, which lies where a socket may be, and ends them.
func withAgent(t *testing.T, s *session, home string) *session {
	t.Helper()
	s.home = home
	s.cmd.Env = append(s.cmd.Env, "REGKEY_AGENT=on", "REGKEY_HOME="+home)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.tty, s.tty, s.tty
	return s
}

// agentSays is what "regkey agent status" prints.
func agentSays(t *testing.T, home string) string {
	t.Helper()
	out, err := inHome(home, "agent", "status").CombinedOutput()
	if err != nil {
		t.Fatalf("asking for the agent's state: %v\n%s", err, out)
	}
	return string(out)
}

func inHome(home string, args ...string) *exec.Cmd {
	cmd := exec.Command("regkey", args...)
	cmd.Env = []string{"REGKEY_AGENT=on", "REGKEY_HOME=" + home, "PATH=" + os.Getenv("PATH"), "HOME=" + home, "CARGO_HOME=" + home}
	return cmd
}

func TestTypedPassphraseGoesToTheAgent(t *testing.T) {
	home, err := os.MkdirTemp("", "regkey-agent-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inHome(home, "agent", "stop").Run(); _ = os.RemoveAll(home) })
	file := filepath.Join(home, "passphrase")
	if err := os.WriteFile(file, []byte(goodPassphrase), 0o600); err != nil {
		t.Fatal(err)
	}
	const registry = "sparse+https://registry.example/index/"
	enroll := []string{"enroll", "--registry", registry, "--key", "desk", "--manual", "--no-cargo-config", "--yes"}
	record := filepath.Join(home, "keys", "desk.toml")
	for _, args := range [][]string{{"init", "desk", "--passphrase"}, enroll} {
		cmd := inHome(home, args...)
		cmd.Env = append(cmd.Env, envPassphraseFile+"="+file)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("regkey %q: %v\n%s", args, err, out)
		}
		_ = os.Remove(record) // so that the next command has to open the key
	}
	if said := agentSays(t, home); !strings.Contains(said, "not running") {
		t.Fatalf("a passphrase from a file has started an agent: %s", said)
	}
	s := withAgent(t, newSession(t, []string{"TERM=dumb"}, enroll...), home)
	s.start()
	s.expect("Passphrase of key desk:")
	s.typed(goodPassphrase + "\r")
	if code := s.exit(); code != 0 {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
	if said := agentSays(t, home); !strings.Contains(said, "key desk") {
		t.Errorf("the agent does not hold the key: %s", said)
	}
	// It is asked for anew all the same, and the old form is forgotten.
	s = withAgent(t, newSession(t, []string{"TERM=dumb"}, "protect", "desk", "--none", "--yes"), home)
	s.start()
	s.expect("Passphrase of key desk:")
	s.typed(goodPassphrase + "\r")
	if code := s.exit(); code != 0 {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
	if said := agentSays(t, home); strings.Contains(said, "key desk") || !strings.Contains(said, "running") {
		t.Errorf("the agent has not forgotten the key: %s", said)
	}
	if strings.Contains(s.shown(), goodPassphrase) {
		t.Errorf("the passphrase shows: %q", s.shown())
	}
}

// The successor's new passphrase was just typed: cargo does not ask for it right away.
func TestSuccessorGoesToTheAgent(t *testing.T) {
	home, err := os.MkdirTemp("", "regkey-agent-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inHome(home, "agent", "stop").Run(); _ = os.RemoveAll(home) })
	const registry = "sparse+https://registry.example/index/"
	for _, args := range [][]string{{"init", "desk", "--none"}, {"enroll", "--registry", registry, "--key", "desk", "--manual", "--no-cargo-config"}} {
		if out, err := inHome(home, args...).CombinedOutput(); err != nil {
			t.Fatalf("regkey %q: %v\n%s", args, err, out)
		}
	}
	s := withAgent(t, newSession(t, []string{"TERM=dumb"}, "rotate", "--registry", registry, "--passphrase", "--yes"), home)
	s.start()
	s.expect("Passphrase for the new key desk-2")
	s.typed(goodPassphrase + "\r")
	s.expect("The same again")
	s.typed(goodPassphrase + "\r")
	if code := s.exit(); code != exitByHand {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
	if said := agentSays(t, home); !strings.Contains(said, "key desk-2") {
		t.Errorf("the agent does not hold the new key: %s", said)
	}
}
