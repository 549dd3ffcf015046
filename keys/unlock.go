// Looking up and opening one key of the store: what every signature begins with.

package keys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// Lookup is the record of one key. It reads one small file, two if the key is sealed, and never the
// folder. If there is no such key the error wraps [fs.ErrNotExist]. Where the record file was lost,
// the answer comes from the secret file, as far as possible: see [Record]. How a sealed key is
// protected is told from its secret file, if that can be read, as an interrupted change of
// protection leaves the record behind.
func (s *Store) Lookup(name string) (Record, error) {
	record, _, err := s.lookup(name)
	if err != nil {
		return Record{}, fmt.Errorf("looking up key %q: %w", name, err)
	}
	record.items = "" // the store's own business
	return record, nil
}

// lookup is [Store.Lookup], and reports whether the record file was lost.
func (s *Store) lookup(name string) (record Record, lost bool, err error) {
	record, lost, _, err = s.look(name)
	return record, lost, err
}

// lookupSure is lookup for whoever is about to delete by what it says: a secret file that can't be read
// is an error. item is the keychain's that the key's .age file names, though it may not be what counts;
// "" if there is none.
func (s *Store) lookupSure(name string) (record Record, item string, err error) {
	record, _, unsure, err := s.look(name)
	if err = errors.Join(err, unsure); err != nil {
		return Record{}, "", err
	}
	item, err = s.itemOf(name)
	return record, item, err
}

// look is lookup, with the error that kept it from telling the protection of a sealed key.
func (s *Store) look(name string) (record Record, lost bool, unsure, err error) {
	if err := CheckName(name); err != nil {
		return Record{}, false, nil, err
	}
	path := s.file(name, recordExt)
	text, err := readLimited(context.Background(), path, maxKeyFileSize, nil)
	if errors.Is(err, fs.ErrNotExist) {
		record, err = s.recordFromSecret(name)
		return record, true, nil, err
	}
	if err != nil {
		return Record{}, false, nil, fmt.Errorf("reading %q: %w", path, err)
	}
	record, err = parseRecord(name, text)
	if err != nil {
		return Record{}, false, nil, fmt.Errorf("reading %q: %w", path, err)
	}
	if !record.isSealed() {
		return record, false, nil, nil
	}
	seal, err := s.sealOf(name)
	if err != nil {
		return record, false, err, nil
	}
	record.Protection = seal.protection
	return record, false, nil, nil
}

// sealOf is what the header of a key's .age file says. The file's mode is not judged: nothing of
// its secret is read.
func (s *Store) sealOf(name string) (seal, error) {
	path := s.file(name, protectedExt)
	data, err := readLimited(context.Background(), path, maxKeyFileSize, nil)
	if err != nil {
		return seal{}, fmt.Errorf("reading %q: %w", path, err)
	}
	if !isSealed(data) {
		return seal{}, fmt.Errorf("reading %q: %w", path, errNoSeal)
	}
	found, err := parseSeal(data)
	if err != nil {
		return seal{}, fmt.Errorf("reading %q: %w: %w", path, errNoSeal, err)
	}
	return found, nil
}

// errNoSeal is for a .age file whose content is something else.
var errNoSeal = errors.New("it is no armored age file of a key")

// itemOf is the id of the keychain's item that a key's .age file names; empty if there is none. What
// can't be read may name one, and is an error.
func (s *Store) itemOf(name string) (string, error) {
	found, err := s.sealOf(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNoSeal) {
		return "", nil
	}
	return found.item, err
}

// recordFromSecret is as much of a record as the secret file alone gives; its time is when the file
// was last written.
func (s *Store) recordFromSecret(name string) (Record, error) {
	record := Record{Name: name, Protection: Unprotected}
	if exists(s.file(name, protectedExt)) {
		if exists(s.file(name, plainExt)) {
			return Record{}, fmt.Errorf("%q and %q both exist, and no %q says which is right",
				name+protectedExt, name+plainExt, name+recordExt)
		}
		seal, err := s.sealOf(name)
		if err != nil {
			return Record{}, err
		}
		record.Protection = seal.protection
	}
	path := s.secretPath(record)
	info, err := atomicfile.Stat(path)
	if err != nil {
		return Record{}, fmt.Errorf("reading %q: %w", path, reason(err))
	}
	record.Created = wholeSeconds(info.ModTime())
	if record.isSealed() {
		return record, nil
	}
	data, err := readKeyFile(context.Background(), path, checkPrivate)
	if err != nil {
		return Record{}, fmt.Errorf("reading %q: %w", path, err)
	}
	key, err := opener{}.open(context.Background(), data, record)
	if err != nil {
		return Record{}, fmt.Errorf("opening %q: %w", path, err)
	}
	record.Public = key.Public()
	return record, nil
}

// Unlock opens the key. For a passphrase key it calls ask once; a nil ask counts as one that has no
// passphrase. For a keychain key it asks the keychain, which may wait for a person. It refuses a
// secret that does not belong to the record, so the key returned is the one that [Store.Lookup]
// promised. Where the record file was lost, it is written again if that can be done. Errors wrap
// [fs.ErrNotExist] for a missing key, [ErrHardware], [ErrSSHAgent] or [ErrElsewhere] for one whose secret is not here,
// [ErrNoPassphrase], [ErrWrongPassphrase], [ErrNoKeychain], [ErrNoItem], or what ask, the keychain or
// ctx said.
func (s *Store) Unlock(ctx context.Context, name string, ask PassphraseFunc) (*SoftwareKey, error) {
	found, err := s.unlock(ctx, name, ask)
	if err != nil {
		return nil, fmt.Errorf("unlocking key %q: %w", name, err)
	}
	return found.key, nil
}

// opened is a key that was opened, and what the store had of it.
type opened struct {
	key    *SoftwareKey
	record Record
	data   Secret // the content of its secret file
}

func (s *Store) unlock(ctx context.Context, name string, ask PassphraseFunc) (opened, error) {
	record, lost, err := s.lookup(name)
	if err != nil {
		return opened{}, err
	}
	switch record.Protection {
	case Hardware:
		return opened{}, ErrHardware
	case SSHAgent:
		return opened{}, ErrSSHAgent
	case Elsewhere:
		return opened{}, ErrElsewhere
	}
	path := s.secretPath(record)
	data, err := readKeyFile(ctx, path, checkPrivate)
	if errors.Is(err, fs.ErrNotExist) {
		// Between the two looks its protection may have been changed, and even changed back.
		if now, _, err := s.lookup(name); err == nil && (now.isSealed() != record.isSealed() || isThere(path)) {
			return s.unlock(ctx, name, ask)
		}
	}
	if err != nil {
		return opened{}, fmt.Errorf("reading %q: %w", path, err)
	}
	if isSealed(data.Reveal()) != record.isSealed() {
		return opened{}, fmt.Errorf("reading %q: its protection is not %q, as its name or record says", path, record.Protection)
	}
	about := record
	about.items = ""
	key, err := opener{ask, s.keychain}.open(ctx, data, about)
	if err != nil {
		return opened{}, fmt.Errorf("opening %q: %w", path, err)
	}
	if !record.Public.IsZero() && record.Public != key.Public() {
		return opened{}, fmt.Errorf("%q holds the key %v, but %q says %v",
			path, key.Public().ID(), name+recordExt, record.Public.ID())
	}
	if lost {
		record.Public = key.Public()
		s.restoreRecord(ctx, record)
	}
	return opened{key, record, data}, nil
}

// isThere reports whether path can be opened, as far as a look tells: unlike exists it says no of a
// link that leads nowhere.
func isThere(path string) bool {
	_, err := atomicfile.Stat(path)
	return err == nil
}

// restoreRecord writes a lost record again. It reports nothing: the key is open, and the next
// Unlock tries again.
func (s *Store) restoreRecord(ctx context.Context, record Record) {
	text, err := encodeRecord(record)
	if err != nil {
		return
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return
	}
	defer unlock()
	// Nobody may have removed the key meanwhile.
	if exists(s.secretPath(record)) {
		_ = atomicfile.Create(s.file(record.Name, recordExt), text, 0o600)
	}
}
