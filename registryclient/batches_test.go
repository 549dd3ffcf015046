// Long chains of large keysets: fetched whole, in answers of a limited size.

package registryclient_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/registryclient"
)

// store has the registry hold a chain of keysets as if it had accepted them, and returns their notes.
func (l *lab) store(versions int, revoked []keys.ID) [][]byte {
	l.t.Helper()
	key := generate(l.t)
	var notes [][]byte
	var before *enroll.SignedKeyset
	err := l.db.Update(l.t.Context(), func(tx *storage.Tx) error {
		if err := tx.CreateAccount(l.t.Context(), "team", time.Now()); err != nil {
			return err
		}
		for version := 1; version <= versions; version++ {
			k := &enroll.Keyset{
				Registry: l.index, Account: "team", Version: version, Issued: time.Now().UTC().Truncate(time.Second),
				Keys: []enroll.Entry{{Key: key.Public(), Can: enroll.CanEverything}}, Revoked: revoked,
			}
			if before != nil {
				k.Previous = before.Hash()
			}
			signed, err := enroll.SignKeyset(l.t.Context(), k, key)
			if err != nil {
				return err
			}
			before, notes = signed, append(notes, signed.Note)
			err = tx.SaveKeyset(l.t.Context(), storage.Keyset{Account: "team", Epoch: 1, Version: version, Note: string(signed.Note), Accepted: time.Now()}, nil)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return notes
}

func TestThousandVersions(t *testing.T) {
	for name, test := range map[string]struct {
		versions, revoked int
		batches           int
	}{"small": {1000, 0, 10}, "large": {1000, 200, 13}} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, registry.Config{})
			var revoked []keys.ID
			for range test.revoked {
				revoked = append(revoked, generate(t).Public().ID())
			}
			slices.SortFunc(revoked, keys.ID.Compare)
			notes := l.store(test.versions, revoked)
			client := l.client(registryclient.Options{})
			batches, from, more := 0, 1, true
			for more {
				var batch [][]byte
				var err error
				if batch, more, err = client.Keysets(t.Context(), "team", from); err != nil || len(batch) == 0 {
					t.Fatalf("from %d: %d notes, %v", from, len(batch), err)
				}
				for i, note := range batch {
					if string(note) != string(notes[from-1+i]) {
						t.Fatalf("version %d is another", from+i)
					}
				}
				l.bounded(from)
				from, batches = from+len(batch), batches+1
			}
			if from != test.versions+1 || batches != test.batches {
				t.Errorf("%d versions in %d batches, want %d in %d", from-1, batches, test.versions, test.batches)
			}
		})
	}
}

// bounded checks how long the answer is that a batch comes in.
func (l *lab) bounded(from int) {
	l.t.Helper()
	response, err := http.Get(fmt.Sprintf("%s/api/regkey/v1/accounts/team/keysets?from=%d", l.url, from))
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	// 1 MiB of notes, one more, and what JSON adds to line ends.
	if n, err := io.Copy(io.Discard, response.Body); err != nil || n > 1<<20+128<<10 {
		l.t.Errorf("the answer from version %d on has %d bytes (%v)", from, n, err)
	}
}
