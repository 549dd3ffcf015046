// The store: a folder with the user's keys, one secret file and one record file for each.

package keys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
	protectedExt = ".age"  // PASERK text, encrypted by age with a passphrase or for the keychain, armored
	plainExt     = ".key"  // PASERK text
)

// lockLimit is how long a change waits for another one of the same store, which takes some two
// seconds of scrypt, or longer if a person has to unlock the keychain.
const lockLimit = 10 * time.Second

// A Store keeps keys in a folder: for the key NAME the secret in NAME.age (passphrase or keychain) or
// NAME.key (unprotected), and beside it NAME.toml with the public facts. A new secret file is written
// first, and removed first, so it alone decides whether there is a key, and a lost record is made
// again from it. Which protection a .age file has its header says. While [Store.Protect] is at work
// or was interrupted both may exist: the record then says which one counts. A key in hardware, in an
// ssh-agent or elsewhere has only NAME.toml. All files have the mode 0600, the folder 0700. Any number of stores, in
// any number of processes, may use one folder at a time.
type Store struct {
	dir      string
	keychain SystemKeychain // nil: none
}

// OpenStore is the store in the folder dir. The folder is made by the first [Store.Create]; until
// then the store is empty.
func OpenStore(dir string) *Store { return &Store{dir: dir} }

// Create stores key under the name of r, protected by lock, with r's time, in whole seconds, and
// origin. It returns the whole record. If anything of that name is there, even a file without its
// other half, it changes nothing, and the error wraps [fs.ErrExist]; except where that is the secret
// file of this very key under this very lock, alone, as a Create that was killed leaves it: then it
// is completed. After any other error there is no such key. Where it is killed, an item may be left in
// the keychain that opens nothing.
func (s *Store) Create(ctx context.Context, r Record, key *SoftwareKey, lock Lock) (Record, error) {
	r = Record{Name: r.Name, Public: key.Public(), Created: wholeSeconds(r.Created), Protection: lock.protection, Origin: r.Origin}
	if err := s.create(ctx, r, key, lock); err != nil {
		return Record{}, fmt.Errorf("storing key %q: %w", r.Name, err)
	}
	return r, nil
}

func (s *Store) create(ctx context.Context, record Record, key *SoftwareKey, to Lock) error {
	if err := CheckName(record.Name); err != nil {
		return err
	}
	if err := s.check(to); err != nil {
		return err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	text, err := encodeRecord(record)
	if err != nil {
		return err
	}
	if err := s.checkFree(record.Name); err != nil {
		if s.isHalf(ctx, record, key, to) {
			return atomicfile.Create(s.file(record.Name, recordExt), text, 0o600)
		}
		return err
	}
	item := newItemID()
	sealed, err := s.seal(ctx, key, to, item)
	path := s.secretPath(record)
	if err == nil {
		err = atomicfile.Create(path, sealed, 0o600)
	}
	if err == nil {
		if err = atomicfile.Create(s.file(record.Name, recordExt), text, 0o600); err != nil {
			err = errors.Join(err, atomicfile.Remove(path))
		}
	}
	if err != nil && to.protection == Keychain {
		_ = s.keychain.Delete(ctx, item) // it may never have been there, and opens nothing
	}
	return err
}

// isHalf reports whether the key's secret file is there without its record, and opens by the lock.
func (s *Store) isHalf(ctx context.Context, record Record, key *SoftwareKey, to Lock) bool {
	if found, lost, err := s.lookup(record.Name); err != nil || !lost || found.Protection != to.protection {
		return false
	}
	data, err := readLimited(ctx, s.secretPath(record), maxKeyFileSize, nil)
	return err == nil && s.verify(ctx, data, to, key.Public()) == nil
}

// Unrecorded reports whether there is a key of that name without its record, so that nothing says where
// it was made.
func (s *Store) Unrecorded(name string) bool {
	_, lost, err := s.lookup(name)
	return err == nil && lost
}

// seal is the content of a secret file under the lock to; item is the id for what the keychain keeps.
// A file for the keychain has been opened again by what the keychain gives back.
func (s *Store) seal(ctx context.Context, key *SoftwareKey, to Lock, item string) ([]byte, error) {
	switch to.protection {
	case Passphrase:
		recipient, err := passphraseRecipient(to.passphrase)
		if err != nil {
			return nil, err
		}
		return sealKey(key, recipient)
	case Keychain:
		recipients, err := itemRecipients(ctx, s.keychain, item)
		if err != nil {
			return nil, err
		}
		sealed, err := sealKey(key, recipients...)
		if err != nil {
			return nil, err
		}
		return sealed, s.verify(ctx, sealed, to, key.Public())
	}
	return sealKey(key)
}

// verify opens a sealed key file as its user will, and compares the key.
func (s *Store) verify(ctx context.Context, sealed []byte, to Lock, public PublicKey) error {
	opens := opener{func(context.Context, Record) (Secret, error) { return to.passphrase, nil }, s.keychain}
	key, err := opens.open(ctx, NewSecret(sealed), Record{})
	if err != nil {
		return fmt.Errorf("opening what was just sealed: %w", err)
	}
	if key.Public() != public {
		return errors.New("opening what was just sealed: another key came out")
	}
	return nil
}

// Remove deletes the key for good, with its wrapping key in the keychain; of a key that
// is not in a file here it deletes the record, and leaves the token or agent as it is. It needs no passphrase. If there
// is no such key the error wraps [fs.ErrNotExist]. An [*ItemsLeftError] says that the key is gone,
// but the keychain keeps what has become useless. After any other error part of the key may be left:
// call Remove again.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := s.removeKey(ctx, name); err != nil {
		return fmt.Errorf("removing key %q: %w", name, err)
	}
	return nil
}

func (s *Store) removeKey(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := s.checkFree(name); err == nil {
		return fs.ErrNotExist
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	item, _ := s.itemOf(name) // of a file that can't be read it stays behind, and opens nothing
	items := addItem("", item)
	if record, _, err := s.lookup(name); err == nil {
		items += record.items
	}
	// The items go first: were they last, an interruption would leave them with nothing to name them.
	_, left := s.deleteItems(ctx, items, "")
	for _, ext := range []string{protectedExt, plainExt, recordExt} {
		if err := atomicfile.Remove(s.file(name, ext)); err != nil {
			return err
		}
	}
	return left
}

// Tidy removes what killed writers have left of their temporary files, which may hold keys.
func (s *Store) Tidy(ctx context.Context) error {
	entries, err := atomicfile.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tidying up among keys: %w", err)
	}
	if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return atomicfile.IsTemp(e.Name()) }) {
		return nil
	}
	unlock, err := s.lock(ctx) // which does it: nobody is writing then
	if err != nil {
		return fmt.Errorf("tidying up among keys: %w", err)
	}
	unlock()
	return nil
}

// List is all keys, sorted by name. A key whose record can't be read is left out and named in
// the error, which then comes with the others.
func (s *Store) List() ([]Record, error) {
	entries, err := atomicfile.ReadDir(s.dir)
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
	for _, name := range slices.Sorted(maps.Keys(names)) {
		record, err := s.Lookup(name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		records = append(records, record)
	}
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
// hardware or ssh-agent key has no such file.
func (s *Store) Path(name string) string {
	if record, _, err := s.lookup(name); err == nil {
		return s.secretPath(record)
	}
	if path := s.file(name, protectedExt); exists(path) {
		return path
	}
	return s.file(name, plainExt)
}

func (s *Store) file(name, ext string) string { return filepath.Join(s.dir, name+ext) }

func (s *Store) secretPath(r Record) string {
	if r.isSealed() {
		return s.file(r.Name, protectedExt)
	}
	return s.file(r.Name, plainExt)
}

// isSealed reports whether the key's secret is in a .age file.
func (r Record) isSealed() bool { return r.Protection == Passphrase || r.Protection == Keychain }

// checkFree refuses a name of which any file exists.
func (s *Store) checkFree(name string) error {
	for _, ext := range []string{recordExt, protectedExt, plainExt} {
		path := s.file(name, ext)
		switch _, err := atomicfile.Lstat(path); {
		case err == nil:
			return fmt.Errorf("%q: %w", path, fs.ErrExist)
		case !errors.Is(err, fs.ErrNotExist):
			return err // it may be there, and is not overwritten; nor is another name looked for
		}
	}
	return nil
}

func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	return home.Lock(ctx, s.dir, ".")
}

// exists counts what can't be looked at as there, so that it is never overwritten.
func exists(path string) bool {
	_, err := atomicfile.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func cutExt(file string) (name, ext string) {
	ext = filepath.Ext(file)
	return strings.TrimSuffix(file, ext), ext
}
