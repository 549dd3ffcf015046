// What a registry with a million accounts costs more than one with a thousand, for each request: the look-up of a key.

package registry

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/token"
)

// benchmarkIndex is the index URL that the tokens of the benchmarks are for.
const benchmarkIndex = "sparse+https://crates.example.com/index/"

// A crowd is a registry with many accounts of one key each, some of which can sign.
type crowd struct {
	db      *storage.DB
	signers []*keys.SoftwareKey
	ids     []keys.ID
}

// fill writes rows as wide as real ones by one statement for each table, which takes a fifth of the time of inserting each from Go.
// The ids are spread evenly over all there can be, in order, so that pages are written once; of the keys that can sign, which
// come among them, ids are random as always. The other rows' public keys are none, and nobody looks at them.
const fill = `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1), spread(i, x) AS (SELECT i, i * 16777216 / ?1 FROM n) `

// alphabet is that of base64url in the order of its bytes.
const alphabet = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"

// unguarded makes an empty registry in dir and opens its database without what keeps it safe, and slow, in a crash.
func unguarded(b testing.TB, dir string) *sql.DB {
	b.Helper()
	begun, err := storage.Open(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	if err := begun.Close(); err != nil {
		b.Fatal(err)
	}
	raw, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, storage.File))+
		"?_pragma=journal_mode(off)&_pragma=synchronous(off)&_pragma=cache_size(-65536)")
	if err != nil {
		b.Fatal(err)
	}
	return raw
}

func newCrowd(b testing.TB, accounts, signing int) *crowd {
	b.Helper()
	dir := b.TempDir()
	raw := unguarded(b, dir)
	defer func() { _ = raw.Close() }()
	tx, err := raw.BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	exec := func(statement string, args ...any) {
		if _, err := tx.ExecContext(b.Context(), statement, args...); err != nil {
			b.Fatal(err)
		}
	}
	c := &crowd{}
	const columns = "INSERT INTO keys (id, account, epoch, public_key, can, crates, since, until, listed) "
	exec(fill+"INSERT INTO accounts SELECT printf('account-%07d', i), 1700000000, 1, 1, FALSE, FALSE FROM n", accounts)
	if accounts > signing {
		exec(fill+columns+`SELECT 'k4.pid.' || substr(?2, 1 + (x >> 18), 1) || substr(?2, 1 + ((x >> 12) & 63), 1) || substr(?2, 1 + ((x >> 6) & 63), 1) ||
			substr(?2, 1 + (x & 63), 1) || '0123456789012345678901234567890123456789',
			printf('account-%07d', i), 1, 'k4.public.0123456789012345678901234567890123456789012', 'publish,yank,read', '', 1700000000, 0, TRUE FROM spread`,
			accounts-signing, alphabet)
	}
	for i := range signing {
		key, err := keys.Generate(keys.Ed25519)
		if err != nil {
			b.Fatal(err)
		}
		c.signers, c.ids = append(c.signers, key), append(c.ids, key.Public().ID())
		exec(columns+"VALUES ($1, $2, 1, $3, 'publish,yank,read', '', 1700000000, 0, TRUE)",
			c.ids[i].String(), fmt.Sprintf("account-%07d", accounts-signing+i), key.Public().String())
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		b.Fatal(err)
	}
	if c.db, err = storage.Open(b.Context(), dir); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.db.Close() })
	return c
}

// lookUp finds a random key, as each token makes the registry do.
func (c *crowd) lookUp(b testing.TB) {
	if _, err := (keySource{c.db}).LookupKey(context.Background(), c.ids[rand.IntN(len(c.ids))]); err != nil {
		b.Fatal(err)
	}
}

// reading judges a read token of a random key, whose signature nobody has verified before.
func (c *crowd) reading(b testing.TB, now time.Time) func() {
	texts := make([]string, len(c.signers))
	for i, key := range c.signers {
		var err error
		if texts[i], err = token.Mint(b.Context(), key, token.Request{Index: benchmarkIndex, Operation: token.Read}, now); err != nil {
			b.Fatal(err)
		}
	}
	return func() {
		v := &token.Verifier{Index: benchmarkIndex, Keys: keySource{c.db}, Spent: spent{c.db}} // each remembers what it has verified
		if _, err := v.Authenticate(context.Background(), texts[rand.IntN(len(texts))], token.Read, now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAccounts runs each step on both registries in turns, so that both see the same machine, and reports the ratio of the
// medians as "x-1000-accounts", which is to be at most 1.2.
func BenchmarkAccounts(b *testing.B) {
	start := time.Now()
	few, many := newCrowd(b, 1000, 1000), newCrowd(b, 1_000_000, 20_000)
	b.Logf("filled in %v", time.Since(start).Round(time.Second))
	now := time.Now()
	fewReads, manyReads := few.reading(b, now), many.reading(b, now)
	b.Run("LookUp", func(b *testing.B) { inTurns(b, func() { few.lookUp(b) }, func() { many.lookUp(b) }) })
	b.Run("Authenticate", func(b *testing.B) { inTurns(b, fewReads, manyReads) })
}

func inTurns(b *testing.B, few, many func()) {
	timed := func(f func()) time.Duration { start := time.Now(); f(); return time.Since(start) }
	var fews, manys []time.Duration
	for b.Loop() {
		fews, manys = append(fews, timed(few)), append(manys, timed(many))
	}
	median := func(all []time.Duration) float64 { slices.Sort(all); return float64(all[len(all)/2]) }
	b.ReportMetric(median(fews), "1000-ns")
	b.ReportMetric(median(manys), "1000000-ns")
	b.ReportMetric(median(manys)/median(fews), "x-1000-accounts")
}
