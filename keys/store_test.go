// The store: creating, finding and removing keys, and what it never overwrites.

package keys_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

var created = time.Date(2026, 11, 22, 9, 12, 0, 345, time.FixedZone("", 3600))

// newStore is a store in a folder that does not exist yet, in one that does.
func newStore(t testing.TB) (*keys.Store, string) {
	dir := filepath.Join(t.TempDir(), "home", "keys")
	return keys.OpenStore(dir), dir
}

func ask(passphrase string) keys.PassphraseFunc {
	return func(context.Context, keys.Record) (keys.Secret, error) { return secret(passphrase), nil }
}

// lock is none for an empty passphrase.
func lock(passphrase string) keys.Lock {
	if passphrase == "" {
		return keys.NoLock()
	}
	return keys.PassphraseLock(secret(passphrase))
}

func create(s *keys.Store, name string, key *keys.SoftwareKey, passphrase string) (keys.Record, error) {
	return s.Create(context.Background(), keys.Record{Name: name, Created: created}, key, lock(passphrase))
}

func mustCreate(t testing.TB, s *keys.Store, name string, key *keys.SoftwareKey, passphrase string) keys.Record {
	t.Helper()
	record, err := create(s, name, key, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// snapshot is the content of each file below dir, the lock's apart.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() == ".lock" {
			return err
		}
		switch {
		case entry.IsDir():
			files[path] = "folder"
		case entry.Type() == fs.ModeSymlink:
			files[path], err = os.Readlink(path)
		default:
			var text []byte
			text, err = os.ReadFile(path)
			files[path] = string(text)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}

func write(t testing.TB, path, text string, perm fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), perm); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, perm); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestStoreRoundTrip(t *testing.T) {
	for _, a := range algorithms {
		for _, passphrase := range []string{"", "correct horse"} {
			s, dir := newStore(t)
			key := generate(t, a)
			record := mustCreate(t, s, "laptop", key, passphrase)
			want := keys.Record{Name: "laptop", Public: key.Public(), Protection: keys.Unprotected}
			want.Created = time.Date(2026, 11, 22, 8, 12, 0, 0, time.UTC)
			path := filepath.Join(dir, "laptop.key")
			if passphrase != "" {
				want.Protection, path = keys.Passphrase, filepath.Join(dir, "laptop.age")
			}
			if record != want {
				t.Errorf("Create = %+v, want %+v", record, want)
			}
			if got, err := s.Lookup("laptop"); err != nil || got != want {
				t.Errorf("Lookup = %+v, %v, want %+v", got, err, want)
			}
			if got, err := s.Find(key.Public().ID()); err != nil || got != want {
				t.Errorf("Find = %+v, %v, want %+v", got, err, want)
			}
			if got, err := s.List(); err != nil || !slices.Equal(got, []keys.Record{want}) {
				t.Errorf("List = %+v, %v", got, err)
			}
			if s.Path("laptop") != path {
				t.Errorf("Path = %s, want %s", s.Path("laptop"), path)
			}
			checkModes(t, dir)
			unlocked, err := s.Unlock(context.Background(), "laptop", func(_ context.Context, about keys.Record) (keys.Secret, error) {
				if passphrase == "" || about != want {
					t.Errorf("asked about %+v", about)
				}
				return secret(passphrase), nil
			})
			if err != nil || string(unlocked.Secret().Reveal()) != string(key.Secret().Reveal()) {
				t.Errorf("Unlock: %v", err)
			}
			if text, _ := os.ReadFile(path); passphrase == "" && string(text) != string(key.Secret().Reveal())+"\n" {
				t.Error("an unprotected key file is not the PASERK text and a line feed")
			}
		}
	}
}

func checkModes(t *testing.T, dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d files instead of secret, record and lock (%v)", len(entries), err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: mode %v, %v", info.Mode(), err)
	}
}

func TestEmptyStore(t *testing.T) {
	s, dir := newStore(t)
	if records, err := s.List(); len(records) != 0 || err != nil {
		t.Errorf("List = %v, %v", records, err)
	}
	if _, err := s.Lookup("k"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lookup: %v", err)
	}
	if _, err := s.Unlock(context.Background(), "k", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Unlock: %v", err)
	}
	if _, err := s.Find(generate(t, keys.Ed25519).Public().ID()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Find: %v", err)
	}
	if err := s.Remove(context.Background(), "k"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Remove: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("looking made the folder: %v", err)
	}
}

// TestCreateNeverOverwrites puts everything that can bear the name in the way, half keys included.
func TestCreateNeverOverwrites(t *testing.T) {
	inTheWay := map[string]func(path string) error{
		"file":          func(path string) error { return os.WriteFile(path, []byte("precious"), 0o600) },
		"empty file":    func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"folder":        func(path string) error { return os.Mkdir(path, 0o700) },
		"dangling link": func(path string) error { return os.Symlink("nowhere", path) },
	}
	for what, put := range inTheWay {
		for _, ext := range []string{".toml", ".key", ".age"} {
			for _, passphrase := range []string{"", "p"} {
				s, dir := newStore(t)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := put(filepath.Join(dir, "k"+ext)); err != nil {
					t.Skip(err)
				}
				before := snapshot(t, dir)
				if _, err := create(s, "k", generate(t, keys.Ed25519), passphrase); !errors.Is(err, fs.ErrExist) {
					t.Errorf("%s at k%s: %v", what, ext, err)
				}
				if after := snapshot(t, dir); !maps.Equal(before, after) {
					t.Errorf("%s at k%s: %v became %v", what, ext, before, after)
				}
			}
		}
	}
	s, dir := newStore(t)
	mustCreate(t, s, "k", generate(t, keys.Ed25519), "")
	before := snapshot(t, dir)
	for _, passphrase := range []string{"", "p"} {
		if _, err := create(s, "k", generate(t, keys.P384), passphrase); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Create: %v", err)
		}
	}
	if after := snapshot(t, dir); !maps.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
}

// TestConcurrentCreate has two dozen stores make one key, with and without passphrase: one wins whole.
func TestConcurrentCreate(t *testing.T) {
	_, dir := newStore(t)
	const attempts = 24
	made := make([]*keys.SoftwareKey, attempts)
	errs := make([]error, attempts)
	var group sync.WaitGroup
	for i := range attempts {
		made[i] = generate(t, keys.Ed25519)
		group.Go(func() {
			_, errs[i] = create(keys.OpenStore(dir), "k", made[i], []string{"", "p"}[i%2])
		})
	}
	group.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Fatalf("%d and %d both made the key", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, fs.ErrExist):
			t.Errorf("%d: %v", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody made the key")
	}
	key, err := keys.OpenStore(dir).Unlock(context.Background(), "k", ask("p"))
	if err != nil || key.Public() != made[winner].Public() {
		t.Errorf("the key stored is not the winner's (%v)", err)
	}
	if files := snapshot(t, dir); len(files) != 3 { // the folder, the secret, the record
		t.Errorf("left behind: %v", slices.Collect(maps.Keys(files)))
	}
}

// TestConcurrentChanges creates, removes and unlocks one key from all sides: in the end there is a
// whole key, or none.
func TestConcurrentChanges(t *testing.T) {
	dir := filepath.Join(memoryFolder(t), "keys") // as on a slow disk hundreds of syncs take as long as one waits for the lock
	var group sync.WaitGroup
	for range 3 {
		key := generate(t, keys.Ed25519)
		for _, change := range []func(*keys.Store) error{
			func(s *keys.Store) error { _, err := create(s, "k", key, ""); return err },
			func(s *keys.Store) error { return s.Remove(context.Background(), "k") },
			func(s *keys.Store) error { _, err := s.Unlock(context.Background(), "k", nil); return err },
		} {
			group.Go(func() {
				for range 12 {
					err := change(keys.OpenStore(dir))
					if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), "holds the key") {
						t.Error(err)
					}
				}
			})
		}
	}
	group.Wait()
	s := keys.OpenStore(dir)
	_, err := s.Unlock(context.Background(), "k", nil)
	files := len(snapshot(t, dir)) - 1 // without the folder itself
	if err == nil && files != 2 || err != nil && files != 0 {
		t.Errorf("%d files, %v", files, err)
	}
}

func TestListAndFind(t *testing.T) {
	s, dir := newStore(t)
	var want []string
	byName := make(map[string]keys.PublicKey)
	for _, name := range []string{"b", "a", "a.b", "a-b", "0", "x.toml", "x.key", "age"} {
		key := generate(t, keys.Ed25519)
		mustCreate(t, s, name, key, "")
		byName[name] = key.Public()
		want = append(want, name)
	}
	slices.Sort(want)
	for _, junk := range []string{".k.toml", "Upper.toml", "notes.txt", ".k.key.123.tmp", "toml", "_x.key", strings.Repeat("n", 65) + ".key"} {
		write(t, filepath.Join(dir, junk), "junk", 0o600)
	}
	records, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, record := range records {
		got = append(got, record.Name)
		if found, err := s.Find(byName[record.Name].ID()); err != nil || found != record {
			t.Errorf("Find(%s) = %+v, %v", record.Name, found, err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("List = %v, want %v", got, want)
	}
	write(t, filepath.Join(dir, "b.toml"), "public = 1", 0o600)
	records, err = s.List()
	if err == nil || !strings.Contains(err.Error(), "b.toml") || len(records) != len(want)-1 {
		t.Errorf("with one broken record: %d records, %v", len(records), err)
	}
	if _, err := s.Find(byName["a"].ID()); err != nil {
		t.Errorf("Find fails over another key's record: %v", err)
	}
	if _, err := s.Find(byName["b"].ID()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "b.toml") {
		t.Errorf("Find: %v", err)
	}
}

func TestRemove(t *testing.T) {
	for _, passphrase := range []string{"", "p"} {
		s, dir := newStore(t)
		for _, name := range []string{"k", "k.key", "kk"} {
			mustCreate(t, s, name, generate(t, keys.Ed25519), passphrase)
		}
		// An interrupted Create leaves a temporary file with the secret in it.
		secretFile := filepath.Base(s.Path("k"))
		write(t, filepath.Join(dir, "."+secretFile+".123456.tmp"), "secret", 0o600)
		before := snapshot(t, dir)
		if err := s.Remove(context.Background(), "k"); err != nil {
			t.Fatal(err)
		}
		for _, gone := range []string{"k.toml", secretFile, "." + secretFile + ".123456.tmp"} {
			delete(before, filepath.Join(dir, gone))
		}
		if after := snapshot(t, dir); !maps.Equal(before, after) {
			t.Errorf("Remove left %v, want %v", slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)))
		}
		if err := s.Remove(context.Background(), "k"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Remove again: %v", err)
		}
		mustCreate(t, s, "k", generate(t, keys.Ed25519), passphrase)
	}
	// Half of a key, as an interruption leaves it, is removed too.
	for _, ext := range []string{".toml", ".key", ".age"} {
		s, dir := newStore(t)
		mustCreate(t, s, "other", generate(t, keys.Ed25519), "")
		before := snapshot(t, dir)
		write(t, filepath.Join(dir, "k"+ext), "half", 0o600)
		if err := s.Remove(context.Background(), "k"); err != nil {
			t.Errorf("removing k%s alone: %v", ext, err)
		}
		if after := snapshot(t, dir); !maps.Equal(before, after) {
			t.Errorf("removing k%s alone left %v", ext, slices.Collect(maps.Keys(after)))
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "0", "laptop", "ci.2026-11_x", "a-", "a..b", strings.Repeat("n", 64)} {
		if err := keys.CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	s, dir := newStore(t)
	for _, name := range []string{
		"", ".", "..", "-a", "_a", ".a", "A", "Laptop", "a b", "a/b", "a\\b", "../a", "/a",
		"a\x00", "a\n", "ä", "a:b", "a*", "\xff", strings.Repeat("n", 65),
	} {
		if err := keys.CheckName(name); err == nil {
			t.Errorf("%q is accepted", name)
		}
		_, createErr := create(s, name, generate(t, keys.Ed25519), "")
		_, lookupErr := s.Lookup(name)
		_, unlockErr := s.Unlock(context.Background(), name, nil)
		for _, err := range []error{createErr, lookupErr, unlockErr, s.Remove(context.Background(), name)} {
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%q reached the disk: %v", name, err)
			}
		}
	}
	if files := snapshot(t, dir); len(files) != 0 {
		t.Errorf("made: %v", files)
	}
}

func TestCreateRefusesImpossibleTimes(t *testing.T) {
	s, dir := newStore(t)
	for _, when := range []time.Time{{}, time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if _, err := s.Create(t.Context(), keys.Record{Name: "k", Created: when}, generate(t, keys.Ed25519), keys.NoLock()); err == nil {
			t.Errorf("%v is accepted", when)
		}
	}
	if files := snapshot(t, dir); len(files) > 1 {
		t.Errorf("made: %v", files)
	}
}

func TestStoreInTheWay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	write(t, dir, "a file where the folder should be", 0o600)
	s := keys.OpenStore(dir)
	if _, err := create(s, "k", generate(t, keys.Ed25519), ""); err == nil || errors.Is(err, fs.ErrExist) {
		t.Errorf("Create: %v", err)
	}
	if _, err := s.List(); err == nil {
		t.Error("List finds a folder")
	}
	if _, err := s.Lookup("k"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lookup: %v", err)
	}
}
