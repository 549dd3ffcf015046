// The store: a folder with the user's keys, one secret file and one record file for each.

package keys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/internal/home"
)

// The files of a key differ in what follows its name.
const (
	recordExt    = ".toml" // the public facts
	protectedExt = ".age"  // PASERK text, encrypted by age with a passphrase, armored
	plainExt     = ".key"  // PASERK text
)

// lockLimit is how long a change waits for another one of the same store, which takes about a
// second of scrypt.
const lockLimit = 10 * time.Second

// A Store keeps keys in a folder: for the key NAME the secret in NAME.age (passphrase) or NAME.key
// (unprotected), and beside it NAME.toml with the public facts. The secret file is written first
// and removed first, so it alone decides whether there is a key, and a lost record is made again
// from it. A hardware key has only NAME.toml. All files have the mode 0600, the folder 0700. Any
// number of stores, in any number of processes, may use one folder at a time.
type Store struct{ dir string }

// OpenStore is the store in the folder dir. The folder is made by the first [Store.Create]; until
// then the store is empty.
func OpenStore(dir string) *Store { return &Store{dir} }

// Create stores key under name, encrypted if passphrase is not zero, with the time created, in
// whole seconds. If anything of that name is there, even a file without its other half, it changes
// nothing, and the error wraps [fs.ErrExist]. After any error there is no such key.
func (s *Store) Create(name string, key *SoftwareKey, passphrase Secret, created time.Time) (Record, error) {
	record := Record{Name: name, Public: key.Public(), Created: wholeSeconds(created), Protection: Unprotected}
	if !passphrase.IsZero() {
		record.Protection = Passphrase
	}
	if err := s.create(record, key, passphrase); err != nil {
		return Record{}, fmt.Errorf("storing key %q: %w", name, err)
	}
	return record, nil
}

func (s *Store) create(record Record, key *SoftwareKey, passphrase Secret) error {
	if err := CheckName(record.Name); err != nil {
		return err
	}
	unlock, err := s.lock(context.Background())
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.checkFree(record.Name); err != nil {
		return err
	}
	text, err := encodeRecord(record)
	if err != nil {
		return err
	}
	sealed, err := sealKey(key, passphrase)
	if err != nil {
		return err
	}
	path := s.secretPath(record)
	if err := atomicfile.Create(path, sealed, 0o600); err != nil {
		return err
	}
	if err := atomicfile.Create(s.file(record.Name, recordExt), text, 0o600); err != nil {
		return errors.Join(err, atomicfile.Remove(path))
	}
	return nil
}

// Remove deletes the key for good; for a hardware key it deletes the record, and leaves the token
// as it is. It needs no passphrase. If there is no such key the error wraps [fs.ErrNotExist]. After
// any other error part of the key may be left: call Remove again.
func (s *Store) Remove(name string) error {
	if err := s.remove(name); err != nil {
		return fmt.Errorf("removing key %q: %w", name, err)
	}
	return nil
}

func (s *Store) remove(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := s.checkFree(name); err == nil {
		return fs.ErrNotExist
	}
	unlock, err := s.lock(context.Background())
	if err != nil {
		return err
	}
	defer unlock()
	for _, ext := range []string{protectedExt, plainExt, recordExt} {
		if err := atomicfile.Remove(s.file(name, ext)); err != nil {
			return err
		}
	}
	return nil
}

// List is all keys, sorted by name. A key whose record can't be read is left out and named in
// the error, which then comes with the others.
func (s *Store) List() ([]Record, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing keys: %w", err)
	}
	names := make(map[string]bool)
	for _, entry := range entries {
		name, ext := cutExt(entry.Name())
		if slices.Contains([]string{recordExt, protectedExt, plainExt}, ext) && CheckName(name) == nil {
			names[name] = true
		}
	}
	var records []Record
	var faults []error
	for name := range names {
		record, err := s.Lookup(name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		records = append(records, record)
	}
	slices.SortFunc(records, func(a, b Record) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(faults, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return records, errors.Join(faults...)
}

// Find is the record of the key with that id; of several, the first by name. If there is none the
// error wraps [fs.ErrNotExist], and names the records that could not be read, as the key may be in
// one of them.
func (s *Store) Find(id ID) (Record, error) {
	records, err := s.List()
	for _, record := range records {
		if !id.IsZero() && record.Public.ID() == id {
			return record, nil
		}
	}
	return Record{}, errors.Join(fmt.Errorf("finding key %v: %w", id, fs.ErrNotExist), err)
}

// Path is the file that holds the key's secret, or would hold it if it were stored unprotected. A
// hardware key has no such file.
func (s *Store) Path(name string) string {
	if path := s.file(name, protectedExt); exists(path) {
		return path
	}
	return s.file(name, plainExt)
}

func (s *Store) file(name, ext string) string { return filepath.Join(s.dir, name+ext) }

func (s *Store) secretPath(r Record) string {
	if r.Protection == Passphrase {
		return s.file(r.Name, protectedExt)
	}
	return s.file(r.Name, plainExt)
}

// checkFree refuses a name of which any file exists.
func (s *Store) checkFree(name string) error {
	for _, ext := range []string{recordExt, protectedExt, plainExt} {
		if path := s.file(name, ext); exists(path) {
			return fmt.Errorf("%q: %w", path, fs.ErrExist)
		}
	}
	return nil
}

func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	return home.Lock(ctx, s.dir)
}

// exists counts what can't be looked at as there, so that it is never overwritten.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func cutExt(file string) (name, ext string) {
	ext = filepath.Ext(file)
	return strings.TrimSuffix(file, ext), ext
}
