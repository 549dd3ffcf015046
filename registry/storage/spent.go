// What was used once and must not be used again: mutation tokens and challenges.

package storage

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"
)

// SpendToken records that a mutation token was used, and reports whether this is the first time. It is
// one transaction of its own, so of any number of requests with one token exactly one gets true. The
// record may be dropped after until.
func (db *DB) SpendToken(ctx context.Context, replayKey [32]byte, until time.Time) (first bool, err error) {
	err = db.Update(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, "INSERT INTO used_tokens (replay_key, expires_at, done) VALUES ($1, $2, '') ON CONFLICT (replay_key) DO NOTHING",
			hex.EncodeToString(replayKey[:]), roundUp(until))
		first = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("spending token: %w", err)
	}
	return first, nil
}

// TokenDone records what the request that a spent token paid for did.
func (tx *Tx) TokenDone(ctx context.Context, replayKey [32]byte, done string) error {
	if _, err := tx.exec(ctx, "UPDATE used_tokens SET done = $1 WHERE replay_key = $2", done, hex.EncodeToString(replayKey[:])); err != nil {
		return fmt.Errorf("recording use of token: %w", err)
	}
	return nil
}

// DoneBy is what the request that a spent token paid for did: "" if it did nothing, or an
// error that wraps [ErrNotFound].
func (q queries) DoneBy(ctx context.Context, replayKey [32]byte) (string, error) {
	var done string
	err := q.on.QueryRowContext(ctx, "SELECT done FROM used_tokens WHERE replay_key = $1", hex.EncodeToString(replayKey[:])).Scan(&done)
	if err != nil {
		return "", fmt.Errorf("reading use of token: %w", notFound(err, "token"))
	}
	return done, nil
}

// SpendChallenge is [DB.SpendToken] for a challenge's nonce.
func (db *DB) SpendChallenge(ctx context.Context, nonce string, until time.Time) (first bool, err error) {
	err = db.Update(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, "INSERT INTO used_challenges (nonce, expires_at) VALUES ($1, $2) ON CONFLICT (nonce) DO NOTHING",
			nonce, roundUp(until))
		first = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("spending challenge: %w", err)
	}
	return first, nil
}

// Prune forgets spent tokens, challenges and proposals that have expired by now.
func (db *DB) Prune(ctx context.Context, now time.Time) error {
	return db.Update(ctx, func(tx *Tx) error {
		for _, table := range []string{"used_tokens", "used_challenges", "proposals"} {
			if _, err := tx.exec(ctx, "DELETE FROM "+table+" WHERE expires_at < $1", now.Unix()); err != nil {
				return fmt.Errorf("pruning %s: %w", table, err)
			}
		}
		return nil
	})
}

// roundUp is t in whole seconds, not before t.
func roundUp(t time.Time) int64 { return t.Add(time.Second - time.Nanosecond).Unix() }
