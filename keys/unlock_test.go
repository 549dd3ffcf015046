// Unlocking: what an interrupted creation leaves, and secrets and records that do not agree.

package keys_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

// loseRecord makes a store with one key whose record is lost, its secret file last written at when.
func loseRecord(t *testing.T, passphrase string, when time.Time) (s *keys.Store, dir string, key *keys.SoftwareKey) {
	t.Helper()
	s, dir = newStore(t)
	key = generate(t, keys.Ed25519)
	mustCreate(t, s, "k", key, passphrase)
	remove(t, filepath.Join(dir, "k.toml"))
	if err := os.Chtimes(s.Path("k"), when, when); err != nil {
		t.Fatal(err)
	}
	return s, dir, key
}

var written = time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC)

func TestLostRecordOfUnprotectedKey(t *testing.T) {
	s, dir, key := loseRecord(t, "", written)
	want := keys.Record{Name: "k", Public: key.Public(), Created: written, Protection: keys.Unprotected}
	before := snapshot(t, dir)
	if got, err := s.Lookup("k"); err != nil || got != want {
		t.Errorf("Lookup = %+v, %v, want %+v", got, err, want)
	}
	if got, err := s.Find(key.Public().ID()); err != nil || got != want {
		t.Errorf("Find = %+v, %v", got, err)
	}
	if after := snapshot(t, dir); !maps.Equal(before, after) {
		t.Error("looking changed the store")
	}
	if _, err := s.Unlock(context.Background(), "k", nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "k.toml"))
	if err != nil {
		t.Fatalf("Unlock did not write the record: %v", err)
	}
	if got, err := keys.ParseRecord("k", text); err != nil || got != want {
		t.Errorf("the record written is %+v, %v, want %+v", got, err, want)
	}
}

func TestLostRecordOfPassphraseKey(t *testing.T) {
	s, dir, key := loseRecord(t, "p", written)
	want := keys.Record{Name: "k", Created: written, Protection: keys.Passphrase}
	records, err := s.List()
	if err != nil || len(records) != 1 || records[0] != want {
		t.Errorf("List = %+v, %v, want %+v", records, err, want)
	}
	for _, id := range []keys.ID{{}, key.Public().ID()} {
		if _, err := s.Find(id); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Find(%q): %v", id, err)
		}
	}
	before := snapshot(t, dir)
	if _, err := s.Unlock(context.Background(), "k", ask("q")); !errors.Is(err, keys.ErrWrongPassphrase) {
		t.Errorf("Unlock: %v", err)
	}
	if after := snapshot(t, dir); !maps.Equal(before, after) {
		t.Error("a wrong passphrase changed the store")
	}
	if got, err := s.Unlock(context.Background(), "k", ask("p")); err != nil || got.Public() != key.Public() {
		t.Fatal(err)
	}
	want.Public = key.Public()
	if got, err := s.Lookup("k"); err != nil || got != want {
		t.Errorf("Lookup after Unlock = %+v, %v, want %+v", got, err, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "k.toml")); err != nil {
		t.Errorf("Unlock did not write the record: %v", err)
	}
}

// TestLostRecordWithoutWriting unlocks where the record can't be written: its place is taken by
// a dangling link, so nothing is to be read there either.
func TestLostRecordWithoutWriting(t *testing.T) {
	s, dir, key := loseRecord(t, "", written)
	if err := os.Symlink("nowhere", filepath.Join(dir, "k.toml")); err != nil {
		t.Skip(err)
	}
	before := snapshot(t, dir)
	if got, err := s.Unlock(context.Background(), "k", nil); err != nil || got.Public() != key.Public() {
		t.Errorf("Unlock: %v", err)
	}
	if after := snapshot(t, dir); !maps.Equal(before, after) {
		t.Error("Unlock wrote through or over a link")
	}
}

func TestBothSecretsWithoutRecord(t *testing.T) {
	s, dir, _ := loseRecord(t, "", written)
	write(t, filepath.Join(dir, "k.age"), "x", 0o600)
	if _, err := s.Lookup("k"); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "both exist") {
		t.Errorf("Lookup: %v", err)
	}
}

func TestUnlockWithoutPassphrase(t *testing.T) {
	s, _ := newStore(t)
	mustCreate(t, s, "k", generate(t, keys.Ed25519), "p")
	if _, err := s.Unlock(context.Background(), "k", nil); !errors.Is(err, keys.ErrNoPassphrase) {
		t.Errorf("nobody to ask: %v", err)
	}
	if _, err := s.Unlock(context.Background(), "k", ask("")); !errors.Is(err, keys.ErrNoPassphrase) {
		t.Errorf("an empty answer: %v", err)
	}
	if _, err := s.Unlock(context.Background(), "k", ask("p ")); !errors.Is(err, keys.ErrWrongPassphrase) || errors.Is(err, keys.ErrNoPassphrase) {
		t.Errorf("a wrong answer: %v", err)
	}
	cancelled := errors.New("the user pressed Ctrl-C")
	_, err := s.Unlock(context.Background(), "k", func(context.Context, keys.Record) (keys.Secret, error) {
		return secret("p"), cancelled
	})
	if !errors.Is(err, cancelled) {
		t.Errorf("asking failed: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err = s.Unlock(ctx, "k", func(context.Context, keys.Record) (keys.Secret, error) {
		cancel()
		return secret("p"), nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended while asking: %v", err)
	}
}

func TestSecretOfAnotherKey(t *testing.T) {
	for _, passphrase := range []string{"", "p"} {
		s, dir := newStore(t)
		for _, name := range []string{"a", "b"} {
			mustCreate(t, s, name, generate(t, keys.Ed25519), passphrase)
		}
		if err := os.Rename(filepath.Join(dir, "b.toml"), filepath.Join(dir, "a.toml")); err != nil {
			t.Fatal(err)
		}
		if key, err := s.Unlock(context.Background(), "a", ask("p")); err == nil || !strings.Contains(err.Error(), "holds the key") {
			t.Errorf("Unlock = %v, %v", key, err)
		}
	}
}

func TestSecretMissing(t *testing.T) {
	for _, passphrase := range []string{"", "p"} {
		s, _ := newStore(t)
		mustCreate(t, s, "k", generate(t, keys.Ed25519), passphrase)
		remove(t, s.Path("k"))
		if _, err := s.Unlock(context.Background(), "k", ask("p")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Unlock: %v", err)
		}
	}
}

// TestUnlockWhileChangedThereAndBack finds the secret file gone, and there again before it looks why:
// somebody changes the protection meanwhile, twice.
func TestUnlockWhileChangedThereAndBack(t *testing.T) {
	for _, c := range []struct {
		from, to string
		opens    int // of the secret file, until its content is read: of a sealed one the header comes first
	}{{"", "p", 1}, {"p", "", 2}} {
		s, dir := newStore(t)
		key := generate(t, keys.Ed25519)
		mustCreate(t, s, "k", key, c.from)
		path, opens, gone := s.Path("k"), 0, false
		protect := func(now, then string) {
			if _, err := s.Protect(context.Background(), "k", ask(now), lock(then)); err != nil {
				t.Error(err)
			}
		}
		end := atomicfile.SetAround(dir, func(what, on string, do func() error) error {
			if what != "open" || on != path {
				return do()
			}
			if opens++; opens != c.opens {
				return do()
			}
			protect(c.from, c.to)
			err := do()
			gone = errors.Is(err, fs.ErrNotExist)
			protect(c.to, c.from)
			return err
		})
		unlocked, err := s.Unlock(context.Background(), "k", ask("p"))
		end()
		if err != nil || unlocked.Public() != key.Public() || !gone {
			t.Errorf("from %q: %v; it was gone: %v", c.from, err, gone)
		}
	}
}

// TestProtectionIsAsPromised: a record that says "passphrase" over an open secret is a sign of
// tampering, and one that says "none" over a sealed one would fail where nobody can be asked.
func TestProtectionIsAsPromised(t *testing.T) {
	for _, c := range []struct{ passphrase, from, to string }{{"", "k.key", "k.age"}, {"p", "k.age", "k.key"}} {
		s, dir := newStore(t)
		mustCreate(t, s, "k", generate(t, keys.Ed25519), c.passphrase)
		remove(t, filepath.Join(dir, "k.toml"))
		if err := os.Rename(filepath.Join(dir, c.from), filepath.Join(dir, c.to)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Unlock(context.Background(), "k", ask("p")); err == nil {
			t.Errorf("%s as %s is opened", c.from, c.to)
		}
	}
}

func TestOpenToOthersIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no mode bits")
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666, 0o777} {
		s, _ := newStore(t)
		key := generate(t, keys.Ed25519)
		mustCreate(t, s, "k", key, "")
		if err := os.Chmod(s.Path("k"), mode); err != nil {
			t.Fatal(err)
		}
		_, unlockErr := s.Unlock(context.Background(), "k", nil)
		_, openErr := keys.OpenKeyFile(context.Background(), s.Path("k"), nil)
		for _, err := range []error{unlockErr, openErr} {
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%04o", mode)) || !strings.Contains(err.Error(), "chmod 600") {
				t.Errorf("%v: %v", mode, err)
			}
		}
	}
	for _, mode := range []fs.FileMode{0o600, 0o400, 0o700} {
		s, _ := newStore(t)
		mustCreate(t, s, "k", generate(t, keys.Ed25519), "")
		if err := os.Chmod(s.Path("k"), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Unlock(context.Background(), "k", nil); err != nil {
			t.Errorf("%v: %v", mode, err)
		}
	}
}

func TestBadRecords(t *testing.T) {
	record := keys.Record{Name: "k", Public: generate(t, keys.Ed25519).Public(), Created: written, Protection: keys.Unprotected}
	text, err := keys.EncodeRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	for name, bad := range map[string]string{
		"empty":               "",
		"no TOML":             "{}",
		"no public":           strings.Replace(good, "public =", "# public =", 1),
		"no created":          strings.Replace(good, "created =", "# created =", 1),
		"no protection":       strings.Replace(good, "protection =", "# protection =", 1),
		"unknown protection":  strings.Replace(good, "'none'", "'rot13'", 1),
		"unknown field":       good + "label = 'x'\n",
		"field twice":         good + "protection = 'none'\n",
		"public of no key":    strings.Replace(good, record.Public.String(), "k4.public.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 1),
		"public of type pid":  strings.Replace(good, record.Public.String(), record.Public.ID().String(), 1),
		"created of no time":  strings.Replace(good, "2026-11-20T07:00:00Z", "'today'", 1),
		"not UTF-8":           good + "# \xff\n",
		"longer than allowed": good + "#" + strings.Repeat("x", 64<<10) + "\n",
	} {
		s, dir := newStore(t)
		mustCreate(t, s, "k", generate(t, keys.Ed25519), "")
		write(t, filepath.Join(dir, "k.toml"), bad, 0o600)
		if bad == good {
			t.Fatalf("%s: nothing was replaced", name)
		}
		if _, err := s.Lookup("k"); err == nil || !strings.Contains(err.Error(), "k.toml") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.Unlock(context.Background(), "k", nil); err == nil {
			t.Errorf("%s: unlocked", name)
		}
	}
}
