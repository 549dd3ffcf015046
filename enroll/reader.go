// Read keys: software keys that can only read, beside a hardware key that may need a person for
// every signature.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

// reader is the record of e's read key. It serves if it is in the store with its secret, and k lists
// it as a key that can still read.
func (l *Lifecycle) reader(e *Enrolment, k *SignedKeyset) (record keys.Record, serves bool, err error) {
	if e == nil || k == nil || e.ReadKey == "" {
		return keys.Record{}, false, nil
	}
	record, err = l.Keys.Lookup(e.ReadKey)
	if errors.Is(err, fs.ErrNotExist) {
		return keys.Record{}, false, nil
	}
	if err != nil {
		return keys.Record{}, false, err
	}
	revoked, err := l.State().revoked()
	if err != nil {
		return keys.Record{}, false, err
	}
	entry, listed := k.Entry(record.Public.ID())
	here, err := l.hasSecret(record.Name)
	return record, listed && l.reads(entry, revoked) && here, err
}

// reads reports whether a key with that line can still read.
func (l *Lifecycle) reads(e Entry, revoked []keys.ID) bool {
	return e.Can.Has(Read) && e.Alive(l.now()) && !slices.Contains(revoked, e.Key.ID())
}

// hasSecret reports whether the software key's secret is here: the public facts may outlive it.
func (l *Lifecycle) hasSecret(name string) (bool, error) {
	_, err := atomicfile.Stat(l.Keys.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// FitsReader reports whether a key of that name, which is here or is yet to be made, can come in as
// the key that only reads. None can that has no secret here, is in hardware, was revoked or has
// ended: such a key never comes back. Neither can one whose revocation certificate would find
// another key's in its place. It judges by the keyset that is pinned, and asks nobody.
func (l *Lifecycle) FitsReader(name string) (bool, error) {
	path, err := l.certificatePath(name)
	if err != nil {
		return false, err
	}
	record, err := l.Keys.Lookup(name)
	if errors.Is(err, fs.ErrNotExist) {
		return isFree(path)
	}
	if err != nil || record.Protection == keys.Hardware {
		return false, err
	}
	if here, err := l.hasSecret(name); err != nil || !here {
		return false, err
	}
	revoked, err := l.State().revoked()
	if err != nil {
		return false, err
	}
	id := record.Public.ID()
	k, err := l.State().Keyset()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err == nil {
		if entry, listed := k.Entry(id); listed {
			return l.reads(entry, revoked), nil
		}
		revoked = append(revoked, k.Revoked...)
	}
	free, err := isFree(path)
	free = free || err == nil && l.sameCertificate(path, record.Public, fs.ErrExist) == nil
	return free && !slices.Contains(revoked, id), err
}

// isFree reports whether nothing is at path. What can't be looked at is an error: no other name is used instead.
func isFree(path string) (bool, error) {
	_, err := atomicfile.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// addReader puts the read key into next, for as long as the key that it reads for, and into after;
// an earlier read key goes. The signer is nil if next lists the key already. certificate is where
// the other key's revocation goes.
func (l *Lifecycle) addReader(ctx context.Context, next *Keyset, after *Enrolment, read keys.Record, until time.Time, certificate string) (keys.Signer, error) {
	if read.Protection == keys.Hardware {
		return nil, fmt.Errorf("enrolling %s as a key that only reads: it is in hardware, which need not be there for that", read.Name)
	}
	if after.ReadKey != read.Name {
		if err := l.dropReader(next, after); err != nil {
			return nil, err
		}
	}
	after.ReadKey = read.Name
	if _, listed := next.Entry(read.Public.ID()); listed {
		return nil, nil
	}
	signer, err := l.Unlock(ctx, read.Name)
	if err != nil {
		return nil, err
	}
	next.Keys = append(next.Keys, Entry{Key: read.Public, Can: Read, Until: until})
	return signer, l.certify(ctx, after, read.Name, signer, readerCertificate(certificate))
}

// readerCertificate is the place beside path for the read key's revocation; "" stays "".
func readerCertificate(path string) string {
	if path == "" {
		return ""
	}
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "-read" + ext
}

// dropReader takes after's read key out of next and after. A key that may do more than read stays
// in the keyset: it was not enrolled for this.
func (l *Lifecycle) dropReader(next *Keyset, after *Enrolment) error {
	if after.ReadKey == "" {
		return nil
	}
	record, err := l.Keys.Lookup(after.ReadKey)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	next.Keys = slices.DeleteFunc(next.Keys, func(e Entry) bool { return err == nil && e.Key == record.Public && e.Can == Read })
	after.ReadKey = ""
	return nil
}

// signsHere reports whether the key of that name makes, or will make, this machine's tokens.
func (e *Enrolment) signsHere(name string) bool { return e == nil || e.Key == "" || e.Key == name }

// WantsReader reports whether a key that can only read should come in beside the key: that one will
// sign here and may read, but each of its signatures may need a person, and there is no read key
// that works yet. The caller then makes a software key and sets Read before [EnrolPlan.Run];
// without it, the key itself signs for reading too.
func (p *EnrolPlan) WantsReader() (bool, error) {
	can := p.can()
	if entry, listed := p.entryNow(); listed {
		can = entry.Can
	}
	if !p.old.signsHere(p.Key.Name) || !p.Key.WantsReader() || !can.Has(Read) {
		return false, nil
	}
	_, serves, err := p.l.reader(p.old, p.base)
	return !serves, err
}

// WantsReader reports whether the rotation should bring in a key that can only read: newKey will
// sign here, each of its signatures may need a person, and there is no read key that works yet. The
// caller then makes a software key and sets Read before [RotatePlan.Run]. A read key that works
// already is kept or dropped without asking, depending on what newKey needs.
func (p *RotatePlan) WantsReader(newKey keys.Record) (bool, error) {
	if p.Done || !p.old.signsHere(p.Old) || !newKey.WantsReader() || !p.Entry.Can.Has(Read) {
		return false, nil
	}
	_, serves, err := p.l.reader(p.old, p.base)
	return !serves, err
}

// readers carries the read key over to the new key, brings one in, or drops it.
func (p *RotatePlan) readers(ctx context.Context, next *Keyset, after *Enrolment, newKey keys.Record) (keys.Signer, error) {
	switch {
	case !p.old.signsHere(p.Old):
		return nil, nil
	case p.Read != nil && newKey.WantsReader():
		return p.l.addReader(ctx, next, after, *p.Read, p.Entry.Until, p.Certificate)
	case !newKey.WantsReader():
		return nil, p.l.dropReader(next, after)
	}
	return nil, nil
}

// chooseReader finds out what becomes of this machine's read key: it is kept if the key that signs
// from now on needs it, and is revoked too if no key does.
func (p *RevokePlan) chooseReader() error {
	p.reads = p.old.ReadKey
	if p.Name == "" || p.Name != p.old.Key && p.Name != p.reads || p.reads == "" {
		return nil
	}
	record, serves, err := p.l.reader(p.old, p.base)
	if err != nil {
		return err
	}
	if p.Name == p.old.Key && p.heir != "" && serves {
		heir, err := p.l.Keys.Lookup(p.heir)
		if err != nil || heir.WantsReader() {
			return err
		}
	}
	p.reads = ""
	if entry, _ := p.base.Entry(record.Public.ID()); serves && entry.Can == Read && p.Name != record.Name {
		p.Reader = record.Name
	}
	return nil
}

// endReader revokes the read key that ends too, with the same reason. It signs its own revocation,
// so no other key is needed.
func (p *RevokePlan) endReader(ctx context.Context, outcome *Revoked) error {
	if p.Reader == "" {
		return nil
	}
	reader, err := p.l.Unlock(ctx, p.Reader)
	if err == nil {
		outcome.Reader = reader.Public().ID()
		err = p.l.revoke(ctx, outcome.Reader, p.Reason, reader)
	}
	if err != nil {
		return fmt.Errorf("the key is revoked; ending %s, which reads for it: %w", p.Reader, err)
	}
	return nil
}

// strangers are the account's keys that can only read and that this machine does not have.
func (p *RevokePlan) strangers(revoked []keys.ID) []keys.ID {
	var all []keys.ID
	for _, e := range p.base.Keys {
		id := e.Key.ID()
		if _, err := p.l.Keys.Find(id); e.Can == Read && id != p.Key && errors.Is(err, fs.ErrNotExist) && !slices.Contains(revoked, id) {
			all = append(all, id)
		}
	}
	return all
}
