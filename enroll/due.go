// Keys whose time ends soon.

package enroll

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// A Due is a key near its end, or past it.
type Due struct {
	Entry Entry
	Name  string // in the store; empty if the key is not there
	Ended bool   // it is refused already
}

// Due lists the keys of the pinned keyset whose time ends within that span from now, or has ended, the
// nearest end first. It asks nobody.
func (l *Lifecycle) Due(within time.Duration) ([]Due, error) {
	_, k, err := l.enrolled()
	if err != nil {
		return nil, err
	}
	revoked, err := l.State().revoked()
	if err != nil {
		return nil, err
	}
	now := l.now()
	var all []Due
	for _, e := range k.Keys {
		if e.Until.IsZero() || e.Until.After(now.Add(within)) || slices.Contains(revoked, e.Key.ID()) {
			continue
		}
		record, err := l.Keys.Find(e.Key.ID())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		all = append(all, Due{Entry: e, Name: record.Name, Ended: !e.Alive(now)})
	}
	slices.SortStableFunc(all, func(a, b Due) int { return a.Entry.Until.Compare(b.Entry.Until) })
	return all, nil
}

// Replaced reports whether the key's end came with the version that brought in another key, as that of a
// rotation with an overlap does: then it is to end. A version that this machine has no copy of says
// nothing, and neither does a key without an end.
func (s *State) Replaced(id keys.ID) bool {
	k, err := s.Keyset()
	for err == nil && k.Version > 1 {
		entry, listed := k.Entry(id)
		if !listed || entry.Until.IsZero() {
			return false
		}
		var before *SignedKeyset
		if before, err = s.Version(k.Version - 1); err != nil {
			return false
		}
		old, listed := before.Entry(id)
		if !listed {
			return false
		}
		if !old.Until.Equal(entry.Until) {
			return len(Compare(before, k).Added) > 0
		}
		k = before
	}
	return false
}
