// Waiting for approval, at the machine that asked.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"github.com/cargo-regkey/regkey/keys"
)

// AwaitApproval asks the registry for what became of the proposal, and pauses between its questions,
// until somebody has approved it; then this machine is enrolled. Where none waits yet, the account
// went on without it, or the registry forgot it, one is made and posted, and told to again: its
// code may be another one. An error of pause ends it; run again, it goes on.
func (l *Lifecycle) AwaitApproval(ctx context.Context, o ProposeOptions, pause func(context.Context) error, again func(*Waiting)) (*Joined, error) {
	l, err := l.forAccount(o.Account)
	if err != nil {
		return nil, err
	}
	for {
		j, waits, err := l.CheckApproval(ctx, o.Key)
		if err != nil || j != nil {
			return j, err
		}
		if waits {
			if err := pause(ctx); err != nil {
				return nil, err
			}
			continue
		}
		w, err := l.Propose(ctx, o)
		if errors.Is(err, ErrTrusted) {
			return l.Join(ctx, o.JoinOptions)
		}
		if err != nil {
			return nil, err
		}
		again(w)
	}
}

// A StaleProposalError says that a proposal builds on a version that does not stand any more.
type StaleProposalError struct {
	Built  int  // the version that it would become
	Stands int  // the version that stands; 0 if that can't be known here
	Own    bool // it is this machine's own, whose code of the keyset opens nothing that stands
}

// Error is the sentence.
func (e *StaleProposalError) Error() string {
	if e.Own {
		return "no keyset with that code stands any more: have the other machine show the code of the one that stands now"
	}
	return fmt.Sprintf("the proposal would become version %d, and version %d stands: the machine that asked makes a new one by itself; use the code that it shows now", e.Built, e.Stands)
}

// CheckApproval asks once. If the proposal was approved it enrols this machine. If not, waits says
// whether that may still happen; otherwise a new one must be made.
func (l *Lifecycle) CheckApproval(ctx context.Context, key keys.Record) (j *Joined, waits bool, err error) {
	p, k, err := l.State().proposal()
	if errors.Is(err, fs.ErrNotExist) {
		e, pinned, err := l.enrolled()
		if err != nil {
			return nil, false, nil
		}
		j, err := l.joined(pinned, e, key, true) // an earlier run may have got all the way
		if errors.Is(err, ErrNotTrusted) {
			err = nil
		}
		return j, false, err
	}
	if err != nil {
		return nil, false, err
	}
	base, err := l.State().Keyset()
	if err != nil {
		return nil, false, err
	}
	if k.Hash() == base.Hash() || k.Version <= base.Version { // pinned, and interrupted after that
		return l.concluded(p, k, base, key)
	}
	code := ProposalCode(k.Text)
	answer, err := l.Registry.Proposal(ctx, k.Account, code)
	var refusal Refusal
	switch {
	case errors.As(err, &refusal):
		return l.lookForIt(ctx, p, k, base, key)
	case err != nil:
		return nil, false, fmt.Errorf("asking for the proposal %s: %w", code, err)
	case answer.Accepted != nil:
		j, err := l.accepted(p, k, base, answer.Accepted, key)
		return j, false, err
	case answer.Outdated:
		return nil, false, l.outdated(ctx, k)
	}
	return nil, true, nil
}

// outdated drops the proposal, which can't be accepted any more, once the registry shows what stands in its
// place. Where that can't be seen the signed bytes are kept: they are posted again as long as nothing else
// stands, so that no registry can have one proposal signed after the other.
func (l *Lifecycle) outdated(ctx context.Context, k *SignedKeyset) error {
	latest, _, err := l.latest(ctx, k.Account)
	switch {
	case errors.As(err, new(*DistrustError)):
		return err
	case err != nil:
		return nil
	case latest.Version < k.Version:
		return l.distrust("the registry says that the proposal was overtaken, and shows nothing that did so",
			fmt.Sprintf("version %d of another text, or a later one", k.Version), shown(latest))
	}
	return l.State().clearProposal()
}

// accepted verifies what the registry shows as the proposal's outcome, and enrols this machine.
func (l *Lifecycle) accepted(p *asking, k, base *SignedKeyset, note []byte, key keys.Record) (*Joined, error) {
	v := newVerifier(Standing{Indexes: l.indexes(), Account: k.Account, Previous: base})
	stands, err := v.all([][]byte{note})
	if err != nil {
		return nil, l.distrust("the registry calls a keyset accepted that does not follow what this machine has verified", l.expected(v), "one that was refused ("+err.Error()+")")
	}
	if stands[0].Hash() != k.Hash() {
		return nil, l.distrust("the registry accepted another keyset than was proposed", shown(k), shown(stands[0]))
	}
	return l.enrolProposed(p, stands[0], key)
}

// enrolProposed writes down that the proposal stands.
func (l *Lifecycle) enrolProposed(p *asking, stands *SignedKeyset, key keys.Record) (*Joined, error) {
	if err := l.pinNewer(stands); err != nil {
		return nil, err
	}
	after, err := l.proposed(p)
	if err != nil {
		return nil, err
	}
	j, err := l.joined(stands, after, key, false)
	if err != nil {
		return nil, err
	}
	j.FirstUse = p.FirstUse
	if err := l.State().saveEnrolment(after); err != nil {
		return nil, err
	}
	return j, l.State().clearProposal()
}

// proposed is the enrolment that the proposal leads to. What the user has decided about another key of
// this machine since it was made stays.
func (l *Lifecycle) proposed(p *asking) (*Enrolment, error) {
	wanted := p.Version.Enrolment.clone()
	e, _, err := l.enrolled()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrManual) {
		return &wanted, nil
	}
	if err != nil {
		return nil, err
	}
	after := e.clone()
	if wanted.Key == p.Key {
		after.Key, after.ReadKey = wanted.Key, wanted.ReadKey
	}
	if after.Certificates == nil {
		after.Certificates = map[string]string{}
	}
	maps.Copy(after.Certificates, wanted.Certificates)
	return &after, nil
}

// lookForIt finds out, where the registry knows the proposal no more, whether its version stands all the
// same. If that can't be seen the signed bytes are kept, to be posted again.
func (l *Lifecycle) lookForIt(ctx context.Context, p *asking, k, base *SignedKeyset, key keys.Record) (*Joined, bool, error) {
	notes, _, err := l.Registry.Keysets(ctx, k.Account, k.Version)
	if err != nil || len(notes) == 0 {
		return nil, false, nil
	}
	if stands, err := ParseSignedKeyset(notes[0]); err == nil && stands.Hash() == k.Hash() {
		j, err := l.accepted(p, k, base, notes[0], key)
		return j, false, err
	}
	v := newVerifier(Standing{Indexes: l.indexes(), Account: k.Account, Previous: base})
	if _, err := v.all(notes[:1]); err != nil {
		return nil, false, l.distrust("the registry shows a keyset that does not follow what this machine has verified", l.expected(v), "one that was refused ("+err.Error()+")")
	}
	return nil, false, l.State().clearProposal()
}

// concluded is for a proposal whose version this machine has pinned already, or gone beyond.
func (l *Lifecycle) concluded(p *asking, k, pinned *SignedKeyset, key keys.Record) (*Joined, bool, error) {
	stood, err := l.State().Version(k.Version)
	if err == nil && stood.Hash() == k.Hash() {
		if _, listed := pinned.Entry(key.Public.ID()); listed {
			j, err := l.enrolProposed(p, pinned, key)
			return j, false, err
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	return nil, false, l.State().clearProposal()
}
