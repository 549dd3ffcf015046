// Rotation: a new key comes in and an old one goes, in one version signed by both.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// RotateOptions is what a user says of a rotation.
type RotateOptions struct {
	Old     string        // name of the key to be replaced; empty: the one that signs here
	New     string        // name of the key that replaces it
	Overlap time.Duration // how long the old key still publishes; 0: it goes at once
	With    string        // the managing key that signs; empty: the old key if it manages, else one that is here

	// Read is a software key that can only read, enrolled beside the new key: see
	// [RotatePlan.WantsReader]. It may be set after planning.
	Read *keys.Record

	// Certificate is where the new key's revocation that is signed in advance goes; that of Read
	// goes beside it.
	Certificate string
}

// A RotatePlan says what will happen, before it does.
type RotatePlan struct {
	RotateOptions
	Done    bool // the keyset has the new key and not the old one: nothing is left to do
	Account string
	OldKey  keys.Record
	Entry   Entry     // the old key's line, which the new one takes over
	Until   time.Time // the old key's end, with an overlap
	l       *Lifecycle
	base    *SignedKeyset
	old     *Enrolment
	looked  bool // base is not pinned: this plan is to be shown alone
}

// Rotated is the outcome.
type Rotated struct {
	Account     string
	Old, New    keys.ID
	Until       time.Time // zero: the old key is trusted no more
	Version     int
	Certificate string
	Read        string // the name of the key that reads here from now on; empty: the one that signs
}

// PlanRotation settles what an earlier run left, fetches and verifies what stands, and finds out
// what the rotation means now. The new key need not exist yet: [RotatePlan.Run] wants it.
func (l *Lifecycle) PlanRotation(ctx context.Context, o RotateOptions) (*RotatePlan, error) {
	_, base, err := l.upToDate(ctx)
	if err != nil {
		return nil, err
	}
	return l.planRotation(base, o)
}

// planRotation is what the rotation means over base, which stands.
func (l *Lifecycle) planRotation(base *SignedKeyset, o RotateOptions) (*RotatePlan, error) {
	e, _, err := l.enrolled()
	if err != nil {
		return nil, err
	}
	if o.Old == "" {
		o.Old = e.Key
	}
	plan := &RotatePlan{RotateOptions: o, Account: base.Account, l: l, base: base, old: e}
	if plan.OldKey, err = l.Keys.Lookup(o.Old); err != nil {
		return nil, err
	}
	var found bool
	plan.Entry, found = base.Entry(plan.OldKey.Public.ID())
	if done, err := plan.done(found); err != nil || done {
		plan.Done = done
		return plan, err
	}
	if !found {
		return nil, fmt.Errorf("rotating %s at %s: %w", o.Old, l.Index, l.untrusted(base, plan.OldKey.Public.ID()))
	}
	now := l.issued(base)
	if !plan.Entry.Alive(now) {
		return nil, fmt.Errorf("rotating %s at %s: its time ended on %s: enrol a new key instead", o.Old, l.Index, plan.Entry.Until.Format(timeLayout))
	}
	if o.Overlap > 0 {
		plan.Until = now.Add(o.Overlap).Truncate(time.Second)
	}
	return plan, plan.chooseManager()
}

// done reports whether an earlier run got all the way.
func (p *RotatePlan) done(oldListed bool) (bool, error) {
	if p.New == "" {
		return false, nil
	}
	record, err := p.l.Keys.Lookup(p.New)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, newListed := p.base.Entry(record.Public.ID())
	if err := checkManaging(record, p.Entry.Can); err != nil && !newListed {
		return false, fmt.Errorf("rotating %s at %s: %w", p.Old, p.l.Index, err)
	}
	if p.Old == p.New {
		if !newListed {
			return false, fmt.Errorf("rotating %s at %s: the new key needs another name", p.Old, p.l.Index)
		}
		return true, nil
	}
	if newListed && oldListed && p.Entry.Until.IsZero() {
		return false, fmt.Errorf("rotating %s to %s: the account %s trusts both already: revoke the old one, or name another new key", p.Old, p.New, p.Account)
	}
	return newListed, nil
}

func (p *RotatePlan) chooseManager() error {
	if p.With != "" {
		return p.checkManager()
	}
	preferred := p.old.Key
	if p.Entry.Can.Has(Manage) {
		preferred = p.Old
	}
	record, err := p.l.manager(p.base, preferred)
	p.With = record.Name
	if revoked, listErr := p.l.State().revoked(); err != nil && listErr == nil && slices.Contains(revoked, p.OldKey.Public.ID()) {
		return fmt.Errorf("rotating %s at %s: it is revoked, and %w", p.Old, p.l.Index, err)
	}
	return err
}

// checkManager refuses a key that was named to sign and may not, before another one is made for nothing.
func (p *RotatePlan) checkManager() error {
	record, err := p.l.Keys.Lookup(p.With)
	if err != nil || record.Public.IsZero() {
		return err
	}
	if e, listed := p.base.Entry(record.Public.ID()); !listed || !e.Can.Has(Manage) {
		return fmt.Errorf("rotating %s at %s: %s is to sign, and may not manage the account %s", p.Old, p.l.Index, p.With, p.Account)
	}
	return nil
}

// Run carries the plan out; the new key must be in the store by now.
func (p *RotatePlan) Run(ctx context.Context) (*Rotated, error) {
	if p.looked {
		return nil, fmt.Errorf("rotating %s at %s: this plan is to be looked at alone", p.Old, p.l.Index)
	}
	newKey, err := p.l.Keys.Lookup(p.New)
	if err != nil {
		return nil, err
	}
	if p.Done {
		return p.finish(newKey)
	}
	if err := checkManaging(newKey, p.Entry.Can); err != nil {
		return nil, fmt.Errorf("rotating %s at %s: %w", p.Old, p.l.Index, err)
	}
	manager, err := p.l.Unlock(ctx, p.With)
	if err != nil {
		return nil, err
	}
	signer, err := p.l.Unlock(ctx, p.New)
	if err != nil {
		return nil, err
	}
	next, standing, err := p.l.next(p.base)
	if err != nil {
		return nil, err
	}
	p.replace(next, newKey.Public)
	after := p.succeed()
	if err := p.l.certify(ctx, &after, p.New, signer, p.Certificate); err != nil {
		return nil, err
	}
	signers := []keys.Signer{manager, signer}
	reader, err := p.readers(ctx, next, &after, newKey)
	if err != nil {
		return nil, err
	}
	if reader != nil {
		signers = append(signers, reader)
	}
	k, err := p.l.change(ctx, next, after, standing, signers...)
	if err != nil {
		return nil, err
	}
	return p.outcome(k, &after, newKey), nil
}

// finish makes sure that tokens are signed with the new key where the keyset has it already, and
// that reads are not left to a key that went.
func (p *RotatePlan) finish(newKey keys.Record) (*Rotated, error) {
	after := p.succeed()
	_, serves, err := p.l.reader(&after, p.base)
	if err != nil {
		return nil, err
	}
	if !serves {
		after.ReadKey = ""
	}
	if err := p.l.recallCertificate(&after, newKey, p.Certificate); err != nil {
		return nil, err
	}
	if after.Key != p.old.Key || after.ReadKey != p.old.ReadKey || !maps.Equal(after.Uses, p.old.Uses) ||
		!maps.Equal(after.Certificates, p.old.Certificates) {
		if err := p.l.State().saveEnrolment(&after); err != nil {
			return nil, err
		}
	}
	return p.outcome(p.base, &after, newKey), nil
}

// succeed is the enrolment with the new key in the old one's place.
func (p *RotatePlan) succeed() Enrolment {
	after := p.old.clone()
	if after.Key == p.Old || after.Key == "" {
		after.Key = p.New
	}
	after.replaceUses(p.Old, p.New)
	return after
}

// replace gives the old key's line to the new one. With an overlap the old key keeps a line of
// its own, with an end, and loses at once the right to manage.
func (p *RotatePlan) replace(next *Keyset, key keys.PublicKey) {
	entries := []Entry{{Key: key, Can: p.Entry.Can, Until: p.Entry.Until, Crates: p.Entry.Crates}}
	for _, e := range next.Keys {
		if e.Key != p.OldKey.Public {
			entries = append(entries, e)
			continue
		}
		e.Can &^= Manage
		if p.Until.IsZero() || e.Can == 0 {
			continue
		}
		if e.Until.IsZero() || e.Until.After(p.Until) {
			e.Until = p.Until
		}
		entries = append(entries, e)
	}
	next.Keys = entries
}

func (p *RotatePlan) outcome(k *SignedKeyset, e *Enrolment, newKey keys.Record) *Rotated {
	r := &Rotated{
		Account: k.Account, Old: p.OldKey.Public.ID(), New: newKey.Public.ID(), Version: k.Version,
		Certificate: e.Certificates[newKey.Public.ID().String()], Read: e.ReadKey,
	}
	if old, found := k.Entry(r.Old); found {
		r.Until = old.Until
	}
	return r
}
