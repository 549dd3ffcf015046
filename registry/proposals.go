// Proposals over HTTP: a machine that may not manage asks to be added, and one that may finds out what to sign.

package registry

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/registry/verify"
)

// proposalLife is how long a proposal waits: two people at two machines need minutes.
const proposalLife = 15 * time.Minute

// How many proposals wait at once. Anybody may send some, so they are few; and no address may take all places of an
// account, lest one stranger keep its owner's second machine out.
const (
	maxProposals        = 5 // for the next version of one account
	maxProposalShare    = 4 // of those, from one address
	maxProposalsOrigin  = 100
	maxProposalsAtOnce  = 2000 // in the whole registry: about 200 MB at worst
	maxProposalsChains  = 2    // attestations of one proposal, which adds two keys at most
	maxProposalBodySize = maxNoteBody + 96<<10
)

// origins tells addresses apart in the database without keeping any: by a MAC whose key is this process's.
type origins [32]byte

func newOrigins() origins {
	var o origins
	_, _ = rand.Read(o[:]) // never fails (crypto/rand)
	return o
}

func (o origins) of(r *http.Request) string {
	mac := hmac.New(sha256.New, o[:])
	mac.Write([]byte(network(client(r)).String()))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// submitProposal keeps version n+1 until somebody who may manage signs it, or for proposalLife. Sending what waits already is a success.
func (s *Server) submitProposal(w http.ResponseWriter, r *http.Request) error {
	ctx, account := r.Context(), r.PathValue("account")
	body, err := readSubmission(r, maxProposalBodySize)
	if err != nil {
		return err
	}
	if body.Bootstrap != "" || len(body.Attestation) > maxProposalsChains {
		return refuse(http.StatusBadRequest, "request-invalid", "a proposal is sent as {\"note\":…} with at most %d attestations", maxProposalsChains)
	}
	next, err := enroll.ParseSignedKeyset([]byte(body.Note))
	if err != nil {
		return refuse(http.StatusBadRequest, "keyset-malformed", "the proposed keyset can't be read: %v; sign it with a program that follows version 1 of regkey's protocol", err)
	}
	given := &attested{}
	if given.chains, err = body.chains(); err != nil {
		return err
	}
	p := storage.Proposal{
		Account: account, Code: enroll.ProposalCode(next.Text), Version: next.Version, Note: body.Note,
		Origin: s.origins.of(r), Expires: s.now().Add(proposalLife).Truncate(time.Second),
	}
	var waits bool
	err = s.storage.Vetted(ctx, func(tx *storage.Tx) error {
		waits, err = s.judgeProposal(ctx, tx, &p, next, given)
		return err
	}, func(tx *storage.Tx) error {
		waits, err = s.judgeProposal(ctx, tx, &p, next, given)
		if err != nil || waits {
			return err
		}
		return tx.SaveProposal(ctx, p)
	})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if !waits {
		status = http.StatusCreated
		// Not its code: whoever knows that can read it.
		s.log.InfoContext(ctx, "key proposed", "account", account, "version", p.Version)
	}
	return answer(w, status, map[string]string{"code": p.Code, "expires": p.Expires.UTC().Format(time.RFC3339)})
}

// judgeProposal reports whether p, whose text is next, waits already; else it may be kept. What is cheap comes first.
func (s *Server) judgeProposal(ctx context.Context, tx *storage.Tx, p *storage.Proposal, next *enroll.SignedKeyset, given *attested) (waits bool, err error) {
	account, err := s.proposedTo(ctx, tx, p.Account, next)
	if err != nil {
		return false, err
	}
	p.Epoch = account.Epoch
	stored, err := tx.Proposal(ctx, p.Account, p.Code)
	switch {
	case err == nil && (stored.Version <= account.Version || s.now().Before(stored.Expires)):
		*p = stored
		return true, nil
	case err != nil && !errors.Is(err, storage.ErrNotFound):
		return false, err
	}
	if err := s.checkRoom(ctx, tx, account, p); err != nil {
		return false, err
	}
	standing, err := s.standing(ctx, tx, account)
	if err != nil {
		return false, err
	}
	if err := standing.AcceptProposal(next); err != nil {
		return false, err
	}
	if err := checkFrozen(account); err != nil {
		return false, err
	}
	if err := s.judgeHardware(ctx, tx, standing.Previous, next, given); err != nil {
		return false, err
	}
	p.Attestation, err = encodeChains(given.trusted)
	return false, err
}

// proposedTo is the account that a proposal is for. Where reading needs a token, it is shown only to somebody who has
// seen the keyset that the proposal follows, whether or not that still stands.
func (s *Server) proposedTo(ctx context.Context, tx *storage.Tx, name string, next *enroll.SignedKeyset) (storage.Account, error) {
	account, err := findShown(ctx, tx, name)
	if err != nil || !s.config.AuthRequired {
		return account, err
	}
	before, err := readKeyset(ctx, tx, name, next.Version-1)
	if errors.Is(err, storage.ErrNotFound) || err == nil && before.Hash() != next.Previous {
		return account, accountUnknown()
	}
	return account, err
}

// checkRoom refuses a proposal for which there is no place.
func (s *Server) checkRoom(ctx context.Context, tx *storage.Tx, account storage.Account, p *storage.Proposal) error {
	open, err := tx.OpenProposals(ctx, account, p.Version, p.Origin, s.now())
	if err != nil {
		return err
	}
	if open.Account < maxProposals && open.Share < maxProposalShare && open.Origin < maxProposalsOrigin && open.All < maxProposalsAtOnce {
		return nil
	}
	e := refuse(http.StatusTooManyRequests, "proposal-limit", "too many proposals wait already: approve one with a key that manages, or wait until they expire, which takes %v at most", proposalLife)
	e.RetryAfter = max(open.Next.Sub(s.now()), time.Second)
	return e
}

// serveProposal shows what waits under a code, and whether it was accepted, to whoever knows the code. That is as good as 100 random
// bits to everybody but the machine that proposes and those that it tells.
func (s *Server) serveProposal(w http.ResponseWriter, r *http.Request) error {
	unknown := refuse(http.StatusNotFound, "proposal-unknown", "this registry has no such proposal, or no longer: "+
		"check code and account, and have the other machine propose again if 15 minutes have passed")
	ctx, name := r.Context(), r.PathValue("account")
	code, err := enroll.ParseProposalCode(r.PathValue("code"))
	if err != nil || enroll.CheckAccount(name) != nil {
		return unknown
	}
	p, err := s.storage.Proposal(ctx, name, code)
	if errors.Is(err, storage.ErrNotFound) {
		return unknown
	}
	if err != nil {
		return err
	}
	type acceptedNote struct {
		Note string `json:"note"`
	}
	shown := struct {
		Note        string        `json:"note"`
		Attestation [][]string    `json:"attestation,omitempty"`
		Expires     string        `json:"expires"`
		Accepted    *acceptedNote `json:"accepted,omitzero"`
		Outdated    bool          `json:"outdated,omitzero"`
	}{Note: p.Note, Expires: p.Expires.Format(time.RFC3339)}
	standing, err := readKeyset(ctx, s.storage, name, p.Version)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		if !s.now().Before(p.Expires) {
			return unknown
		}
	case err != nil:
		return err
	case enroll.ProposalCode(standing.Text) == code:
		shown.Accepted = &acceptedNote{string(standing.Note)}
	default:
		shown.Outdated = true
	}
	if p.Attestation != "" {
		if err := json.Unmarshal([]byte(p.Attestation), &shown.Attestation); err != nil {
			return err
		}
	}
	return answer(w, http.StatusOK, shown)
}

// serveKeysetByCode is serveLatestKeyset without a token, for a machine that no key of the account is on yet: the code is
// what a machine that may read has told it, and serves until another version stands.
func (s *Server) serveKeysetByCode(w http.ResponseWriter, r *http.Request) error {
	unknown := refuse(http.StatusNotFound, "keyset-unknown", "no keyset with this code stands for such an account: "+
		"check both, and look up the code again, as each new version of the keyset has another")
	code, err := enroll.ParseProposalCode(r.PathValue("code"))
	if err != nil {
		return unknown
	}
	latest, err := s.latest(r)
	var refused *verify.Error
	if errors.As(err, &refused) { // no such account
		return unknown
	}
	if err != nil {
		return err
	}
	standing, err := enroll.ParseSignedKeyset([]byte(latest.Note))
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(enroll.ProposalCode(standing.Text)), []byte(code)) != 1 {
		return unknown
	}
	return answer(w, http.StatusOK, latest)
}
