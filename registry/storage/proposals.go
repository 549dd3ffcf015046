// Proposals: keysets that wait for a managing signature, for a short time.

package storage

import (
	"context"
	"fmt"
	"time"
)

// A Proposal is version n+1 of an account's keyset as a machine wants it that may not manage.
type Proposal struct {
	Account     string
	Code        string // of the text
	Epoch       int    // of the account
	Version     int
	Note        string // signed, whole
	Attestation string // JSON, "" if there is none
	Origin      string // the same for all from one address; it does not tell the address
	Expires     time.Time
}

// Proposal is what was proposed under a code in the account's present epoch, expired or not, or an error
// that wraps [ErrNotFound].
func (q queries) Proposal(ctx context.Context, account, code string) (Proposal, error) {
	p := Proposal{Account: account, Code: code}
	var expires int64
	err := q.on.QueryRowContext(ctx, `SELECT p.epoch, p.version, p.note, p.attestation, p.origin, p.expires_at
		FROM proposals p JOIN accounts a ON a.name = p.account AND a.epoch = p.epoch
		WHERE p.account = $1 AND p.code = $2`, account, code).
		Scan(&p.Epoch, &p.Version, &p.Note, &p.Attestation, &p.Origin, &expires)
	if err != nil {
		return Proposal{}, fmt.Errorf("reading proposal: %w", notFound(err, account))
	}
	p.Expires = moment(expires)
	return p, nil
}

// SaveProposal keeps p. It replaces one of the same text that has expired.
func (tx *Tx) SaveProposal(ctx context.Context, p Proposal) error {
	_, err := tx.exec(ctx, `INSERT INTO proposals (account, code, epoch, version, note, attestation, origin, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (account, code) DO UPDATE SET epoch = excluded.epoch, version = excluded.version, note = excluded.note,
			attestation = excluded.attestation, origin = excluded.origin, expires_at = excluded.expires_at`,
		p.Account, p.Code, p.Epoch, p.Version, p.Note, p.Attestation, p.Origin, seconds(p.Expires))
	if err != nil {
		return fmt.Errorf("saving proposal: %w", err)
	}
	return nil
}

// OpenProposals counts what has not expired.
type OpenProposals struct {
	Account int // for the account's next version
	Share   int // of those, the ones of the origin
	Origin  int // of the origin, for whatever account
	All     int
	Next    time.Time // when the first of All expires
}

// OpenProposals counts the proposals that are open at now, for that version of the account and from that origin.
func (q queries) OpenProposals(ctx context.Context, a Account, version int, origin string, now time.Time) (OpenProposals, error) {
	var n OpenProposals
	var next int64
	err := q.on.QueryRowContext(ctx, "SELECT COUNT(*), COALESCE(MIN(expires_at), 0) FROM proposals WHERE expires_at > $1", now.Unix()).
		Scan(&n.All, &next)
	if err == nil {
		err = q.on.QueryRowContext(ctx, "SELECT COUNT(*) FROM proposals WHERE origin = $1 AND expires_at > $2", origin, now.Unix()).
			Scan(&n.Origin)
	}
	if err == nil {
		err = q.on.QueryRowContext(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN origin = $1 THEN 1 ELSE 0 END), 0) FROM proposals
			WHERE account = $2 AND epoch = $3 AND version = $4 AND expires_at > $5`, origin, a.Name, a.Epoch, version, now.Unix()).
			Scan(&n.Account, &n.Share)
	}
	if err != nil {
		return OpenProposals{}, fmt.Errorf("counting proposals: %w", err)
	}
	n.Next = moment(next)
	return n, nil
}
