// The record that this machine's user is enrolled at a registry, and which key signs what there.

package enroll

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// An Enrolment is the record that this machine's user has enrolled at a registry. The credential
// provider reads nothing else to choose a key.
type Enrolment struct {
	Index     string    `toml:"index"`               // exactly as cargo gives it
	Former    []string  `toml:"former,omitempty"`    // index URLs from before moves that this machine has verified
	Name      string    `toml:"name,omitempty"`      // what cargo's configuration calls the registry; may be empty
	Account   string    `toml:"account,omitempty"`   // empty where Manual
	Key       string    `toml:"key"`                 // the key that signs; empty once it was revoked and no other is here
	ReadKey   string    `toml:"read-key,omitempty"`  // the key that signs read tokens; empty: Key
	Subject   string    `toml:"subject,omitempty"`   // the token's sub, where the registry's website gave one
	Manual    bool      `toml:"manual,omitempty"`    // keys are pasted into the registry's website: there is no keyset
	Challenge bool      `toml:"challenge,omitempty"` // the registry wants a challenge in every mutation
	MaxAge    int       `toml:"max-age,omitempty"`   // seconds for which the registry takes a token; 0: as usual
	Insecure  bool      `toml:"insecure,omitempty"`  // the user allowed plain http to another machine
	Since     time.Time `toml:"since"`

	// Certificates are the places of revocations signed in advance, by key id.
	Certificates map[string]string `toml:"certificates,omitempty"`
	// Uses are the keys that sign for one operation (publish, yank, owners, read) in place of Key
	// and ReadKey. See [Enrolment.KeyFor].
	Uses map[string]string `toml:"uses,omitempty"`
	// Labels are what the user calls keys of the account, by key id. No registry hears of them.
	Labels map[string]string `toml:"labels,omitempty"`
}

// KeyFor names the key of this machine that signs for an operation, in the words of a token: publish,
// yank, unyank, owners or read. It is the one in Uses, yank deciding for unyank; for reads else
// ReadKey; else Key. "" means that none does any more.
func (e *Enrolment) KeyFor(op string) string {
	op = CanFor(op).String()
	if name := e.Uses[op]; name != "" {
		return name
	}
	if op == Read.String() && e.ReadKey != "" {
		return e.ReadKey
	}
	return e.Key
}

// clone is a copy that shares nothing with e that changes.
func (e *Enrolment) clone() Enrolment {
	c := *e
	c.Certificates, c.Uses, c.Labels = maps.Clone(e.Certificates), maps.Clone(e.Uses), maps.Clone(e.Labels)
	return c
}

// withoutEnded is e without the key that signs, if k says that it can't any more: it is revoked, left out
// or past its end. The next key that is enrolled here then takes its place.
func (l *Lifecycle) withoutEnded(e *Enrolment, k *SignedKeyset) (Enrolment, error) {
	after := e.clone()
	record, err := l.Keys.Lookup(e.Key)
	if e.Key == "" || err != nil || record.Public.IsZero() {
		return after, nil // what can't be read may come back
	}
	revoked, err := l.State().revoked()
	if err != nil {
		return after, err
	}
	id := record.Public.ID()
	if entry, listed := k.Entry(id); !listed || !entry.Alive(l.now()) || slices.Contains(revoked, id) || slices.Contains(k.Revoked, id) {
		after.Key = ""
		after.replaceUses(e.Key, "")
	}
	return after, nil
}

// WouldSign reports whether the key of that name would sign on this machine once it is enrolled here: it does
// already, or no other key can.
func (l *Lifecycle) WouldSign(name string) bool {
	e, k, err := l.enrolled()
	if err != nil {
		return true
	}
	after, err := l.withoutEnded(e, k)
	return err == nil && after.signsHere(name)
}

// uses reports whether the key was chosen for an operation.
func (e *Enrolment) uses(name string) bool {
	return slices.Contains(slices.Collect(maps.Values(e.Uses)), name)
}

// replaceUses has a new key do what the old one was chosen for; "" leaves that to Key.
func (e *Enrolment) replaceUses(old, name string) {
	for op, key := range e.Uses {
		switch {
		case key != old:
		case name == "":
			delete(e.Uses, op)
		default:
			e.Uses[op] = name
		}
	}
}

// UseKey has the key of that name sign for one operation on this machine from now on; "" ends an
// earlier choice. Where op is "", it signs for all of them, and every earlier choice ends; only the key
// that reads in place of one in a token goes on reading. Nothing of this is told to the registry: a key
// that the pinned keyset does not let do the operation is refused.
func (l *Lifecycle) UseKey(op, name string) error {
	e, err := l.State().enrolment()
	if err != nil {
		return err
	}
	if err := l.mayUse(e, op, name); err != nil {
		return fmt.Errorf("choosing the key for %s at %s: %w", orAll(op), l.Index, err)
	}
	after := e.clone()
	switch {
	case op == "":
		after.Key, after.Uses = name, nil
	case name == "":
		delete(after.Uses, op)
	default:
		if after.Uses == nil {
			after.Uses = map[string]string{}
		}
		after.Uses[op] = name
	}
	return l.State().saveEnrolment(&after)
}

func orAll(op string) string {
	if op == "" {
		return "all operations"
	}
	return op
}

func (l *Lifecycle) mayUse(e *Enrolment, op, name string) error {
	can := canBit(op)
	if op != "" && (can == 0 || can == Manage) {
		return fmt.Errorf("unknown operation %.20q: known are publish, yank, owners, read", op)
	}
	if name == "" {
		if op == "" {
			return errors.New("no key is named")
		}
		return nil
	}
	record, err := l.Keys.Lookup(name)
	if err != nil || e.Manual {
		return err
	}
	k, err := l.State().Keyset()
	if err != nil {
		return err
	}
	revoked, err := l.State().revoked()
	if err != nil {
		return err
	}
	entry, listed := k.Entry(record.Public.ID())
	switch {
	case !listed:
		return fmt.Errorf("key %s: %w of %s", name, ErrNotTrusted, k.Account)
	case slices.Contains(revoked, entry.Key.ID()):
		return broken(CodeKeyRevoked, "key %s is revoked: a revoked key never comes back", name)
	case !entry.Alive(l.now()):
		return fmt.Errorf("key %s: its time ended on %s", name, entry.Until.Format(timeLayout))
	case !entry.Can.Has(can):
		return fmt.Errorf("key %s may not %s there: it may %v", name, op, entry.Can)
	}
	return nil
}
