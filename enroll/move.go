// A registry that moved: the enrolment at its former index URL goes on at the new one.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// A MovePlan says what will happen, before it does.
type MovePlan struct {
	From, To string // index URLs
	Account  string
	Key      string // the key that signs here, now as before
	Pinned   int    // the version that this machine had verified at the former index
	Version  int    // the version that stands at the new one, and follows it
	Hash     Hash
	Done     bool // this machine is enrolled at the new index with that chain already

	l           *Lifecycle // at the new index
	former      *Lifecycle
	old         *Enrolment
	pinned      *SignedKeyset
	chain       []*SignedKeyset // after the pin
	revocations []*SignedRevocation
}

// PlanMove finds out whether the registry at l.Index continues the one at the index URL from, where this
// machine is enrolled. l.Former is what the new one claims, by its discovery document, to have been
// before; only the chain proves it: it must lead on from what this machine has pinned, and show
// every revocation that this machine knows. Else the error is a [*DistrustError]. Anybody can
// show a copy of a public chain, so the user has to want the move: it is they who trust the new
// index URL to be the registry's.
func (l *Lifecycle) PlanMove(ctx context.Context, from string) (*MovePlan, error) {
	if !slices.Contains(l.Former, from) {
		return nil, fmt.Errorf("moving from %s to %s: the registry there does not say that it was the former one", from, l.Index)
	}
	former := *l
	former.Index, former.Former = from, nil
	p := &MovePlan{From: from, To: l.Index, l: l, former: &former}
	if done, err := p.done(); err != nil || done {
		return p, err
	}
	var err error
	if p.old, p.pinned, err = former.enrolled(); err != nil {
		return nil, err
	}
	p.Account, p.Key, p.Pinned = p.old.Account, p.old.Key, p.pinned.Version
	at := *l
	at.Account = p.Account
	p.l = &at
	if e, err := at.State().enrolment(); err == nil && !e.Manual {
		return nil, fmt.Errorf("moving from %s to %s: this machine is enrolled at both as %s", from, l.Index, p.Account)
	}
	return p, p.verify(ctx)
}

// done reports whether an earlier run got as far as the enrolment at the new index.
func (p *MovePlan) done() (bool, error) {
	e, k, err := p.l.enrolled()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrManual) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !slices.Contains(e.Former, p.From) {
		return false, nil
	}
	// Whoever has moved may have another account left at the former index: that is another move.
	if old, _, err := p.former.enrolled(); err == nil && old.Account != e.Account {
		return false, nil
	}
	p.Account, p.Key, p.Version, p.Hash, p.Done = e.Account, e.Key, k.Version, k.Hash(), true
	return true, nil
}

// moved are the index URLs that documents may name after the move.
func (p *MovePlan) moved() []string {
	all := []string{p.To, p.From}
	for _, index := range p.old.Former {
		if !slices.Contains(all, index) {
			all = append(all, index)
		}
	}
	return all
}

// verify holds what the new registry shows against the pin from the former one.
func (p *MovePlan) verify(ctx context.Context) error {
	known, err := p.former.State().settled()
	if err != nil {
		return err
	}
	at := *p.l
	at.Former = p.moved()[1:]
	latest, notes, err := at.latest(ctx, p.Account)
	var refusal Refusal
	if errors.As(err, &refusal) {
		return p.l.distrust("the registry claims to continue "+p.From+" and does not show the account's keyset", shown(p.pinned)+" or a later one", "the refusal "+refusal.RefusalCode())
	}
	if err != nil {
		return err
	}
	if p.chain, err = at.follow(ctx, p.pinned, latest, known); err != nil {
		return err
	}
	last := p.pinned
	if len(p.chain) > 0 {
		last = p.chain[len(p.chain)-1]
	}
	p.Version, p.Hash = last.Version, last.Hash()
	p.revocations, err = p.former.State().checkRevocations(p.moved(), notes, p.chain)
	return err
}

// Move carries the plan out: everything that is known of the account goes to the new index's folder,
// the enrolment last; then the former folder is set aside. Nothing is signed, and nothing lost.
func (p *MovePlan) Move(_ context.Context) error {
	if !p.Done {
		if err := p.copy(); err != nil {
			return err
		}
	}
	former := p.former.State()
	if e, err := former.enrolment(); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	} else if e.Account != p.Account {
		return nil
	}
	return former.SetAside(p.l.Now())
}

func (p *MovePlan) copy() error {
	from, to := p.former.State(), p.l.State()
	history, err := from.History()
	if err != nil {
		return err
	}
	revocations, err := from.Revocations()
	if err != nil {
		return err
	}
	waiting, err := from.pending()
	if err != nil {
		return err
	}
	if err := p.l.record(append(history, p.chain...), append(revocations, p.revocations...), nil); err != nil {
		return err
	}
	after := p.moves(p.old)
	if waiting != nil {
		waiting.Enrolment = p.moves(&waiting.Enrolment)
		if err := to.setPending(waiting); err != nil {
			return err
		}
	}
	return to.saveEnrolment(&after)
}

// moves is an enrolment at the new index.
func (p *MovePlan) moves(e *Enrolment) Enrolment {
	after := e.clone()
	after.Index, after.Former = p.To, p.moved()[1:]
	return after
}
