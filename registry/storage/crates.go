// Crates and their versions: what index, downloads and search are served from.

package storage

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// A Crate is a name that was published at least once.
type Crate struct {
	Canonical   string // lower case, "_" as "-"
	Name        string // as first published
	Path        string // lower case
	Description string
	Newest      string // the version that search shows, "" if none is left
	Created     time.Time
	Changed     time.Time // of its index file
}

// A Version is one published version of a crate.
type Version struct {
	Crate      string // canonical name
	Precedence string // the version without build metadata
	Version    string
	Checksum   string // 64 hex digits
	Size       int64  // bytes
	Line       string // of the index
	Yanked     bool
	Deleted    time.Time // by the operator; zero if not
	Account    string    // that published it
	KeyID      string    // whose token published it
	Published  time.Time
}

const crateColumns = "SELECT canonical, name, path, description, newest, created_at, changed_at FROM crates"

func scanCrate(scan func(...any) error) (Crate, error) {
	var c Crate
	var created, changed int64
	err := scan(&c.Canonical, &c.Name, &c.Path, &c.Description, &c.Newest, &created, &changed)
	c.Created, c.Changed = moment(created), moment(changed)
	return c, err
}

const versionColumns = `SELECT crate, precedence, version, checksum, size, line, yanked, deleted_at, account, key_id, published_at FROM versions`

func scanVersion(scan func(...any) error) (Version, error) {
	var v Version
	var deleted, published int64
	err := scan(&v.Crate, &v.Precedence, &v.Version, &v.Checksum, &v.Size, &v.Line, &v.Yanked, &deleted, &v.Account, &v.KeyID, &published)
	v.Deleted, v.Published = moment(deleted), moment(published)
	return v, err
}

// Crate is the crate with that canonical name, or an error that wraps [ErrNotFound].
func (q queries) Crate(ctx context.Context, canonical string) (Crate, error) {
	c, err := scanCrate(q.on.QueryRowContext(ctx, crateColumns+" WHERE canonical = $1", canonical).Scan)
	if err != nil {
		return Crate{}, fmt.Errorf("reading crate: %w", notFound(err, canonical))
	}
	return c, nil
}

// CrateAt is the crate whose index file has that name, or an error that wraps [ErrNotFound].
func (q queries) CrateAt(ctx context.Context, path string) (Crate, error) {
	c, err := scanCrate(q.on.QueryRowContext(ctx, crateColumns+" WHERE path = $1", path).Scan)
	if err != nil {
		return Crate{}, fmt.Errorf("reading crate: %w", notFound(err, path))
	}
	return c, nil
}

// Versions are a crate's versions in the order of publishing, deleted ones included.
func (q queries) Versions(ctx context.Context, canonical string) ([]Version, error) {
	all, err := collect(ctx, q, scanVersion, versionColumns+" WHERE crate = $1 ORDER BY serial", canonical)
	if err != nil {
		return nil, fmt.Errorf("reading versions: %w", err)
	}
	return all, nil
}

// Version is one version by its precedence, deleted or not, or an error that wraps [ErrNotFound].
func (q queries) Version(ctx context.Context, canonical, precedence string) (Version, error) {
	v, err := scanVersion(q.on.QueryRowContext(ctx, versionColumns+" WHERE crate = $1 AND precedence = $2", canonical, precedence).Scan)
	if err != nil {
		return Version{}, fmt.Errorf("reading version: %w", notFound(err, canonical+" "+precedence))
	}
	return v, nil
}

// A Published is a version that tokens of one key published, without its line of the index.
type Published struct {
	Name      string // of the crate
	Version   string
	Checksum  string // 64 hex digits
	Account   string
	Published time.Time
	Yanked    bool
	Deleted   time.Time // by the operator; zero if not
}

func scanPublished(scan func(...any) error) (Published, error) {
	var p Published
	var published, deleted int64
	err := scan(&p.Name, &p.Version, &p.Checksum, &p.Account, &published, &p.Yanked, &deleted)
	p.Published, p.Deleted = moment(published), moment(deleted)
	return p, err
}

// PublishedBy are at most limit versions that tokens of one key published, oldest first: those from the time since on, of
// which skip are left out. Times are kept in whole seconds, and that of since counts as a whole.
func (q queries) PublishedBy(ctx context.Context, keyID string, since time.Time, skip, limit int) ([]Published, error) {
	from := int64(0)
	if !since.IsZero() {
		from = since.Unix()
	}
	all, err := collect(ctx, q, scanPublished, `SELECT c.name, v.version, v.checksum, v.account, v.published_at, v.yanked, v.deleted_at
		FROM versions v JOIN crates c ON c.canonical = v.crate
		WHERE v.key_id = $1 AND v.published_at >= $2 ORDER BY v.published_at, v.crate, v.serial LIMIT $3 OFFSET $4`, keyID, from, limit, skip)
	if err != nil {
		return nil, fmt.Errorf("reading versions: %w", err)
	}
	return all, nil
}

// Search finds crates whose name or description holds the words, those with the words in their name
// first. It returns at most limit of them and the number of all.
func (q queries) Search(ctx context.Context, words string, limit int) ([]Crate, int, error) {
	pattern := "%" + likeEscaper.Replace(strings.ToLower(words)) + "%"
	canonical := strings.ReplaceAll(pattern, "_", "-")
	canonical = strings.ReplaceAll(canonical, `\-`, "-")
	const where = ` WHERE newest <> '' AND (canonical LIKE $1 ESCAPE '\' OR LOWER(description) LIKE $2 ESCAPE '\')`
	var total int
	if err := q.on.QueryRowContext(ctx, "SELECT COUNT(*) FROM crates"+where, canonical, pattern).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("searching crates: %w", err)
	}
	found, err := collect(ctx, q, scanCrate, crateColumns+where+
		` ORDER BY CASE WHEN canonical LIKE $3 ESCAPE '\' THEN 0 ELSE 1 END, canonical LIMIT $4`, canonical, pattern, canonical, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("searching crates: %w", err)
	}
	return found, total, nil
}

// likeEscaper takes from words what LIKE would read as a pattern.
var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// CreateCrate begins a crate with its first owner.
func (tx *Tx) CreateCrate(ctx context.Context, c Crate, owner string) error {
	_, err := tx.exec(ctx, `INSERT INTO crates (canonical, name, path, description, newest, created_at, changed_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		c.Canonical, c.Name, c.Path, c.Description, c.Newest, seconds(c.Created), seconds(c.Changed))
	if err != nil {
		return fmt.Errorf("creating crate: %w", err)
	}
	_, err = tx.AddOwner(ctx, c.Canonical, owner, c.Created)
	return err
}

// ChangeCrate sets what search shows of a crate, and the time of its index file.
func (tx *Tx) ChangeCrate(ctx context.Context, canonical, description, newest string, changed time.Time) error {
	_, err := tx.exec(ctx, "UPDATE crates SET description = $1, newest = $2, changed_at = $3 WHERE canonical = $4",
		description, newest, seconds(changed), canonical)
	if err != nil {
		return fmt.Errorf("changing crate: %w", err)
	}
	return nil
}

// SaveVersion adds a version. An error wraps [ErrExists] if one of the same precedence ever stood.
func (tx *Tx) SaveVersion(ctx context.Context, v Version) error {
	n, err := tx.exec(ctx, `INSERT INTO versions
		(crate, precedence, version, serial, checksum, size, line, yanked, deleted_at, account, key_id, published_at)
		VALUES ($1, $2, $3, (SELECT COALESCE(MAX(serial), 0) + 1 FROM versions WHERE crate = $4), $5, $6, $7, FALSE, 0, $8, $9, $10)
		ON CONFLICT (crate, precedence) DO NOTHING`,
		v.Crate, v.Precedence, v.Version, v.Crate, v.Checksum, v.Size, v.Line, v.Account, v.KeyID, seconds(v.Published))
	if err != nil {
		return fmt.Errorf("saving version: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("saving version: %s %s: %w", v.Crate, v.Version, ErrExists)
	}
	return nil
}

// SetYanked sets whether a version is yanked, and its line, which says so too.
func (tx *Tx) SetYanked(ctx context.Context, v Version, yanked bool, line string) error {
	_, err := tx.exec(ctx, "UPDATE versions SET yanked = $1, line = $2 WHERE crate = $3 AND precedence = $4", yanked, line, v.Crate, v.Precedence)
	if err != nil {
		return fmt.Errorf("yanking version: %w", err)
	}
	return nil
}

// DeleteVersion takes a version out of index and downloads. Its row stays, so that name and version
// are never used again.
func (tx *Tx) DeleteVersion(ctx context.Context, v Version, now time.Time) error {
	_, err := tx.exec(ctx, "UPDATE versions SET deleted_at = $1 WHERE crate = $2 AND precedence = $3", seconds(now), v.Crate, v.Precedence)
	if err != nil {
		return fmt.Errorf("deleting version: %w", err)
	}
	return nil
}
