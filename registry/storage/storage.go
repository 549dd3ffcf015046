// Package storage keeps what a registry must remember: a database for facts, and a folder
// of crate files. It knows rows and transactions, not what they mean: no rule of the
// protocol is judged here.
//
// A data folder holds
//
//	registry.db          SQLite in WAL mode (with registry.db-wal and -shm while in use)
//	crates/ab/abcd….crate  crate files by their SHA-256
//	uploads/             what is arriving now; emptied when the registry starts
//
// Several processes may use one folder at a time: the operator's commands run beside the server.
package storage

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// ErrNotFound is wrapped by every error that says that a row is not there.
var ErrNotFound = errors.New("not found")

// ErrExists is wrapped by every error that says that a row exists already.
var ErrExists = errors.New("exists already")

//go:embed migrations/*.sql
var migrations embed.FS

// File is the name of the database in the data folder.
const File = "registry.db"

// A DB is an open data folder. Its reading methods see the last committed state; everything
// that writes goes through [DB.Update]. It is safe for use by many goroutines.
type DB struct {
	queries
	dir    string
	reader *sql.DB
	writer *sql.DB
}

// A Tx is one transaction that writes. Its reading methods see its own writes, and what they
// read cannot be changed by anybody else until it ends.
type Tx struct{ queries }

// queries is what reads need of a database or a transaction.
type queries struct{ on querier }

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Open opens the data folder dir, making it (mode 0700) and bringing its database up to
// date as needed. The caller must Close it.
func Open(ctx context.Context, dir string) (*DB, error) {
	for _, d := range []string{dir, filepath.Join(dir, "crates"), filepath.Join(dir, "uploads")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("making data folder: %w", err)
		}
	}
	path, err := filepath.Abs(filepath.Join(dir, File))
	if err != nil {
		return nil, fmt.Errorf("finding data folder: %w", err)
	}
	// SQLite would make the file with the umask's mode.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making database: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("making database: %w", err)
	}
	db := &DB{dir: dir}
	if err := db.connect(ctx, path); err != nil {
		return nil, errors.Join(fmt.Errorf("opening database %q: %w", path, err), db.Close())
	}
	return db, nil
}

// connect opens the two pools. One connection writes, so that writers of this process queue
// in Go and not in SQLite's busy loop; a few read beside it. Their page caches are kept
// small (KiB, negative by SQLite's convention): the whole registry is to idle under 40 MB.
func (db *DB) connect(ctx context.Context, path string) error {
	var err error
	if db.writer, err = sql.Open("sqlite", source(path, "_txlock", "immediate", "cache_size(-2000)", "foreign_keys(1)")); err != nil {
		return err
	}
	db.writer.SetMaxOpenConns(1)
	if err := migrate(ctx, db.writer); err != nil {
		return err
	}
	if db.reader, err = sql.Open("sqlite", source(path, "_txlock", "deferred", "cache_size(-1000)", "query_only(1)")); err != nil {
		return err
	}
	db.reader.SetMaxOpenConns(4)
	db.reader.SetMaxIdleConns(2)
	db.reader.SetConnMaxIdleTime(time.Minute)
	db.queries = queries{db.reader}
	return db.reader.PingContext(ctx)
}

// source is the driver's name for the database: a file URI with what to set on each connection.
func source(path, lock, mode string, pragmas ...string) string {
	q := url.Values{lock: {mode}, "_pragma": append([]string{
		"busy_timeout(10000)", // milliseconds; another process writes for far less
		"journal_mode(WAL)",
		"synchronous(FULL)", // a spent token must stay spent after a power cut
	}, pragmas...)}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}
	return u.String()
}

// migrate brings the tables up to date; goose says what it does only when it fails.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	return nil
}

// Close closes the database. It waits for transactions that run.
func (db *DB) Close() error {
	var err error
	for _, pool := range []*sql.DB{db.reader, db.writer} {
		if pool != nil {
			err = errors.Join(err, pool.Close())
		}
	}
	return err
}

// Update runs do in one transaction and commits it if do returns nil; any error, or a panic,
// leaves the database as it was, and the error is returned as it is. The lock for writing is
// taken at the start, so what do reads stays true until its writes are committed.
func (db *DB) Update(ctx context.Context, do func(tx *Tx) error) error {
	on, err := db.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning transaction: %w", err)
	}
	defer func() { _ = on.Rollback() }() // does nothing after Commit
	if err := do(&Tx{queries{on}}); err != nil {
		return err
	}
	if err := on.Commit(); err != nil {
		return fmt.Errorf("committing transaction: %w", err)
	}
	return nil
}

// Vetted is [DB.Update] after vet has found no fault. vet sees one committed state and can't write,
// so judging what strangers send, which may be expensive, does not hold up those who write. The
// state may have changed when do begins, so do must judge again.
func (db *DB) Vetted(ctx context.Context, vet, do func(tx *Tx) error) error {
	if err := db.view(ctx, vet); err != nil {
		return err
	}
	return db.Update(ctx, do)
}

func (db *DB) view(ctx context.Context, do func(tx *Tx) error) error {
	on, err := db.reader.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning transaction: %w", err)
	}
	defer func() { _ = on.Rollback() }() // there is nothing to commit
	return do(&Tx{queries{on}})
}

// exec runs a statement and returns how many rows it changed.
func (q queries) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := q.on.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// collect reads all rows of a query.
func collect[T any](ctx context.Context, q queries, scan func(scan func(...any) error) (T, error), query string, args ...any) (_ []T, err error) {
	rows, err := q.on.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var all []T
	for rows.Next() {
		one, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// notFound turns the absence of a row into ErrNotFound.
func notFound(err error, what string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s: %w", what, ErrNotFound)
	}
	return err
}

// seconds is how a time is stored; the zero time is 0.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// moment is the inverse of seconds, in UTC.
func moment(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}
