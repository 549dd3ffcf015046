// The agent's memory, read from outside: a key is in its locked page, and soon nowhere else.

package agent_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// copies counts how often patterns are in the memory of a process.
func copies(t *testing.T, pid int, patterns ...[]byte) (n int) {
	t.Helper()
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = maps.Close() }()
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Skipf("its memory can't be read: %v", err)
	}
	defer func() { _ = memory.Close() }()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to int64
		var access string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &access); err != nil || !strings.HasPrefix(access, "rw") {
			continue
		}
		content := make([]byte, to-from)
		read, err := memory.ReadAt(content, from)
		if err != nil && read == 0 {
			continue // it is gone already
		}
		for _, pattern := range patterns {
			n += bytes.Count(content[:read], pattern)
		}
	}
	return n
}

// patternsOf are the middle of the key's text, and its seed.
func patternsOf(t *testing.T, key *keys.SoftwareKey) [][]byte {
	t.Helper()
	text := key.Secret().Reveal()
	raw, err := base64.RawURLEncoding.DecodeString(string(text[len("k4.secret."):]))
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{text[len("k4.secret.") : len("k4.secret.")+40], raw[:32]}
}

// TestSecretsLeaveMemory: a second after it was used a key is in its page alone, and after "lock"
// nowhere.
func TestSecretsLeaveMemory(t *testing.T) {
	if underRace {
		t.Skip("the race detector maps more memory than can be read")
	}
	home, laptop := enrolled(t)
	pid := start(t, home, programs(t)).PID
	patterns := patternsOf(t, laptop)
	await := func(when string, want int) {
		t.Helper()
		n := copies(t, pid, patterns...)
		for deadline := time.Now().Add(3 * time.Minute); n != want && time.Now().Before(deadline); n = copies(t, pid, patterns...) {
			time.Sleep(50 * time.Millisecond)
		}
		if n != want {
			t.Errorf("%s: %d copies of the key are in memory instead of %d", when, n, want)
		}
	}
	await("before it was added", 0)
	add(t, home, laptop)
	await("added", 1)
	for range 20 {
		if _, err := dial(t, home).Token(t.Context(), publish, nil); err != nil {
			t.Fatal(err)
		}
	}
	await("used", 1)
	if err := dial(t, home).Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	await("locked", 0)
}
