// Tests of what the rest of the registry relies on: one winner, whole transactions, names and
// versions that stay burnt.

package storage_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry/storage"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func update(t *testing.T, db *storage.DB, do func(ctx context.Context, tx *storage.Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), func(tx *storage.Tx) error { return do(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

func newKey(t *testing.T) keys.PublicKey {
	t.Helper()
	k, err := keys.Generate(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func TestOpenTwiceAndWithOddPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a ?#%41 folder")
	first := open(t, dir)
	update(t, first, func(ctx context.Context, tx *storage.Tx) error { return tx.CreateAccount(ctx, "team", noon) })
	second := open(t, dir)
	a, err := second.Account(t.Context(), "team")
	if err != nil || a.Epoch != 1 || a.Version != 0 || !a.Created.Equal(noon) {
		t.Errorf("account through a second handle: %+v, %v", a, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "registry.db")); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("database file: %v, %v", info, err)
	}
}

func TestVettingNeitherWritesNorWaitsForWriters(t *testing.T) {
	db := open(t, t.TempDir())
	create := func(name string) func(*storage.Tx) error {
		return func(tx *storage.Tx) error { return tx.CreateAccount(t.Context(), name, noon) }
	}
	never := func(*storage.Tx) error {
		t.Error("it was done though vetting had found a fault")
		return nil
	}
	if err := db.Vetted(t.Context(), create("team"), never); err == nil {
		t.Error("vetting could write")
	}
	fault := errors.New("fault")
	update(t, db, func(context.Context, *storage.Tx) error { // while this holds the lock for writing
		if err := db.Vetted(t.Context(), func(*storage.Tx) error { return fault }, never); !errors.Is(err, fault) {
			t.Errorf("vetting answers %v", err)
		}
		return nil
	})
	if err := db.Vetted(t.Context(), func(*storage.Tx) error { return nil }, create("team")); err != nil {
		t.Error(err)
	}
	if _, err := db.Account(t.Context(), "team"); err != nil {
		t.Error(err)
	}
}

func TestUpdateIsWholeOrNothing(t *testing.T) {
	db := open(t, t.TempDir())
	failure := errors.New("changed my mind")
	err := db.Update(t.Context(), func(tx *storage.Tx) error {
		if err := tx.CreateAccount(t.Context(), "team", noon); err != nil {
			return err
		}
		return failure
	})
	if err != failure {
		t.Errorf("Update returned %v instead of what its function returned", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = db.Update(t.Context(), func(tx *storage.Tx) error {
			_ = tx.CreateAccount(t.Context(), "team", noon)
			panic("half way")
		})
	}()
	if _, err := db.Account(t.Context(), "team"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("after two failed transactions: %v", err)
	}
	update(t, db, func(ctx context.Context, tx *storage.Tx) error { return tx.CreateAccount(ctx, "team", noon) })
}

func TestSpendTokenHasOneWinner(t *testing.T) {
	dir := t.TempDir()
	handles := []*storage.DB{open(t, dir), open(t, dir)} // as two processes would
	var wins atomic.Int32
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			first, err := handles[i%2].SpendToken(t.Context(), [32]byte{1}, noon)
			if err != nil {
				t.Error(err)
			}
			if first {
				wins.Add(1)
			}
		})
	}
	group.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d of 40 requests with one token were the first", wins.Load())
	}
}

func TestPruneKeepsWhatCouldStillBeReplayed(t *testing.T) {
	db := open(t, t.TempDir())
	ctx := t.Context()
	if _, err := db.SpendToken(ctx, [32]byte{1}, noon.Add(time.Nanosecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.SpendChallenge(ctx, "nonce", noon.Add(time.Nanosecond)); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		now   time.Time
		first bool
	}{{noon, false}, {noon.Add(time.Second), false}, {noon.Add(2 * time.Second), true}} {
		if err := db.Prune(ctx, step.now); err != nil {
			t.Fatal(err)
		}
		if first, err := db.SpendToken(ctx, [32]byte{1}, noon); err != nil || first != step.first {
			t.Errorf("after pruning at %v the token is new: %v, %v", step.now, first, err)
		}
		if first, err := db.SpendChallenge(ctx, "nonce", noon); err != nil || first != step.first {
			t.Errorf("after pruning at %v the challenge is new: %v, %v", step.now, first, err)
		}
	}
}

func TestKeysetsAndReset(t *testing.T) {
	db := open(t, t.TempDir())
	old, kept := newKey(t), newKey(t)
	save := func(version int, listed ...keys.PublicKey) error {
		return db.Update(t.Context(), func(tx *storage.Tx) error {
			a, err := tx.Account(t.Context(), "team")
			if err != nil {
				return err
			}
			var entries []storage.Key
			for _, k := range listed {
				entries = append(entries, storage.Key{Public: k, Can: "publish", Crates: []string{"foo-*", "bar"}, Since: noon.Add(time.Duration(version) * time.Hour)})
			}
			return tx.SaveKeyset(t.Context(), storage.Keyset{Account: "team", Epoch: a.Epoch, Version: version, Note: "note\n", Accepted: noon}, entries)
		})
	}
	update(t, db, func(ctx context.Context, tx *storage.Tx) error { return tx.CreateAccount(ctx, "team", noon) })
	if err := save(1, old, kept); err != nil {
		t.Fatal(err)
	}
	if err := save(1, old); err == nil {
		t.Error("version 1 was saved twice")
	}
	if err := save(2, kept); err != nil {
		t.Fatal(err)
	}
	check := func(k keys.PublicKey, listed bool) {
		t.Helper()
		got, err := db.Key(t.Context(), k.ID().String())
		if err != nil || got.Listed != listed || got.Public != k || len(got.Crates) != 2 || !got.Since.Equal(noon.Add(time.Hour)) {
			t.Errorf("key on file: %+v, %v; listed should be %v", got, err, listed)
		}
	}
	check(old, false)
	check(kept, true)
	update(t, db, func(ctx context.Context, tx *storage.Tx) error { return tx.Reset(ctx, "team") })
	check(kept, false)
	if notes, err := db.Keysets(t.Context(), "team", 1, 10, 1<<20); err != nil || len(notes) != 0 {
		t.Errorf("keysets after a reset: %q, %v", notes, err)
	}
	if err := save(1, kept); err != nil {
		t.Errorf("beginning a new chain: %v", err)
	}
	check(kept, true)
}

func TestAnotherAccountsKeyIsNotTaken(t *testing.T) {
	db := open(t, t.TempDir())
	k := newKey(t)
	for i, account := range []string{"first", "second"} {
		update(t, db, func(ctx context.Context, tx *storage.Tx) error { return tx.CreateAccount(ctx, account, noon) })
		err := db.Update(t.Context(), func(tx *storage.Tx) error {
			return tx.SaveKeyset(t.Context(), storage.Keyset{Account: account, Epoch: 1, Version: 1, Note: "note\n"}, []storage.Key{{Public: k}})
		})
		if (i == 0) != (err == nil) || i == 1 && !errors.Is(err, storage.ErrExists) {
			t.Errorf("keyset of %s: %v", account, err)
		}
	}
	if a, err := db.Account(t.Context(), "second"); err != nil || a.Version != 0 {
		t.Errorf("the refused keyset left %+v, %v", a, err)
	}
}

func TestVersionsStayBurnt(t *testing.T) {
	db := open(t, t.TempDir())
	ctx := t.Context()
	version := storage.Version{Crate: "a-b", Precedence: "1.0.0", Version: "1.0.0", Checksum: strings.Repeat("ab", 32), Line: "{}", Account: "team", KeyID: "k", Published: noon}
	update(t, db, func(ctx context.Context, tx *storage.Tx) error {
		if err := tx.CreateAccount(ctx, "team", noon); err != nil {
			return err
		}
		if err := tx.CreateCrate(ctx, storage.Crate{Canonical: "a-b", Name: "A_b", Path: "a_b", Created: noon, Changed: noon}, "team"); err != nil {
			return err
		}
		return tx.SaveVersion(ctx, version)
	})
	again := version
	again.Version = "1.0.0+other"
	for _, deleted := range []bool{false, true} {
		err := db.Update(ctx, func(tx *storage.Tx) error { return tx.SaveVersion(ctx, again) })
		if !errors.Is(err, storage.ErrExists) {
			t.Errorf("a version that differs only in build metadata (first deleted: %v): %v", deleted, err)
		}
		update(t, db, func(ctx context.Context, tx *storage.Tx) error { return tx.DeleteVersion(ctx, version, noon) })
	}
	if v, err := db.Version(ctx, "a-b", "1.0.0"); err != nil || v.Deleted.IsZero() {
		t.Errorf("deleted version: %+v, %v", v, err)
	}
}

func TestSearch(t *testing.T) {
	db := open(t, t.TempDir())
	update(t, db, func(ctx context.Context, tx *storage.Tx) error {
		if err := tx.CreateAccount(ctx, "team", noon); err != nil {
			return err
		}
		for _, c := range []storage.Crate{
			{Canonical: "alpha", Name: "alpha", Path: "alpha", Description: "Like my-tool", Newest: "1.0.0"},
			{Canonical: "my-tool", Name: "My_Tool", Path: "my_tool", Description: "100% good", Newest: "1.0.0"},
			{Canonical: "my-ghost", Name: "my-ghost", Path: "my-ghost"},
		} {
			if err := tx.CreateCrate(ctx, c, "team"); err != nil {
				return err
			}
		}
		return nil
	})
	for _, test := range []struct {
		words string
		limit int
		want  string
		total int
	}{
		{"MY-T", 10, "My_Tool alpha", 2},
		{"my_t", 10, "My_Tool", 1},
		{"my-tool", 1, "My_Tool", 2},
		{"", 10, "alpha My_Tool", 2},
		{"0% g", 10, "My_Tool", 1},
		{"%", 10, "My_Tool", 1},
		{`\`, 10, "", 0},
		{"ghost", 10, "", 0},
	} {
		found, total, err := db.Search(t.Context(), test.words, test.limit)
		var names []string
		for _, c := range found {
			names = append(names, c.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != test.want || total != test.total {
			t.Errorf("search %q: %q of %d (%v), want %q of %d", test.words, got, total, err, test.want, test.total)
		}
	}
}

func TestMoveIndex(t *testing.T) {
	db := open(t, t.TempDir())
	if _, err := db.Index(t.Context()); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("index of a new registry: %v", err)
	}
	for i, step := range []struct{ url, former string }{{"a", ""}, {"a", ""}, {"b", "a"}, {"c", "a b"}, {"a", "b c"}} {
		update(t, db, func(ctx context.Context, tx *storage.Tx) error {
			return tx.MoveIndex(ctx, step.url, noon.Add(time.Duration(i)*time.Hour))
		})
		now, err := db.Index(t.Context())
		former, err2 := db.FormerIndexes(t.Context())
		if err != nil || err2 != nil || now != step.url || strings.Join(former, " ") != step.former {
			t.Errorf("after step %d: %q, former %q (%v, %v)", i, now, former, err, err2)
		}
	}
}
