// The registry's own name: the index URL that tokens and documents name, and those before it.

package storage

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Index is the index URL that the registry was last served under, or an error that wraps [ErrNotFound].
func (q queries) Index(ctx context.Context) (string, error) {
	var value string
	err := q.on.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = 'index'").Scan(&value)
	if err != nil {
		return "", fmt.Errorf("reading index URL: %w", notFound(err, "index"))
	}
	return value, nil
}

// FormerIndexes are the index URLs from before the present one, oldest first.
func (q queries) FormerIndexes(ctx context.Context) ([]string, error) {
	all, err := collect(ctx, q, scanText, "SELECT url FROM former_indexes ORDER BY ended_at, url")
	if err != nil {
		return nil, fmt.Errorf("reading former index URLs: %w", err)
	}
	return all, nil
}

// MoveIndex makes url the index URL. The one before it, if another, becomes a former one.
func (tx *Tx) MoveIndex(ctx context.Context, url string, now time.Time) error {
	before, err := tx.Index(ctx)
	switch {
	case errors.Is(err, ErrNotFound):
		_, err = tx.exec(ctx, "INSERT INTO settings (name, value) VALUES ('index', $1)", url)
	case err == nil && before != url:
		_, err = tx.exec(ctx, "UPDATE settings SET value = $1 WHERE name = 'index'", url)
		if err == nil {
			_, err = tx.exec(ctx, `INSERT INTO former_indexes (url, ended_at) VALUES ($1, $2)
				ON CONFLICT (url) DO UPDATE SET ended_at = excluded.ended_at`, before, seconds(now))
		}
		if err == nil {
			_, err = tx.exec(ctx, "DELETE FROM former_indexes WHERE url = $1", url)
		}
	}
	if err != nil {
		return fmt.Errorf("moving index URL: %w", err)
	}
	return nil
}
