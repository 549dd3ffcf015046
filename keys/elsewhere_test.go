// Tests of keys that are kept elsewhere: their record, and the file that opens them.

package keys_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

func TestElsewhereKeyInStore(t *testing.T) {
	s := keys.OpenStore(filepath.Join(t.TempDir(), "keys"))
	key := generate(t, keys.Ed25519)
	want := keys.Record{Name: "safe", Public: key.Public(), Created: time.Date(2026, 11, 22, 8, 12, 0, 0, time.UTC), Protection: keys.Elsewhere}
	record, err := s.CreateElsewhere(keys.Record{Name: "safe", Public: key.Public(), Created: want.Created.Add(time.Millisecond)})
	if err != nil || !record.Equal(want) {
		t.Fatalf("CreateElsewhere = %+v, %v", record, err)
	}
	if found, err := s.Lookup("safe"); err != nil || !found.Equal(want) || !found.MayManage() {
		t.Errorf("Lookup = %+v, %v", found, err)
	}
	if _, err := s.Unlock(t.Context(), "safe", ask("p")); !errors.Is(err, keys.ErrElsewhere) {
		t.Errorf("unlocking it: %v", err)
	}
	if _, err := s.CreateElsewhere(want); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating it twice: %v", err)
	}
	if err := s.Remove(t.Context(), "safe"); err != nil {
		t.Error(err)
	}
}

func TestEncodeKeyFile(t *testing.T) {
	key := generate(t, keys.P384)
	text, err := keys.EncodeKeyFile(key, keys.NewSecret([]byte("correct")))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, key.Secret().Reveal()) {
		t.Error("the file shows the secret")
	}
	path := filepath.Join(t.TempDir(), "safe.age")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	opened, err := keys.OpenKeyFile(t.Context(), path, ask("correct"))
	if err != nil || opened.Public() != key.Public() {
		t.Errorf("opening it: %v", err)
	}
	if _, err := keys.OpenKeyFile(t.Context(), path, ask("wrong")); !errors.Is(err, keys.ErrWrongPassphrase) {
		t.Errorf("opening it with another passphrase: %v", err)
	}
	if _, err := keys.EncodeKeyFile(key, keys.Secret{}); !errors.Is(err, keys.ErrNoPassphrase) {
		t.Errorf("without a passphrase: %v", err)
	}
}
