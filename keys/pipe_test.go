// Named pipes in the place of files: they serve, and nobody waits for ever for one that nobody writes to.

//go:build unix

package keys_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

func TestPipes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := keys.OpenKeyFile(over, path, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a key file that nobody writes to: %v", err)
	}
	if _, err := keys.PassphraseFromFile(over, path); !errors.Is(err, context.Canceled) {
		t.Errorf("a passphrase file that nobody writes to: %v", err)
	}
	path = filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(path, []byte("correct horse\n"), 0) }()
	got, err := keys.PassphraseFromFile(t.Context(), path)
	if err != nil || string(got.Reveal()) != "correct horse" {
		t.Errorf("a passphrase through a pipe: %v", err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}
