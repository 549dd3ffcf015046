// Changing the protection of a stored key, so that at every point exactly one file counts.

package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// Protect changes how the key is protected, from any protection of a key in a file to any; a passphrase
// may be changed for another. It calls ask for the passphrase of a passphrase key. When it
// returns without error, or with an [*ItemsLeftError], the old form is gone from the folder: what a
// disk keeps of a deleted file is beyond it. Wherever it is stopped the key opens either as it did
// before or in the new way; only that form counts, and another Protect, to whatever protection,
// completes what was begun and removes the rest, of which [Store.Leftover] tells. After any other
// error the same holds. Before the old form goes, the new one has been opened and has shown the same
// key. A key that has the protection [Unprotected] or [Keychain] already is only opened, and tidied up
// after. Errors wrap what those of [Store.Unlock] wrap.
func (s *Store) Protect(ctx context.Context, name string, ask PassphraseFunc, to Lock) (Record, error) {
	record, err := s.protect(ctx, name, ask, to)
	record.items = ""
	if err != nil {
		return record, fmt.Errorf("protecting key %q: %w", name, err)
	}
	return record, nil
}

func (s *Store) protect(ctx context.Context, name string, ask PassphraseFunc, to Lock) (Record, error) {
	if err := s.check(to); err != nil {
		return Record{}, err
	}
	// A person may take as long as they like here: nobody waits for the lock yet.
	was, err := s.unlock(ctx, name, ask)
	if err != nil {
		return Record{}, err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return Record{}, err
	}
	defer unlock()
	if err := s.checkSame(ctx, was); err != nil {
		return Record{}, err
	}
	if err := s.writeRecordIfOther(was.record); err != nil { // it was lost, or behind its file
		return Record{}, err
	}
	if to.protection != was.record.Protection || to.protection == Passphrase {
		if err := s.replace(ctx, was, to); err != nil {
			return Record{}, err
		}
	}
	return s.settle(ctx, name)
}

// checkSame refuses a key that was changed between its opening and the lock.
func (s *Store) checkSame(ctx context.Context, was opened) error {
	now, _, err := s.lookupSure(was.record.Name)
	if err != nil {
		return err
	}
	data, err := readKeyFile(ctx, s.secretPath(was.record), checkPrivate)
	if err != nil {
		return fmt.Errorf("reading %q: %w", s.secretPath(was.record), err)
	}
	if now.Public.IsZero() { // its record is lost, and could not be written again
		now.Public = was.record.Public
	}
	if !now.Equal(was.record) || !bytes.Equal(data.Reveal(), was.data.Reveal()) {
		return errors.New("somebody else has changed it just now")
	}
	return nil
}

// replace makes the new form of a key and switches over to it. The switch is one rename: that of the
// secret file where both forms are .age files, else that of the record.
func (s *Store) replace(ctx context.Context, was opened, to Lock) error {
	record, item := was.record, newItemID()
	sealed, err := s.prepare(ctx, &record, was.key, to, item)
	if err != nil {
		// Nothing of the new form is visible: what the keychain has got of it goes at once, if it can.
		_, _ = s.settle(ctx, record.Name)
		return err
	}
	next := record
	next.Protection = to.protection
	if err := atomicfile.Write(s.secretPath(next), sealed, 0o600); err != nil {
		return err
	}
	if s.secretPath(next) == s.secretPath(record) {
		return nil
	}
	return s.writeRecord(next)
}

// prepare makes the new form in memory and in the keychain, and has it opened. First the record notes
// every item of the keychain that this concerns, as the files that name them come and go.
func (s *Store) prepare(ctx context.Context, record *Record, key *SoftwareKey, to Lock, item string) ([]byte, error) {
	before, err := s.itemOf(record.Name)
	if err != nil {
		return nil, err
	}
	items := addItem(record.items, before)
	if to.protection == Keychain {
		items = addItem(items, item)
	}
	if items != record.items {
		record.items = items
		if err := s.writeRecord(*record); err != nil {
			return nil, err
		}
	}
	sealed, err := s.seal(ctx, key, to, item)
	if err != nil || to.protection == Keychain { // which seal has opened already
		return sealed, err
	}
	return sealed, s.verify(ctx, sealed, to, key.Public())
}

// settle removes what the form of the key that counts does not need: the other secret file, what
// interrupted writing left, and then items of the keychain. Whatever state it finds, it changes
// nothing of the form that counts, so it may run at any time under the lock.
func (s *Store) settle(ctx context.Context, name string) (Record, error) {
	// Were the item in use overlooked, it would be deleted below, and the key be lost with it.
	record, item, err := s.lookupSure(name)
	if err != nil {
		return Record{}, err
	}
	before := record.items
	record.items = addItem(record.items, item)
	other, used := s.file(name, plainExt), item
	if !record.isSealed() {
		other, used = s.file(name, protectedExt), ""
		if record.items != before { // the file that names the item is about to go
			if err := s.writeRecord(record); err != nil {
				return Record{}, err
			}
		}
	}
	// An unprotected file goes before anything that may wait for the keychain.
	err = errors.Join(atomicfile.Remove(other), atomicfile.Tidy(s.secretPath(record)), atomicfile.Tidy(s.file(name, recordExt)))
	if err != nil {
		return Record{}, err
	}
	var left error
	record.items, left = s.deleteItems(ctx, record.items, used)
	if err := s.writeRecordIfOther(record); err != nil {
		return Record{}, err
	}
	return record, left
}

// deleteItems deletes all items but the one in use, and returns those that are left of the others,
// with an [*ItemsLeftError] if there are any.
func (s *Store) deleteItems(ctx context.Context, items, used string) (left string, err error) {
	var errs []error
	for _, item := range strings.Fields(items) {
		if item == used {
			continue
		}
		err := ErrNoKeychain
		if s.keychain != nil {
			err = s.keychain.Delete(ctx, item)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			left = addItem(left, item)
			errs = append(errs, err)
		}
	}
	if errs != nil {
		return left, &ItemsLeftError{strings.Fields(left), errors.Join(errs...)}
	}
	return left, nil
}

// Leftover is the path of a second secret file of the key, which an interrupted [Store.Protect] has
// left and which [Store.Protect] removes; empty if there is none. While a key counts as protected, an
// unprotected leftover gives it to whoever reads the disk.
func (s *Store) Leftover(r Record) string {
	other := s.file(r.Name, plainExt)
	switch {
	case r.Protection == Unprotected:
		other = s.file(r.Name, protectedExt)
	case !r.isSealed():
		return ""
	}
	if !exists(other) {
		return ""
	}
	return other
}

func (s *Store) writeRecord(r Record) error {
	text, err := encodeRecord(r)
	if err != nil {
		return err
	}
	return atomicfile.Write(s.file(r.Name, recordExt), text, 0o600)
}

// writeRecordIfOther writes a record unless the file says the same already.
func (s *Store) writeRecordIfOther(r Record) error {
	path := s.file(r.Name, recordExt)
	if text, err := readLimited(context.Background(), path, maxKeyFileSize, nil); err == nil {
		if on, err := parseRecord(r.Name, text); err == nil && on.Equal(r) {
			return nil
		}
	}
	return s.writeRecord(r)
}
