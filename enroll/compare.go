// What changed between two versions, and the account's timeline.

package enroll

import (
	"context"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// A Change is the difference that one version makes.
type Change struct {
	Version int
	Issued  time.Time
	Signers []keys.ID // of the version: the key that managed, and the new ones; in version 1 also an invite code's
	Added   []Entry   // sorted by id, as are all lists here
	Removed []Entry   // as they were listed before
	Changed []Edited  // listed before and after, in another way
	Revoked []keys.ID // named as revoked for the first time
	Closed  bool      // the account ended with this version
}

// An Edited is one key's line before and after.
type Edited struct{ Before, After Entry }

// Empty reports whether the version says nothing new.
func (c Change) Empty() bool {
	return len(c.Added)+len(c.Removed)+len(c.Changed)+len(c.Revoked) == 0 && !c.Closed
}

// Same reports whether e and other are the same line.
func (e Entry) Same(other Entry) bool {
	return e.Key == other.Key && e.Can == other.Can && e.Until.Equal(other.Until) && slices.Equal(e.Crates, other.Crates)
}

// Compare says all in which after differs from before, whose order of versions is not looked at; where
// before is nil everything in after is new. It judges nothing.
func Compare(before, after *SignedKeyset) Change {
	c := Change{Version: after.Version, Issued: after.Issued, Signers: after.Signers()}
	if before == nil {
		before = &SignedKeyset{}
	}
	c.Closed = after.Closed && !before.Closed
	for _, e := range after.Keys {
		was, found := find(before.Keys, e.Key.ID())
		switch {
		case !found:
			c.Added = append(c.Added, e)
		case !was.Same(e):
			c.Changed = append(c.Changed, Edited{was, e})
		}
	}
	for _, e := range before.Keys {
		if !lists(after.Keys, e.Key.ID()) {
			c.Removed = append(c.Removed, e)
		}
	}
	for _, id := range after.Revoked {
		if _, found := slices.BinarySearchFunc(before.Revoked, id, keys.ID.Compare); !found {
			c.Revoked = append(c.Revoked, id)
		}
	}
	return c
}

// LetIn are the versions that a key has signed, as one that may manage, from that time on, with the keys that they added
// and that the last of history still lists. They are what to look at once the key was in other hands.
// history is verified and in order; of what came before it, and of versions that it lacks, nothing is known.
func LetIn(history []*SignedKeyset, by keys.ID, since time.Time) []Change {
	if len(history) == 0 {
		return nil
	}
	var all []Change
	last := history[len(history)-1]
	for n, k := range history[1:] {
		manager, _ := history[n].Entry(by)
		if k.Version != history[n].Version+1 || !manager.Can.Has(Manage) || !slices.Contains(k.Signers(), by) || k.Issued.Before(since) {
			continue
		}
		c := Compare(history[n], k)
		c.Added = slices.DeleteFunc(c.Added, func(e Entry) bool { return !lists(last.Keys, e.Key.ID()) })
		if len(c.Added) > 0 {
			all = append(all, c)
		}
	}
	return all
}

// History is the account's timeline from version 1 on, fetched in batches and verified from scratch.
// It must lead to what this machine has verified before, and is a [*DistrustError] otherwise.
func (l *Lifecycle) History(ctx context.Context) ([]Change, error) {
	pinned, since, revocations, err := l.look(ctx)
	if err != nil {
		return nil, err
	}
	v := newVerifier(l.fromScratch(pinned.Account))
	chain, err := l.fetch(ctx, v, since[len(since)-1])
	if err != nil {
		return nil, err
	}
	if err := l.record(since, revocations, pinned); err != nil {
		return nil, err
	}
	var all []Change
	var before *SignedKeyset
	for _, k := range chain {
		all = append(all, Compare(before, k))
		before = k
	}
	return all, nil
}
