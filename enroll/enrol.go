// Enrolment: making a registry trust a key of this machine.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// An EnrolStep is what enrolling means, given the keyset that stands.
type EnrolStep string

const (
	// EnrolFirst begins the account's keyset and needs an invite code.
	EnrolFirst EnrolStep = "first"
	// EnrolAdd puts a further key into the keyset, signed by a key that manages.
	EnrolAdd EnrolStep = "add"
	// EnrolDone says that the key is in the keyset already: nothing is left to do.
	EnrolDone EnrolStep = "done"
)

// EnrolOptions is what a user says of an enrolment.
type EnrolOptions struct {
	Account string      // may be empty where this machine is enrolled already
	Key     keys.Record // the key to be trusted
	With    string      // the managing key that signs for a further one; empty: one that is here
	Can     Can         // 0: everything for the first key, publish, yank and read for a later one
	Crates  []string    // patterns; empty: every crate
	Until   time.Time   // zero: no end
	// Read is a software key that can only read, enrolled beside Key: see [EnrolPlan.WantsReader].
	// It may be set after planning.
	Read *keys.Record

	Name      string // what cargo calls the registry
	Challenge bool   // from discovery
	MaxAge    int    // from discovery, in seconds
	Insecure  bool   // the user allows plain http

	// Certificate is where the revocation that is signed in advance goes; that of Read goes beside it.
	Certificate string
}

// An EnrolPlan says what will happen, before it does.
type EnrolPlan struct {
	EnrolOptions
	Step EnrolStep
	l    *Lifecycle
	base *SignedKeyset // nil for EnrolFirst
	old  *Enrolment    // nil for EnrolFirst
}

// Enrolled is the outcome.
type Enrolled struct {
	Step        EnrolStep
	Account     string
	Key         keys.ID
	Can         Can
	Version     int
	Certificate string // the path of the revocation that was signed in advance
	Read        string // the name of the key that reads here; empty: the one that signs
}

// PlanEnrolment settles what an earlier run left behind, and finds out what enrolling the key means
// now.
func (l *Lifecycle) PlanEnrolment(ctx context.Context, o EnrolOptions) (*EnrolPlan, error) {
	if err := checkManaging(o.Key, o.Can); err != nil {
		return nil, fmt.Errorf("enrolling at %s: %w", l.Index, err)
	}
	if o.Account == "" {
		o.Account = l.Account
	}
	if l.Account != "" && o.Account != l.Account {
		return nil, fmt.Errorf("enrolling at %s as %s: the command is about the account %s", l.Index, o.Account, l.Account)
	}
	if _, _, err := l.Settle(ctx); err != nil {
		return nil, err
	}
	old, base, err := l.enrolled()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrManual) {
		if err := CheckAccount(o.Account); err != nil {
			return nil, err
		}
		return &EnrolPlan{EnrolOptions: o, Step: EnrolFirst, l: l}, nil
	}
	if err != nil {
		return nil, err
	}
	if o.Account == "" {
		o.Account = old.Account
	}
	if o.Account != old.Account {
		return nil, fmt.Errorf("enrolling at %s as %s: this machine is enrolled there as %s, and no further account was asked for", l.Index, o.Account, old.Account)
	}
	after, err := l.withoutEnded(old, base)
	if err != nil {
		return nil, err
	}
	plan := &EnrolPlan{EnrolOptions: o, Step: EnrolAdd, l: l, base: base, old: &after}
	if done, err := plan.done(); err != nil || done {
		return plan, err
	}
	return plan, plan.update(ctx)
}

// update fetches and verifies what stands, and finds who signs for a further key.
func (p *EnrolPlan) update(ctx context.Context) (err error) {
	if p.base, err = p.l.Sync(ctx); err != nil {
		return err
	}
	after, err := p.l.withoutEnded(p.old, p.base)
	if err != nil {
		return err
	}
	p.old = &after
	done, err := p.done()
	if err != nil || done && !p.bringsReader() || p.With != "" {
		return err
	}
	record, err := p.l.manager(p.base, p.old.Key)
	p.With = record.Name
	return err
}

// bringsReader reports whether the plan's read key is new in the keyset.
func (p *EnrolPlan) bringsReader() bool {
	if p.Read == nil || !p.old.signsHere(p.Key.Name) {
		return false
	}
	_, listed := p.base.Entry(p.Read.Public.ID())
	return !listed
}

// done reports whether the key is trusted already. One that is revoked, whether or not the keyset
// has heard of it, is an error.
func (p *EnrolPlan) done() (bool, error) {
	id := p.Key.Public.ID()
	revoked, err := p.l.State().revoked()
	if err != nil {
		return false, err
	}
	if slices.Contains(revoked, id) || slices.Contains(p.base.Revoked, id) {
		return false, broken(CodeKeyRevoked, "key %v is revoked: a revoked key never comes back", id)
	}
	if _, found := p.base.Entry(id); found {
		p.Step = EnrolDone
	}
	return p.Step == EnrolDone, nil
}

// Run carries the plan out. The code is used by EnrolFirst only; it signs, and is never sent.
func (p *EnrolPlan) Run(ctx context.Context, code keys.Secret) (*Enrolled, error) {
	if p.Step != EnrolDone {
		if err := checkManaging(p.Key, p.can()); err != nil {
			return nil, fmt.Errorf("enrolling at %s: %w", p.l.Index, err)
		}
	}
	switch p.Step {
	case EnrolFirst:
		return p.first(ctx, code)
	case EnrolAdd:
		return p.add(ctx)
	}
	if p.bringsReader() {
		if err := p.update(ctx); err != nil {
			return nil, err
		}
		if p.bringsReader() {
			return p.add(ctx)
		}
	}
	return p.refresh()
}

func (p *EnrolPlan) first(ctx context.Context, code keys.Secret) (*Enrolled, error) {
	invite, err := InviteKey(code)
	if err != nil {
		return nil, err
	}
	signer, err := p.l.Unlock(ctx, p.Key.Name)
	if err != nil {
		return nil, err
	}
	next := &Keyset{
		Registry: p.l.Index, Account: p.Account, Version: 1, Issued: p.l.now(),
		Keys: []Entry{p.entry()},
	}
	after := Enrolment{Index: p.l.Index, Account: p.Account, Key: p.Key.Name, Since: p.l.now()}
	p.apply(&after)
	if err := p.l.certify(ctx, &after, p.Key.Name, signer, p.Certificate); err != nil {
		return nil, err
	}
	signers, err := p.readers(ctx, next, &after, signer, invite)
	if err != nil {
		return nil, err
	}
	standing := Standing{Indexes: []string{p.l.Index}, Account: p.Account, Now: p.l.now(), Bootstrap: ByInvite(invite.Public())}
	k, err := p.l.change(ctx, next, after, standing, signers...)
	if err != nil {
		return nil, err
	}
	return p.outcome(k, &after), nil
}

// add makes the version that brings in the key and the read key, as far as they are not listed yet.
func (p *EnrolPlan) add(ctx context.Context) (*Enrolled, error) {
	manager, err := p.l.Unlock(ctx, p.With)
	if err != nil {
		return nil, err
	}
	next, standing, err := p.l.next(p.base)
	if err != nil {
		return nil, err
	}
	after, signers := p.old.clone(), []keys.Signer{manager}
	p.apply(&after)
	if _, listed := p.entryNow(); !listed {
		signer, err := p.l.Unlock(ctx, p.Key.Name)
		if err != nil {
			return nil, err
		}
		next.Keys, signers = append(next.Keys, p.entry()), append(signers, signer)
		if err := p.l.certify(ctx, &after, p.Key.Name, signer, p.Certificate); err != nil {
			return nil, err
		}
	}
	if signers, err = p.readers(ctx, next, &after, signers...); err != nil {
		return nil, err
	}
	k, err := p.l.change(ctx, next, after, standing, signers...)
	if err != nil {
		return nil, err
	}
	return p.outcome(k, &after), nil
}

// readers are the signers with that of the read key, if one comes in.
func (p *EnrolPlan) readers(ctx context.Context, next *Keyset, after *Enrolment, signers ...keys.Signer) ([]keys.Signer, error) {
	if p.Read == nil || !p.old.signsHere(p.Key.Name) {
		return signers, nil
	}
	reader, err := p.l.addReader(ctx, next, after, *p.Read, p.until(), p.Certificate)
	if err != nil || reader == nil {
		return signers, err
	}
	return append(signers, reader), nil
}

// can is what the key is to be allowed.
func (p *EnrolPlan) can() Can {
	switch {
	case p.Can != 0:
		return p.Can
	case p.Step == EnrolFirst:
		return CanEverything
	}
	return CanByDefault
}

func (p *EnrolPlan) until() time.Time { return p.Until.UTC().Truncate(time.Second) }

// entry is the line that the key is to have.
func (p *EnrolPlan) entry() Entry {
	return Entry{Key: p.Key.Public, Can: p.can(), Until: p.until(), Crates: p.Crates}
}

// entryNow is the line that the key has already.
func (p *EnrolPlan) entryNow() (Entry, bool) {
	if p.base == nil {
		return Entry{}, false
	}
	return p.base.Entry(p.Key.Public.ID())
}

// refresh saves what may have changed outside the keyset: cargo's name for the registry, and
// whether it wants challenges.
func (p *EnrolPlan) refresh() (*Enrolled, error) {
	after := p.old.clone()
	p.apply(&after)
	if p.Read != nil && p.old.signsHere(p.Key.Name) {
		after.ReadKey = p.Read.Name // listed already
	}
	if err := p.l.State().saveEnrolment(&after); err != nil {
		return nil, err
	}
	return p.outcome(p.base, &after), p.l.State().endProposal(p.Key.Name)
}

func (p *EnrolPlan) apply(e *Enrolment) {
	if p.Name != "" {
		e.Name = p.Name
	}
	e.Challenge, e.MaxAge, e.Insecure = p.Challenge, p.MaxAge, p.Insecure
	if e.Key == "" {
		e.Key = p.Key.Name
	}
}

func (p *EnrolPlan) outcome(k *SignedKeyset, e *Enrolment) *Enrolled {
	id := p.Key.Public.ID()
	entry, _ := k.Entry(id)
	return &Enrolled{
		Step: p.Step, Account: k.Account, Key: id, Can: entry.Can, Version: k.Version,
		Certificate: e.Certificates[id.String()], Read: e.ReadKey,
	}
}

// EnrolManually records that the user has pasted the key into the website of a registry without key
// API. It replaces an earlier manual record. Where there is a keyset, even one that still waits for
// the registry's answer, it is an error.
func (l *Lifecycle) EnrolManually(o EnrolOptions, subject string) (*Enrolment, error) {
	if err := CheckIndex(l.Index); err != nil {
		return nil, err
	}
	old, _, err := l.enrolled()
	switch {
	case l.State().Pending():
		return nil, fmt.Errorf("enrolling by hand at %s: a signed keyset still waits for that registry's answer: run regkey enroll without --manual first", l.Index)
	case err == nil:
		return nil, fmt.Errorf("enrolling by hand at %s: this machine is enrolled there with a keyset, as %s", l.Index, old.Account)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrManual):
		return nil, err
	}
	if o.Account == "" {
		o.Account = l.Account
	}
	e := &Enrolment{Index: l.Index, Account: o.Account, Key: o.Key.Name, Subject: subject, Manual: true, Since: l.now()}
	(&EnrolPlan{EnrolOptions: o}).apply(e)
	return e, l.State().saveEnrolment(e)
}
