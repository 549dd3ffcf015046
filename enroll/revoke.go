// Revoking: ending a key now, and taking it out of the keyset.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cargo-regkey/regkey/keys"
)

// A RevokePlan says what will happen, before it does.
type RevokePlan struct {
	Account string
	Key     keys.ID
	Name    string // the key's name in the store; empty if it is not there
	Reason  Reason
	// Last says that no key that may manage would be left: the account could only be reopened by
	// the registry's operator.
	Last bool
	// Revoked says that the registry has taken the revocation already.
	Revoked bool
	// Done says that nothing is left to do at all.
	Done bool
	// Reader names the read key that ends along with the key, as only that one needed it here; empty: none.
	Reader string
	// Strangers are keys of the account that can only read, and that are not on this machine. If
	// the key signed on another machine, one of them may have been enrolled there to read for it;
	// nobody knows which, so none ends unasked.
	Strangers []keys.ID

	l      *Lifecycle
	base   *SignedKeyset
	old    *Enrolment
	signer string // who signs the revocation
	next   string // who signs the keyset without the key; empty: nobody here can, or it is done
	heir   string // who signs tokens here from now on, if the key did; empty: nobody
	reads  string // the read key here from now on; empty: none
}

// Revoked is the outcome.
type Revoked struct {
	Account string
	Key     keys.ID
	Reason  Reason
	// Version is the keyset without the key; 0 if none could be signed here. The key is refused
	// from the revocation on, whatever the keyset says.
	Version int
	// Reader is the read key that ended along; zero: none.
	Reader keys.ID
}

// PlanRevocation settles what an earlier run left, looks at what stands, and finds out what
// revoking the key (a name in the store, or an id) means now. A registry that can't be asked is no
// obstacle, as the key may be the only one that could read there; one that contradicts what this
// machine has verified is.
func (l *Lifecycle) PlanRevocation(ctx context.Context, key string, reason Reason) (*RevokePlan, error) {
	if _, _, err := l.Settle(ctx); err != nil {
		return nil, err
	}
	var distrusted *DistrustError
	if _, err := l.Sync(ctx); errors.As(err, &distrusted) {
		return nil, err
	}
	e, base, err := l.enrolled()
	if err != nil {
		return nil, err
	}
	plan := &RevokePlan{Account: base.Account, Reason: reason, l: l, base: base, old: e}
	if err := plan.find(key); err != nil {
		return nil, err
	}
	if err := plan.choose(); err != nil || !plan.Done {
		return plan, err
	}
	return plan, l.endRevocations(base.Account, plan.Name, plan.Key.String())
}

// find resolves the key's name or id.
func (p *RevokePlan) find(key string) error {
	record, err := p.l.Keys.Lookup(key)
	if err == nil {
		p.Key, p.Name = record.Public.ID(), record.Name
		return nil
	}
	id, idErr := keys.ParseID(key)
	if idErr != nil {
		return err // the name's error: names are what people type
	}
	p.Key = id
	if record, err := p.l.Keys.Find(id); err == nil {
		p.Name = record.Name
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// choose finds who signs what.
func (p *RevokePlan) choose() error {
	revoked, err := p.l.State().revoked()
	if err != nil {
		return err
	}
	entry, listed := p.base.Entry(p.Key)
	p.Revoked = slices.Contains(revoked, p.Key) || slices.Contains(p.base.Revoked, p.Key)
	if err := p.takeReason(); err != nil {
		return err
	}
	p.Last = listed && entry.Can.Has(Manage) && !slices.ContainsFunc(p.base.Keys, func(e Entry) bool {
		return e.Key.ID() != p.Key && e.Can.Has(Manage) && !slices.Contains(revoked, e.Key.ID())
	})
	by := *p.l
	if by.With == p.Name { // which ends itself; the keyset without it is another one's to sign
		by.With = ""
	}
	manager, err := by.manager(p.base, p.old.Key, p.Key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p.next, p.signer, p.heir = manager.Name, manager.Name, manager.Name
	if p.signer == "" {
		p.signer = p.Name
	}
	if p.heir == "" || manager.Protection == keys.Elsewhere {
		p.heir = p.publisher(revoked)
	}
	if p.next != "" && !listed && slices.Contains(p.base.Revoked, p.Key) {
		p.next = ""
	}
	p.Strangers = p.strangers(revoked)
	if err := p.chooseReader(); err != nil {
		return err
	}
	p.Done = p.Revoked && p.next == "" && (p.Name == "" || p.Name != p.old.Key && p.Name != p.old.ReadKey && !p.old.uses(p.Name))
	if p.signer == "" && !p.Revoked {
		return fmt.Errorf("revoking %v: that key is not on this machine, and %w", p.Key, &NoManagerError{p.Account})
	}
	return nil
}

// takeReason is for a key that has ended: its reason is the one that was signed, and stays.
func (p *RevokePlan) takeReason() error {
	all, err := p.l.State().Revocations()
	for _, r := range all {
		if r.Key == p.Key {
			p.Reason = r.Reason
		}
	}
	return err
}

// publisher names a key of this machine that may still publish; "" if there is none.
func (p *RevokePlan) publisher(revoked []keys.ID) string {
	records, _ := p.l.Keys.List() // a record that can't be read is no candidate
	for _, record := range records {
		id := record.Public.ID()
		e, listed := p.base.Entry(id)
		if listed && id != p.Key && e.Can.Has(Publish) && e.Alive(p.l.now()) && !slices.Contains(revoked, id) {
			return record.Name
		}
	}
	return ""
}

// Run carries the plan out. From the moment at which the revocation may have left this machine until the
// keyset without the key stands, the journal says that there is something to complete.
func (p *RevokePlan) Run(ctx context.Context) (*Revoked, error) {
	i, err := p.l.Begin(KindRevoke, p.Account, named(p.Name, p.Key))
	if err != nil {
		return nil, err
	}
	i.Given = p.given() // written down with the next step
	outcome, err := p.run(ctx, i)
	return outcome, p.l.EndIntent(i, err)
}

// given are the flags by which the same command goes on.
func (p *RevokePlan) given() map[string]string {
	given := map[string]string{}
	if p.Reason != Unspecified {
		given["reason"] = string(p.Reason)
	}
	if p.Last {
		given["force-last"] = "true"
	}
	return given
}

func (p *RevokePlan) run(ctx context.Context, i *Intent) (*Revoked, error) {
	outcome := &Revoked{Account: p.Account, Key: p.Key, Reason: p.Reason}
	if !p.Revoked {
		err := p.revoke(ctx, i)
		if refusal := Refusal(nil); errors.As(err, &refusal) {
			err = errors.Join(err, p.l.note(i, StepPlanned)) // the key is what it was
		}
		if err != nil {
			return nil, err
		}
	}
	if err := p.l.note(i, StepAccepted); err != nil {
		return nil, err
	}
	if err := p.endReader(ctx, outcome); err != nil {
		return nil, err
	}
	after := p.after()
	if p.next == "" {
		return outcome, p.l.State().saveEnrolment(&after)
	}
	next, standing, err := p.l.next(p.base)
	if err != nil {
		return nil, err
	}
	manager, err := p.l.Unlock(ctx, p.next)
	if err != nil {
		return nil, err
	}
	k, err := p.l.change(ctx, next, after, standing, manager)
	if err != nil {
		return nil, fmt.Errorf("the key is revoked; taking it out of the keyset: %w", err)
	}
	outcome.Version = k.Version
	return outcome, nil
}

// after is the enrolment without the key, and without the read key that nobody needs any more.
func (p *RevokePlan) after() Enrolment {
	after := p.old.clone()
	if after.Key == p.Name && p.Name != "" {
		after.Key = p.heir
	}
	after.ReadKey = p.reads
	for _, name := range []string{p.Name, p.Reader} {
		if name != "" {
			after.replaceUses(name, "")
		}
	}
	return after
}

func (p *RevokePlan) revoke(ctx context.Context, i *Intent) error {
	signer, err := p.l.Unlock(ctx, p.signer)
	if err != nil {
		return err
	}
	if err := p.l.note(i, StepSent); err != nil {
		return err
	}
	return p.l.revoke(ctx, p.Key, p.Reason, signer)
}

// revoke has signer end the key.
func (l *Lifecycle) revoke(ctx context.Context, key keys.ID, reason Reason, signer keys.Signer) error {
	r, err := SignRevocation(ctx, &Revocation{Registry: l.Index, Key: key, Reason: reason}, signer)
	if err != nil {
		return err
	}
	return l.sendRevocation(ctx, r)
}

// sendRevocation sends r and keeps it.
func (l *Lifecycle) sendRevocation(ctx context.Context, r *SignedRevocation) error {
	if err := l.Registry.Revoke(ctx, r.Note); err != nil {
		return fmt.Errorf("submitting the revocation of %v: %w", r.Key, err)
	}
	return l.State().addSent(r)
}
