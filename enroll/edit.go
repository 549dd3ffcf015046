// Editing one key's line: what it may do, for which crates, until when; and retiring it.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// EditOptions is what a user says of a change to a key that the account trusts.
type EditOptions struct {
	Key    string     // a name in the store, or an id
	Can    Can        // 0: as before
	Crates *[]string  // patterns; nil: as before; an empty list: every crate
	Until  *time.Time // nil: as before; the zero time: no end
	Retire bool       // the key goes; nothing else may be said then
	With   string     // the managing key that signs; empty: one that is here
}

// An EditPlan says what will happen, before it does.
type EditPlan struct {
	EditOptions
	Account string
	ID      keys.ID
	Name    string // in the store; empty if the key is not there
	Before  Entry
	After   Entry // the zero value if the key retires
	Done    bool  // nothing is left to do

	l    *Lifecycle
	base *SignedKeyset
	old  *Enrolment
	heir string // who signs tokens here from now on, if the key did and retires; empty: nobody
}

// EditedKey is the outcome.
type EditedKey struct {
	Account string
	Key     keys.ID
	Entry   Entry // the zero value if the key retired
	Version int
	Signs   string // the key that signs on this machine from now on
}

// PlanEdit settles what an earlier run left, fetches and verifies what stands, and finds out what the
// change means now. The last key that may manage never goes and never loses that right here, and a
// key that manages has no end.
func (l *Lifecycle) PlanEdit(ctx context.Context, o EditOptions) (*EditPlan, error) {
	if o.Retire && (o.Can != 0 || o.Crates != nil || o.Until != nil) {
		return nil, errors.New("planning an edit: a key that retires has nothing else to be changed")
	}
	e, base, err := l.upToDate(ctx)
	if err != nil {
		return nil, err
	}
	p := &EditPlan{EditOptions: o, Account: base.Account, l: l, base: base, old: e}
	record, err := p.find()
	if err != nil {
		return nil, err
	}
	listed := false
	if p.Before, listed = base.Entry(p.ID); !listed && !o.Retire {
		return nil, fmt.Errorf("editing %s at %s: %w", o.Key, l.Index, l.untrusted(base, p.ID))
	}
	if p.Done = !listed; p.Done {
		return p, nil
	}
	if err := p.decide(record); err != nil {
		return nil, fmt.Errorf("editing %s at %s: %w", o.Key, l.Index, err)
	}
	if p.Done || p.With != "" {
		return p, nil
	}
	manager, err := l.manager(base, e.Key, p.leaving()...)
	p.With = manager.Name
	return p, err
}

// find resolves the key's name or id. The record is empty if the key is not on this machine.
func (p *EditPlan) find() (keys.Record, error) {
	record, err := p.l.Keys.Lookup(p.Key)
	if err == nil {
		p.ID, p.Name = record.Public.ID(), record.Name
		return record, nil
	}
	id, idErr := keys.ParseID(p.Key)
	if idErr != nil {
		return record, err // the name's error: names are what people type
	}
	p.ID = id
	record, err = p.l.Keys.Find(id)
	if errors.Is(err, fs.ErrNotExist) {
		return keys.Record{}, nil
	}
	p.Name = record.Name
	return record, err
}

// leaving is the key, if it can't sign for its own end or for the end of its own right.
func (p *EditPlan) leaving() []keys.ID {
	if p.Retire {
		return []keys.ID{p.ID}
	}
	return nil
}

// decide computes the new line and refuses what no keyset may say.
func (p *EditPlan) decide(record keys.Record) error {
	revoked, err := p.l.State().revoked()
	if err != nil {
		return err
	}
	if slices.Contains(revoked, p.ID) {
		return broken(CodeKeyRevoked, "key %v is revoked: a revoked key never comes back", p.ID)
	}
	if !p.Retire {
		if p.After, err = p.edited(record); err != nil {
			return err
		}
		p.Done = p.After.Same(p.Before)
	}
	if p.Before.Can.Has(Manage) && !p.After.Can.Has(Manage) && !p.othersManage(revoked) {
		return broken(CodeNoManager, "it is the last key that may manage the account %s, which would be locked for ever: enrol another one that may first", p.Account)
	}
	if p.Retire {
		p.heir = (&RevokePlan{l: p.l, base: p.base, Key: p.ID}).publisher(revoked)
	}
	return nil
}

// edited is the line with the changes.
func (p *EditPlan) edited(record keys.Record) (Entry, error) {
	after := p.Before
	if p.Can != 0 {
		after.Can = p.Can
	}
	if p.Crates != nil {
		if err := CheckCrates(*p.Crates); err != nil {
			return Entry{}, err
		}
		after.Crates = slices.Clone(*p.Crates)
	}
	if p.Until != nil {
		if after.Until = p.Until.UTC().Truncate(time.Second); p.Until.IsZero() {
			after.Until = time.Time{}
		}
	}
	if !after.Until.IsZero() && after.Can.Has(Manage) {
		return Entry{}, broken(CodeManagerUntil, "a key that may manage has no end, as the account would have none to manage it one day: take that right from it first (it may %s), or retire it when its time has come", strings.Join((after.Can&^Manage).Names(), ", "))
	}
	if now := p.l.issued(p.base); !after.Same(p.Before) && !after.Alive(now) {
		return Entry{}, fmt.Errorf("its time would have ended already, on %s: retire it instead", after.Until.Format(timeLayout))
	}
	if !p.Before.Can.Has(Manage) && record.Name != "" {
		return after, checkManaging(record, after.Can)
	}
	return after, nil
}

// othersManage reports whether another key would still manage.
func (p *EditPlan) othersManage(revoked []keys.ID) bool {
	return slices.ContainsFunc(p.base.Keys, func(e Entry) bool {
		return e.Key.ID() != p.ID && e.Can.Has(Manage) && !slices.Contains(revoked, e.Key.ID())
	})
}

// Run carries the plan out.
func (p *EditPlan) Run(ctx context.Context) (*EditedKey, error) {
	after := p.after()
	if p.Done {
		if p.Retire {
			if err := p.l.State().saveEnrolment(&after); err != nil {
				return nil, err
			}
		}
		return p.outcome(p.base, &after), nil
	}
	manager, err := p.l.Unlock(ctx, p.With)
	if err != nil {
		return nil, err
	}
	next, standing, err := p.l.next(p.base)
	if err != nil {
		return nil, err
	}
	next.Keys = slices.DeleteFunc(next.Keys, func(e Entry) bool { return e.Key == p.Before.Key })
	if !p.Retire { // also one whose time has ended, which a draft leaves out
		next.Keys = append(next.Keys, p.After)
	}
	k, err := p.l.change(ctx, next, after, standing, manager)
	if err != nil {
		return nil, err
	}
	return p.outcome(k, &after), nil
}

// after is the enrolment without a key that retires.
func (p *EditPlan) after() Enrolment {
	after := p.old.clone()
	if !p.Retire || p.Name == "" {
		return after
	}
	if after.Key == p.Name {
		after.Key = p.heir
	}
	if after.ReadKey == p.Name {
		after.ReadKey = ""
	}
	after.replaceUses(p.Name, "")
	return after
}

func (p *EditPlan) outcome(k *SignedKeyset, e *Enrolment) *EditedKey {
	entry, _ := k.Entry(p.ID)
	return &EditedKey{Account: k.Account, Key: p.ID, Entry: entry, Version: k.Version, Signs: e.Key}
}
