// Keysets: the chain of signed notes of each account.

package storage

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Keyset is one accepted link of an account's chain.
type Keyset struct {
	Account  string
	Epoch    int
	Version  int
	Note     string // signed, whole
	Closed   bool   // it ends the account
	Accepted time.Time
}

// Keyset is the signed note of one version in the account's present epoch, or an error that
// wraps [ErrNotFound].
func (q queries) Keyset(ctx context.Context, account string, version int) (string, error) {
	var note string
	err := q.on.QueryRowContext(ctx, `SELECT k.note FROM keysets k JOIN accounts a ON a.name = k.account AND a.epoch = k.epoch
		WHERE k.account = $1 AND k.version = $2`, account, version).Scan(&note)
	if err != nil {
		return "", fmt.Errorf("reading keyset: %w", notFound(err, account))
	}
	return note, nil
}

// Keysets are signed notes of the account's present epoch, from that version on, in order: at most limit, and no
// more once they have size bytes together.
func (q queries) Keysets(ctx context.Context, account string, from, limit, size int) (notes []string, err error) {
	rows, err := q.on.QueryContext(ctx, `SELECT k.note FROM keysets k JOIN accounts a ON a.name = k.account AND a.epoch = k.epoch
		WHERE k.account = $1 AND k.version >= $2 ORDER BY k.version LIMIT $3`, account, from, limit)
	if err != nil {
		return nil, fmt.Errorf("reading keysets: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for size > 0 && rows.Next() {
		note, err := scanText(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("reading keysets: %w", err)
		}
		notes, size = append(notes, note), size-len(note)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading keysets: %w", err)
	}
	return notes, nil
}

func scanText(scan func(...any) error) (string, error) {
	var s string
	err := scan(&s)
	return s, err
}

// SaveKeyset makes k the keyset that stands and listed its keys: a key that it does not list is
// no longer listed. It fails if k.Version does not follow what stands; whoever calls it has
// judged everything else.
func (tx *Tx) SaveKeyset(ctx context.Context, k Keyset, listed []Key) error {
	n, err := tx.exec(ctx, "UPDATE accounts SET version = version + 1, closed = $1 WHERE name = $2 AND epoch = $3 AND version + 1 = $4",
		k.Closed, k.Account, k.Epoch, k.Version)
	if err != nil {
		return fmt.Errorf("saving keyset: %w", err)
	}
	if n != 1 {
		return fmt.Errorf("saving keyset: version %d does not follow the one that stands", k.Version)
	}
	_, err = tx.exec(ctx, "INSERT INTO keysets (account, epoch, version, note, accepted_at) VALUES ($1, $2, $3, $4, $5)",
		k.Account, k.Epoch, k.Version, k.Note, seconds(k.Accepted))
	if err != nil {
		return fmt.Errorf("saving keyset: %w", err)
	}
	if _, err := tx.exec(ctx, "UPDATE keys SET listed = FALSE WHERE account = $1", k.Account); err != nil {
		return fmt.Errorf("saving keyset: %w", err)
	}
	for _, key := range listed {
		key.Account, key.Epoch = k.Account, k.Epoch
		if err := tx.saveKey(ctx, key); err != nil {
			return fmt.Errorf("saving keyset: %w", err)
		}
	}
	return nil
}
