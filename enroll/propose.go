// Proposals: how a second machine asks to be let in.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// ErrTrusted says that a key is in the account's keyset.
var ErrTrusted = errors.New("it is in the keyset")

// ProposeOptions is what a user says on a machine whose key another one is to let in.
type ProposeOptions struct {
	JoinOptions
	Can    Can          // 0: publish, yank and read
	Crates []string     // patterns; empty: every crate
	Until  time.Time    // zero: no end
	Read   *keys.Record // a software key that can only read, enrolled beside Key
	// Certificate is where the revocation that is signed in advance goes; that of Read goes beside it.
	Certificate string
}

// A Waiting is a proposal that waits for somebody who manages.
type Waiting struct {
	Account string
	Code    string // what is typed at the other machine
	Expires time.Time
	Version int   // the one proposed
	Entry   Entry // what the key is to be allowed
	// Base is the code of the keyset that it builds upon: the other machine, if it asks for that too,
	// shows the same.
	Base     string
	FirstUse bool // nothing but the registry vouches for that keyset
}

// asking is what this machine keeps of its proposal.
type asking struct {
	Key      string  `toml:"key"`
	FirstUse bool    `toml:"first-use,omitempty"`
	Version  pending `toml:"proposal"` // signed by its new keys alone
}

// Propose signs the version that would let the key in with the key itself, which shows that it is
// here, and posts it. It gives no right: see [Lifecycle.FetchProposal] for the other side, and
// [Lifecycle.AwaitApproval] for what follows. Run again, it posts the same bytes again, unless they
// can't be accepted any more.
func (l *Lifecycle) Propose(ctx context.Context, o ProposeOptions) (*Waiting, error) {
	l, err := l.forAccount(o.Account)
	if err != nil {
		return nil, err
	}
	if _, _, err := l.Settle(ctx); err != nil {
		return nil, err
	}
	base, after, firstUse, err := l.proposalBase(ctx, o)
	if errors.Is(err, errUnreadable) {
		if p, k, base := l.standingProposal(o); p != nil {
			return l.post(ctx, p, k, base)
		}
	}
	if err != nil {
		return nil, err
	}
	if p, k, err := l.State().proposal(); err == nil && k.Previous == base.Hash() && asked(k, o) {
		return l.post(ctx, p, k, base)
	}
	if _, listed := base.Entry(o.Key.Public.ID()); listed {
		return nil, fmt.Errorf("proposing %s at %s: %w of %s already: join it instead", o.Key.Name, l.Index, ErrTrusted, base.Account)
	}
	p, k, err := l.draft(ctx, o, base, after)
	if err != nil {
		return nil, err
	}
	p.FirstUse = firstUse
	if err := l.State().setProposal(p); err != nil {
		return nil, err
	}
	return l.post(ctx, p, k, base)
}

// asked reports whether k asks for exactly what o says.
func asked(k *SignedKeyset, o ProposeOptions) bool {
	e, listed := k.Entry(o.Key.Public.ID())
	if o.Read != nil {
		if _, reads := k.Entry(o.Read.Public.ID()); !reads {
			return false
		}
	}
	return listed && e.Same(o.entry())
}

func (o ProposeOptions) entry() Entry {
	e := Entry{Key: o.Key.Public, Can: o.Can, Until: o.Until.UTC().Truncate(time.Second), Crates: o.Crates}
	if e.Can == 0 {
		e.Can = CanByDefault
	}
	return e
}

// proposalBase is the keyset to build upon, pinned, and what this machine's enrolment is to become. A
// machine that is enrolled may ask for a further key, or for one in place of a key that was ended from
// elsewhere. firstUse says that nothing but the registry vouches for the keyset.
func (l *Lifecycle) proposalBase(ctx context.Context, o ProposeOptions) (base *SignedKeyset, after Enrolment, firstUse bool, err error) {
	if err := checkManaging(o.Key, o.entry().Can); err != nil {
		return nil, Enrolment{}, false, fmt.Errorf("proposing a key at %s: %w", l.Index, err)
	}
	e, _, err := l.enrolled()
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrManual) {
		return nil, Enrolment{}, false, err
	}
	enrolled := err == nil
	if enrolled && o.Keyset == "" {
		base, err = l.Sync(ctx)
	} else {
		base, err = l.meet(ctx, o.Account, o.Keyset)
	}
	if !enrolled && o.Keyset == "" && errors.Is(err, fs.ErrNotExist) { // there is no key here that could read there
		if _, met := l.State().Keyset(); met == nil {
			err = errUnreadable
		}
	}
	if err != nil {
		if refusal := Refusal(nil); o.Keyset != "" && errors.As(err, &refusal) {
			err = errors.Join(&StaleProposalError{Own: true}, err)
		}
		return nil, Enrolment{}, false, err
	}
	if !enrolled {
		return base, o.enrolment(l), o.Keyset == "", nil
	}
	after, err = l.withoutEnded(e, base)
	if after.Key == "" {
		after.Key = o.Key.Name
	}
	return base, after, false, err
}

// errUnreadable says that this machine is shown the keyset by its code alone.
var errUnreadable = fmt.Errorf("the registry shows its keyset only to keys that it knows: %w", &StaleProposalError{Own: true})

// standingProposal is the one that waits, if it asks for what o says and builds upon what this machine was
// shown last; nil if not. An account that went on meanwhile is for the registry to say.
func (l *Lifecycle) standingProposal(o ProposeOptions) (*asking, *SignedKeyset, *SignedKeyset) {
	p, k, err := l.State().proposal()
	if err != nil || !asked(k, o) {
		return nil, nil, nil
	}
	base, err := l.State().Keyset()
	if err != nil || k.Previous != base.Hash() {
		return nil, nil, nil
	}
	return p, k, base
}

// draft makes version n+1 and signs it with the new keys.
func (l *Lifecycle) draft(ctx context.Context, o ProposeOptions, base *SignedKeyset, after Enrolment) (*asking, *SignedKeyset, error) {
	next, standing, err := l.next(base)
	if err != nil {
		return nil, nil, err
	}
	signer, err := l.Unlock(ctx, o.Key.Name)
	if err != nil {
		return nil, nil, err
	}
	entry := o.entry()
	next.Keys = append(next.Keys, entry)
	if err := l.certify(ctx, &after, o.Key.Name, signer, o.Certificate); err != nil {
		return nil, nil, err
	}
	signers := []keys.Signer{signer}
	if o.Read != nil {
		reader, err := l.addReader(ctx, next, &after, *o.Read, entry.Until, o.Certificate)
		if err != nil {
			return nil, nil, err
		}
		if reader != nil {
			signers = append(signers, reader)
		}
	}
	next.Sort()
	k, err := SignKeyset(ctx, next, signers...)
	if err != nil {
		return nil, nil, err
	}
	if err := standing.AcceptProposal(k); err != nil {
		return nil, nil, err
	}
	attestations, err := l.attestations(standing.added(k))
	return &asking{
		Key:     o.Key.Name,
		Version: pending{Note: string(k.Note), Attestations: attestations, Enrolment: after},
	}, k, err
}

// post sends the proposal, of which the registry may have the same bytes already.
func (l *Lifecycle) post(ctx context.Context, p *asking, k, base *SignedKeyset) (*Waiting, error) {
	s, err := p.Version.submission(k)
	if err != nil {
		return nil, err
	}
	answer, err := l.Registry.Propose(ctx, k.Account, s)
	if err != nil {
		return nil, fmt.Errorf("proposing version %d of the keyset: %w", k.Version, err)
	}
	w := &Waiting{
		Account: k.Account, Code: ProposalCode(k.Text), Expires: earlier(answer.Expires, l.now().Add(maxWaiting)), Version: k.Version,
		Base: ProposalCode(base.Text), FirstUse: p.FirstUse,
	}
	if code, err := ParseProposalCode(answer.Code); err != nil || code != w.Code {
		return nil, l.distrust("the registry took another proposal than was sent", "the code "+w.Code, "the code "+answer.Code)
	}
	record, err := l.Keys.Lookup(p.Key)
	w.Entry, _ = k.Entry(record.Public.ID())
	return w, err
}

// maxWaiting is how long a proposal waits at most, whatever the registry says: quarter of an hour is usual.
const maxWaiting = time.Hour

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

const proposalFile = "proposal.toml"

func (s *State) setProposal(p *asking) error { return s.writeTOML(proposalFile, p) }

func (s *State) clearProposal() error { return s.remove(proposalFile) }

// endProposal forgets a proposal to let the key in, which is trusted: an earlier run got all the way and was
// stopped at the very end.
func (s *State) endProposal(key string) error {
	p, _, err := s.proposal()
	if errors.Is(err, fs.ErrNotExist) || err == nil && p.Key != key {
		return nil
	}
	if err != nil {
		return err
	}
	return s.clearProposal()
}

// proposal is what waits for approval; the error wraps [fs.ErrNotExist] if nothing does.
func (s *State) proposal() (*asking, *SignedKeyset, error) {
	p := &asking{}
	if err := s.readTOML(proposalFile, p); err != nil {
		return nil, nil, err
	}
	k, err := p.Version.keyset()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the proposal that waits: %w", err)
	}
	return p, k, nil
}

// Proposing is the code of this machine's proposal that waits; "" if none does.
func (s *State) Proposing() string {
	_, k, err := s.proposal()
	if err != nil {
		return ""
	}
	return ProposalCode(k.Text)
}
