// Approving a proposal, at a machine that manages.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// A ProposalPlan is what approving a proposal means: all of it, as a proposal that does more than to
// add its keys is refused before.
type ProposalPlan struct {
	Account string
	Code    string // computed from the text, not the registry's
	Expires time.Time
	// Change is the whole difference between the version that stands and the proposed one. Added are
	// the key and, of a second one, the key that reads for it. What is Removed has ended or is
	// revoked, and what is Revoked this machine knows to be.
	Change Change
	// Attestations are chains of certificates (DER) that came along. Nobody has verified them.
	Attestations [][][]byte
	With         string // the key of this machine that is going to sign
	Done         bool   // it stands already: nothing is left to do

	l      *Lifecycle
	old    *Enrolment
	base   *SignedKeyset
	signed *SignedKeyset
}

// Approved is the outcome.
type Approved struct {
	Account string
	Version int
	Change  Change
}

// FetchProposal settles what an earlier run left, fetches and verifies what stands, and fetches the
// proposal that was posted under the code. The code is computed anew from what came. A proposal that
// does anything but adding one or two keys is refused with what it tried; one that builds on another
// version than stands with a [*StaleProposalError].
func (l *Lifecycle) FetchProposal(ctx context.Context, code string) (*ProposalPlan, error) {
	code, err := ParseProposalCode(code)
	if err != nil {
		return nil, err
	}
	e, base, err := l.upToDate(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := l.Registry.Proposal(ctx, base.Account, code)
	if err != nil {
		return nil, fmt.Errorf("fetching the proposal %s: %w", code, err)
	}
	plan := &ProposalPlan{
		Account: base.Account, Code: code, Expires: answer.Expires, Attestations: answer.Attestations,
		l: l, old: e, base: base,
	}
	return plan, plan.judge(answer.Note)
}

func (p *ProposalPlan) judge(note []byte) error {
	k, err := ParseSignedKeyset(note)
	if err != nil {
		return p.l.distrust("the registry sent no proposal", "a keyset with the code "+p.Code, "something else ("+err.Error()+")")
	}
	if came := ProposalCode(k.Text); came != p.Code {
		return p.l.distrust("the registry sent another proposal than was asked for", "one with the code "+p.Code, "one with the code "+came)
	}
	p.signed = k
	if k.Version <= p.base.Version {
		stood, err := p.l.State().Version(k.Version)
		if err == nil && stood.Hash() == k.Hash() {
			p.Done, p.Change = true, p.changeOf(k)
			return nil
		}
		return &StaleProposalError{Built: k.Version, Stands: p.base.Version}
	}
	standing, err := p.standing()
	if err != nil {
		return err
	}
	if err := standing.AcceptProposal(k); err != nil {
		return fmt.Errorf("the proposal %s at %s is refused: %w", p.Code, p.l.Index, err)
	}
	p.Change = Compare(p.base, k)
	manager, err := p.l.manager(p.base, p.old.Key)
	p.With = manager.Name
	return err
}

// changeOf is the difference that a version which stands has made, as far as this machine can tell.
func (p *ProposalPlan) changeOf(k *SignedKeyset) Change {
	before, err := p.l.State().Version(k.Version - 1)
	if err != nil {
		return Change{Version: k.Version, Issued: k.Issued, Signers: k.Signers()}
	}
	return Compare(before, k)
}

// standing is what the proposal, and then the version, is judged by. Its time is this machine's.
func (p *ProposalPlan) standing() (Standing, error) {
	_, standing, err := p.l.next(p.base)
	return standing, err
}

// Run adds the managing signature to the very text that was proposed, and submits it.
func (p *ProposalPlan) Run(ctx context.Context) (*Approved, error) {
	if p.Done {
		return &Approved{Account: p.Account, Version: p.signed.Version, Change: p.Change}, nil
	}
	signer, err := p.l.Unlock(ctx, p.With)
	if err != nil {
		return nil, err
	}
	standing, err := p.standing()
	if err != nil {
		return nil, err
	}
	signed, err := cosign(ctx, p.signed, signer)
	if err != nil {
		return nil, err
	}
	var attestations [][]string
	for _, chain := range p.Attestations {
		var texts []string
		for _, certificate := range chain {
			texts = append(texts, certificateEncoding.EncodeToString(certificate))
		}
		attestations = append(attestations, texts)
	}
	k, err := p.l.send(ctx, signed, p.old.clone(), standing, attestations)
	if refusal := Refusal(nil); errors.As(err, &refusal) {
		// No second try helps where somebody was quicker: that machine has to ask anew.
		if now, syncErr := p.l.Sync(ctx); syncErr == nil && now.Version >= p.signed.Version {
			return nil, &StaleProposalError{Built: p.signed.Version, Stands: now.Version}
		}
	}
	if err != nil {
		return nil, err
	}
	return &Approved{Account: k.Account, Version: k.Version, Change: p.Change}, nil
}

// cosign is k with the signer's signature added to those that it has.
func cosign(ctx context.Context, k *SignedKeyset, signer keys.Signer) (*SignedKeyset, error) {
	id := signer.Public().ID()
	if k.signed.signedBy(id) {
		return nil, errors.New("signing the keyset: it has this key's signature already")
	}
	raw, err := keys.Sign(ctx, signer, k.signed.message)
	if err != nil {
		return nil, err
	}
	signatures := append(slices.Clone(k.signed.signatures), signature{id, noteHash(signer.Public()), raw})
	slices.SortFunc(signatures, func(a, b signature) int { return a.signer.Compare(b.signer) })
	return ParseSignedKeyset(encodeNote(k.Text, signatures))
}
