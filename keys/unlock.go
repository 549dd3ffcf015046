// Looking up and opening one key of the store: what every signature begins with.

package keys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// Lookup is the record of one key. It reads one small file and never the folder. If there is no
// such key the error wraps [fs.ErrNotExist]. Where the record file was lost, the answer comes from
// the secret file, as far as possible: see [Record].
func (s *Store) Lookup(name string) (Record, error) {
	record, _, err := s.lookup(name)
	if err != nil {
		return Record{}, fmt.Errorf("looking up key %q: %w", name, err)
	}
	return record, nil
}

// lookup is [Store.Lookup], and reports whether the record file was lost.
func (s *Store) lookup(name string) (record Record, lost bool, err error) {
	if err := CheckName(name); err != nil {
		return Record{}, false, err
	}
	path := s.file(name, recordExt)
	text, err := readLimited(context.Background(), path, maxKeyFileSize, nil)
	if errors.Is(err, fs.ErrNotExist) {
		record, err = s.recordFromSecret(name)
		return record, true, err
	}
	if err != nil {
		return Record{}, false, fmt.Errorf("reading %q: %w", path, err)
	}
	record, err = parseRecord(name, text)
	if err != nil {
		return Record{}, false, fmt.Errorf("reading %q: %w", path, err)
	}
	return record, false, nil
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
		record.Protection = Passphrase
	}
	path := s.secretPath(record)
	info, err := os.Stat(path)
	if err != nil {
		return Record{}, fmt.Errorf("reading %q: %w", path, reason(err))
	}
	record.Created = wholeSeconds(info.ModTime())
	if record.Protection == Passphrase {
		return record, nil
	}
	key, err := OpenKeyFile(context.Background(), path, nil)
	if err != nil {
		return Record{}, err
	}
	record.Public = key.Public()
	return record, nil
}

// Unlock opens the key. For a passphrase key it calls ask once; a nil ask counts as one that has no
// passphrase. It refuses a secret that does not belong to the record, so the key returned is the
// one that [Store.Lookup] promised. Where the record file was lost, it is written again if that can
// be done. Errors wrap [fs.ErrNotExist] for a missing key, [ErrHardware] for one whose secret is
// not here, [ErrNoPassphrase], [ErrWrongPassphrase], or what ask or ctx said.
func (s *Store) Unlock(ctx context.Context, name string, ask PassphraseFunc) (*SoftwareKey, error) {
	key, err := s.unlock(ctx, name, ask)
	if err != nil {
		return nil, fmt.Errorf("unlocking key %q: %w", name, err)
	}
	return key, nil
}

func (s *Store) unlock(ctx context.Context, name string, ask PassphraseFunc) (*SoftwareKey, error) {
	record, lost, err := s.lookup(name)
	if err != nil {
		return nil, err
	}
	if record.Protection == Hardware {
		return nil, ErrHardware
	}
	path := s.secretPath(record)
	data, err := readKeyFile(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	if isSealed(data.Reveal()) != (record.Protection == Passphrase) {
		return nil, fmt.Errorf("reading %q: its protection is not %q, as its name or record says", path, record.Protection)
	}
	key, err := openKey(ctx, data, ask, record)
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", path, err)
	}
	if !record.Public.IsZero() && record.Public != key.Public() {
		return nil, fmt.Errorf("%q holds the key %v, but %q says %v",
			path, key.Public().ID(), name+recordExt, record.Public.ID())
	}
	if lost {
		record.Public = key.Public()
		s.restoreRecord(ctx, record)
	}
	return key, nil
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
