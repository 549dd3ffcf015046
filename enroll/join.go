// First contact with an account that others began: a second machine, or a restored home.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cargo-regkey/regkey/keys"
)

// JoinOptions is what a user says of a key that the account trusts already.
type JoinOptions struct {
	Account string
	Key     keys.Record
	// Keyset is the code (see [ProposalCode]) of the keyset that stands, as a machine shows it that has
	// verified it. It takes the place of trust on first use, and of a token where reading needs one.
	// It may be empty.
	Keyset string

	Name      string // what cargo calls the registry
	Challenge bool   // from discovery
	MaxAge    int    // from discovery, in seconds
	Insecure  bool   // the user allows plain http
}

// enrolment is what is recorded of the options. A key that is kept elsewhere signs no tokens here.
func (o JoinOptions) enrolment(l *Lifecycle) Enrolment {
	if o.Key.Protection == keys.Elsewhere {
		o.Key.Name = ""
	}
	return Enrolment{
		Index: l.Index, Former: l.Former, Account: o.Account, Key: o.Key.Name, Name: o.Name,
		Challenge: o.Challenge, MaxAge: o.MaxAge, Insecure: o.Insecure, Since: l.now(),
	}
}

// Joined is the outcome, also that of an approved proposal.
type Joined struct {
	Account     string
	Key         keys.ID
	Entry       Entry // what the key may do
	Version     int   // pinned from now on
	Hash        Hash  // of that version
	Certificate string
	Read        string // the name of the key that reads here; empty: the one that signs
	// FirstUse says that nothing but the registry vouches for what was pinned: another machine of
	// the account should show the same hash.
	FirstUse bool
	// Already says that this machine was enrolled before, with that key or another one.
	Already bool
}

// Join enrols this machine with a key that is in the account's keyset already. The chain is verified
// from version 1 on and pinned. Nothing is signed. Where this machine is enrolled as the account, it
// only makes sure that the key is trusted, and changes nothing.
func (l *Lifecycle) Join(ctx context.Context, o JoinOptions) (*Joined, error) {
	l, err := l.forAccount(o.Account)
	if err != nil {
		return nil, err
	}
	if _, _, err := l.Settle(ctx); err != nil {
		return nil, err
	}
	if l.State().Proposing() != "" { // it may be the very key that was let in
		if j, _, err := l.CheckApproval(ctx, o.Key); err != nil || j != nil {
			return j, err
		}
	}
	switch e, _, err := l.enrolled(); {
	case err == nil:
		k, err := l.Sync(ctx)
		if err != nil {
			return nil, err
		}
		return l.joined(k, e, o.Key, true)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrManual):
		return nil, err
	}
	k, err := l.meet(ctx, o.Account, o.Keyset)
	if err != nil {
		return nil, err
	}
	e := o.enrolment(l)
	j, err := l.joined(k, &e, o.Key, false)
	if err != nil {
		return nil, err
	}
	j.FirstUse = o.Keyset == ""
	return j, l.State().saveEnrolment(&e)
}

// forAccount is l for that account, which is another one than l's only by mistake.
func (l *Lifecycle) forAccount(account string) (*Lifecycle, error) {
	if err := CheckAccount(account); err != nil {
		return nil, err
	}
	if l.Account != "" && l.Account != account {
		return nil, fmt.Errorf("the command is about the account %s at %s, not about %s", l.Account, l.Index, account)
	}
	if e, err := l.State().enrolment(); err == nil && !e.Manual && e.Account != account {
		return nil, fmt.Errorf("this machine is enrolled at %s as %s, and no further account was asked for", l.Index, e.Account)
	}
	return l, nil
}

// joined says what the key may do in k; a key without any right is an error.
func (l *Lifecycle) joined(k *SignedKeyset, e *Enrolment, key keys.Record, already bool) (*Joined, error) {
	id := key.Public.ID()
	revoked, err := l.State().revoked()
	if err != nil {
		return nil, err
	}
	if slices.Contains(revoked, id) || slices.Contains(k.Revoked, id) {
		return nil, broken(CodeKeyRevoked, "key %v is revoked: a revoked key never comes back", id)
	}
	entry, listed := k.Entry(id)
	if !listed {
		return nil, fmt.Errorf("joining %s with %s: the account does not trust that key: %w", k.Account, key.Name, ErrNotTrusted)
	}
	if !entry.Alive(l.now()) {
		return nil, fmt.Errorf("joining %s with %s: its time ended on %s", k.Account, key.Name, entry.Until.Format(timeLayout))
	}
	return &Joined{
		Account: k.Account, Key: id, Entry: entry, Version: k.Version, Hash: k.Hash(),
		Certificate: e.Certificates[id.String()], Read: e.ReadKey, Already: already,
	}, nil
}

// meet fetches an account's keyset for the first time, verifies it as far as that is possible, and pins
// it. With a code the keyset is the one that another machine has verified; without, its whole chain
// is fetched. What an earlier, interrupted run has pinned must be in it.
func (l *Lifecycle) meet(ctx context.Context, account, code string) (*SignedKeyset, error) {
	var chain []*SignedKeyset
	var notes [][]byte
	pinned, err := l.State().Keyset()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if code != "" {
		chain, notes, err = l.meetByCode(ctx, account, code)
	} else {
		chain, notes, err = l.meetByChain(ctx, account)
	}
	if err != nil {
		return nil, err
	}
	last := chain[len(chain)-1]
	follows := slices.ContainsFunc(chain, func(k *SignedKeyset) bool { return pinned != nil && k.Hash() == pinned.Hash() })
	if vouched := code != "" && pinned != nil && last.Version > pinned.Version; pinned != nil && !follows && !vouched {
		return nil, l.distrust("the registry shows another keyset than this machine has verified", shown(pinned)+" or one that follows it", shown(last))
	}
	received, err := l.State().checkRevocations(l.indexes(), notes, chain)
	if err != nil {
		return nil, err
	}
	return last, l.record(chain, received, pinned)
}

func (l *Lifecycle) meetByChain(ctx context.Context, account string) ([]*SignedKeyset, [][]byte, error) {
	latest, notes, err := l.latest(ctx, account)
	if err != nil {
		return nil, nil, err
	}
	chain, err := l.fetch(ctx, newVerifier(l.fromScratch(account)), latest)
	return chain, notes, err
}

func (l *Lifecycle) meetByCode(ctx context.Context, account, code string) ([]*SignedKeyset, [][]byte, error) {
	code, err := ParseProposalCode(code)
	if err != nil {
		return nil, nil, err
	}
	note, notes, err := l.Registry.KeysetByCode(ctx, account, code)
	if err != nil {
		return nil, nil, fmt.Errorf("fetching the keyset %s of %s: %w", code, account, err)
	}
	k, err := l.ReadKeyset(account, note)
	if err != nil {
		return nil, nil, err
	}
	if came := ProposalCode(k.Text); came != code {
		return nil, nil, l.distrust("the registry sent another keyset than was asked for", "the one with the code "+code, "one with the code "+came)
	}
	return []*SignedKeyset{k}, notes, nil
}
