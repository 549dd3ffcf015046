// What the age program makes of our files.

package keys_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/cargo-regkey/regkey/keys"
)

// ageProgram is age's own, which setup installs.
func ageProgram(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("age")
	if err != nil {
		t.Skip("age's own program is not installed: ", err)
	}
	return path
}

func TestAgeProgramOpensKeychainFile(t *testing.T) {
	program, k := ageProgram(t), newKeychain()
	s, _, key := inKeychain(t, k)
	_, text := wrappingKey(t, k)
	identity := filepath.Join(t.TempDir(), "wrapping.txt")
	write(t, identity, text+"\n", 0o600)
	out, err := exec.Command(program, "-d", "-i", identity, s.Path("k")).Output()
	if err != nil || string(out) != string(key.Secret().Reveal())+"\n" {
		t.Errorf("age -d -i gives %d bytes that are not the key (%v)", len(out), err)
	}
}

func TestAgeProgramOpensPassphraseFile(t *testing.T) {
	program := ageProgram(t)
	s, _ := newStore(t)
	key := generate(t, keys.P384)
	mustCreate(t, s, "k", key, "correct horse")
	out := filepath.Join(t.TempDir(), "out")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, program, "-d", "-o", out, s.Path("k"))
	terminal, err := pty.Start(command)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = terminal.Close() }()
	prompt := make([]byte, 1<<10)
	if n, err := terminal.Read(prompt); err != nil || !bytes.Contains(prompt[:n], []byte("passphrase")) {
		t.Errorf("age asks %q, %v", prompt[:n], err)
	}
	if _, err := terminal.WriteString("correct horse\n"); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(out); err != nil || string(text) != string(key.Secret().Reveal())+"\n" {
		t.Errorf("age -d gives %d bytes that are not the key (%v)", len(text), err)
	}
}
