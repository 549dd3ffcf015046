// Owners: which accounts may change a crate.

package storage

import (
	"context"
	"fmt"
	"time"
)

// Owners are the accounts that own a crate, by name.
func (q queries) Owners(ctx context.Context, canonical string) ([]string, error) {
	all, err := collect(ctx, q, scanText, "SELECT account FROM owners WHERE crate = $1 ORDER BY account", canonical)
	if err != nil {
		return nil, fmt.Errorf("reading owners: %w", err)
	}
	return all, nil
}

// Owns reports whether the account owns the crate.
func (q queries) Owns(ctx context.Context, account, canonical string) (bool, error) {
	var n int
	err := q.on.QueryRowContext(ctx, "SELECT COUNT(*) FROM owners WHERE crate = $1 AND account = $2", canonical, account).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("reading owners: %w", err)
	}
	return n > 0, nil
}

// OwnedBy are the names of the crates that an account owns.
func (q queries) OwnedBy(ctx context.Context, account string) ([]string, error) {
	all, err := collect(ctx, q, scanText, "SELECT c.name FROM owners o JOIN crates c ON c.canonical = o.crate WHERE o.account = $1 ORDER BY c.canonical", account)
	if err != nil {
		return nil, fmt.Errorf("reading owned crates: %w", err)
	}
	return all, nil
}

// AddOwner makes the account an owner; added is false if it was one.
func (tx *Tx) AddOwner(ctx context.Context, canonical, account string, now time.Time) (added bool, err error) {
	n, err := tx.exec(ctx, "INSERT INTO owners (crate, account, added_at) VALUES ($1, $2, $3) ON CONFLICT (crate, account) DO NOTHING",
		canonical, account, seconds(now))
	if err != nil {
		return false, fmt.Errorf("adding owner: %w", err)
	}
	return n == 1, nil
}

// RemoveOwner ends the account's ownership; removed is false if there was none.
func (tx *Tx) RemoveOwner(ctx context.Context, canonical, account string) (removed bool, err error) {
	n, err := tx.exec(ctx, "DELETE FROM owners WHERE crate = $1 AND account = $2", canonical, account)
	if err != nil {
		return false, fmt.Errorf("removing owner: %w", err)
	}
	return n == 1, nil
}
