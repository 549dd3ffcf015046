//go:build linux

// Asked once: whole cargo runs on a terminal, with keys that a person unlocks.

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const publishAll = "cargo publish --workspace --registry lab"

// TestAskedOnce: a workspace of three costs one question, the next run none, and one after the time
// limit again one.
func TestAskedOnce(t *testing.T) {
	needCargo(t)
	for name, make := range map[string]func(t *testing.T) *lockedUser{
		"passphrase ed25519": func(t *testing.T) *lockedUser { return withPassphrase(t, "ed25519", "--auth-required") },
		"passphrase p384":    func(t *testing.T) *lockedUser { return withPassphrase(t, "p384") },
		"pin ed25519":        func(t *testing.T) *lockedUser { return withPIN(t, "ed25519") },
		"pin p384":           func(t *testing.T) *lockedUser { return withPIN(t, "p384") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := make(t)
			root := threeCrates(t, u.Lab)
			s := u.openShell(t, "xterm-256color")
			first := s.asks(1, root, publishAll)
			t.Logf("asked: %s", strings.TrimSpace(s.question.FindString(first)))
			contains(t, "the first run", first, "Published low v1.0.0", "Published mid v1.0.0", "Published top v1.0.0")
			bump(t, u, root, "1.0.0", "1.0.1")
			contains(t, "the next run", s.asks(0, root, publishAll), "Published top v1.0.1")

			// Once it is dropped, cargo asks again.
			const ttl = 6 * time.Second
			must(t, u.Lab, "", "", "regkey", "agent", "start", "--ttl", ttl.String())
			s.asksWithin(ttl, 1, root, "cargo yank --registry lab low@1.0.0")
			u.awaitLocked(t)
			s.asksWithin(ttl, 1, root, "cargo yank --undo --registry lab low@1.0.0")
			u.awaitLocked(t)
		})
	}
}

// bump gives every crate of a workspace another version.
func bump(t *testing.T, u *lockedUser, root, from, to string) {
	t.Helper()
	for _, name := range []string{"low", "mid", "top"} {
		path := filepath.Join(root, name, "Cargo.toml")
		old := fmt.Sprintf("version = %q", from)
		text := read(t, path)
		if !strings.Contains(text, old) {
			t.Fatalf("%s has no %s", path, old)
		}
		if err := u.WriteFile(path, strings.Replace(text, old, fmt.Sprintf("version = %q", to), 1)); err != nil {
			t.Fatal(err)
		}
	}
}
