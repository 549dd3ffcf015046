// Key files that a platform hands out: others may read them where nobody can write them.

//go:build unix

package keys_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

func TestKeyFilesHandedOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, string(generate(t, keys.Ed25519).Secret().Reveal())+"\n", 0o600)
	for mode, accepted := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o440: true, 0o444: true, 0o404: true, 0o500: true, 0o555: true, 0o700: true,
		0o640: false, 0o644: false, 0o604: false, 0o660: false, 0o620: false, 0o666: false, 0o602: false,
		0o420: false, 0o422: false, 0o402: false, 0o464: false, 0o446: false, 0o466: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Skip("this user can't read what its owner may not: ", err)
		}
		_ = f.Close()
		if _, err := keys.OpenKeyFile(t.Context(), path, nil); (err == nil) != accepted {
			t.Errorf("%04o: %v", mode, err)
		}
	}
}

// A file of the store is never one that was handed out.
func TestStoreStaysStrict(t *testing.T) {
	for _, passphrase := range []string{"", "p"} {
		s, dir := newStore(t)
		mustCreate(t, s, "k", generate(t, keys.Ed25519), passphrase)
		for _, mode := range []fs.FileMode{0o444, 0o440, 0o404} {
			if err := os.Chmod(s.Path("k"), mode); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Unlock(t.Context(), "k", ask("p")); err == nil || !strings.Contains(err.Error(), "chmod 600") {
				t.Errorf("%04o: %v", mode, err)
			}
		}
		if passphrase == "" {
			remove(t, filepath.Join(dir, "k.toml"))
			if _, err := s.Lookup("k"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
				t.Errorf("without its record: %v", err)
			}
		}
	}
}
