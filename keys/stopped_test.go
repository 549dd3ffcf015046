// Changes of protection that are stopped at every step: the key always opens, in one way.

package keys_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cargo-regkey/regkey/internal/faults"
	"github.com/cargo-regkey/regkey/keys"
)

// memoryKeychain is a keychain in memory, whose every operation goes through around.
type memoryKeychain struct {
	items  map[string]string
	around func(what, path string, do func() error) error // nil: none
}

func newKeychain() *memoryKeychain { return &memoryKeychain{items: map[string]string{}} }

func (k *memoryKeychain) do(what, id string, do func() error) error {
	if k.around == nil {
		return do()
	}
	return k.around("keychain "+what, id, do)
}

func (k *memoryKeychain) Store(_ context.Context, id string, secret keys.Secret) error {
	return k.do("store", id, func() error { k.items[id] = string(secret.Reveal()); return nil })
}

func (k *memoryKeychain) Fetch(_ context.Context, id string) (found keys.Secret, err error) {
	err = k.do("fetch", id, func() error {
		text, ok := k.items[id]
		if !ok {
			return fmt.Errorf("no item %s: %w", id, fs.ErrNotExist)
		}
		found = secret(text)
		return nil
	})
	return found, err
}

func (k *memoryKeychain) Delete(_ context.Context, id string) error {
	return k.do("delete", id, func() error {
		if _, ok := k.items[id]; !ok {
			return fmt.Errorf("no item %s: %w", id, fs.ErrNotExist)
		}
		delete(k.items, id)
		return nil
	})
}

// A way is how a key opens: "none", "keychain", or a passphrase.
type way string

func (w way) lock() keys.Lock {
	switch w {
	case "none":
		return keys.NoLock()
	case "keychain":
		return keys.KeychainLock()
	}
	return keys.PassphraseLock(secret(string(w)))
}

// ways are all in which the key k opens. What opens with nothing opens in one way.
func ways(t testing.TB, dir string, k *memoryKeychain, want keys.PublicKey) (open []way) {
	t.Helper()
	bare := keys.OpenStore(dir)
	try := func(w way, s *keys.Store, ask keys.PassphraseFunc) bool {
		key, err := s.Unlock(context.Background(), "k", ask)
		if err == nil && key.Public() != want {
			t.Errorf("%s opens another key", w)
		}
		if err == nil {
			open = append(open, w)
		}
		return err == nil
	}
	if try("none", bare, nil) {
		return open
	}
	try("keychain", bare.WithKeychain(k), nil)
	try("p", bare, ask("p"))
	try("q", bare, ask("q"))
	return open
}

// A stopping is a key whose protection is about to be changed, and the change stopped.
type stopping struct {
	t        *testing.T
	dir      string
	key      *keys.SoftwareKey
	keychain *memoryKeychain
	record   keys.Record
}

func memoryFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(faults.Folder(), "regkey-keys-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newStopping(t *testing.T, from way) *stopping {
	t.Helper()
	dir := filepath.Join(memoryFolder(t), "keys")
	s := keys.OpenStore(dir)
	c := &stopping{t: t, dir: dir, key: generate(t, keys.Ed25519), keychain: newKeychain()}
	record, err := s.WithKeychain(c.keychain).Create(t.Context(), keys.Record{Name: "k", Created: created, Origin: keys.Imported}, c.key, from.lock())
	if err != nil {
		t.Fatal(err)
	}
	c.record = record
	return c
}

// protect runs [keys.Store.Protect] with the passphrase that the key has now.
func (c *stopping) protect(now, to way, run *faults.Run) error {
	defer run.Files(c.dir)()
	s := keys.OpenStore(c.dir).WithKeychain(run.Keychain(c.keychain))
	_, err := s.Protect(context.Background(), "k", ask(string(now)), to.lock())
	return err
}

// way is the one way in which the key opens, after a look at what the store says of it.
func (c *stopping) way(what string, allowed ...way) way {
	c.t.Helper()
	open := ways(c.t, c.dir, c.keychain, c.key.Public())
	if len(open) != 1 || !slices.Contains(allowed, open[0]) {
		c.t.Fatalf("%s: it opens with %q, allowed is one of %q", what, open, allowed)
	}
	want := c.record
	want.Protection = open[0].lock().Protection()
	if got, err := keys.OpenStore(c.dir).Lookup("k"); err != nil || got != want {
		c.t.Errorf("%s: Lookup = %+v, %v, want %+v", what, got, err, want)
	}
	return open[0]
}

// whole checks that nothing is there that the key does not need.
func (c *stopping) whole(what string, w way) {
	c.t.Helper()
	files, secretFile, items := snapshot(c.t, c.dir), "k.age", 0
	switch w {
	case "none":
		secretFile = "k.key"
	case "keychain":
		items = 1
	}
	for _, name := range []string{"", "k.toml", secretFile} {
		delete(files, filepath.Join(c.dir, name))
	}
	if len(files) != 0 || len(c.keychain.items) != items {
		c.t.Errorf("%s: left over: %v, and %d items instead of %d", what, files, len(c.keychain.items), items)
	}
	record := c.record
	record.Protection = w.lock().Protection()
	want, err := keys.EncodeRecord(record)
	if err != nil {
		c.t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(c.dir, "k.toml")); err != nil || string(got) != string(want) {
		c.t.Errorf("%s: the record is %s, %v", what, got, err)
	}
	if left := keys.OpenStore(c.dir).Leftover(record); left != "" {
		c.t.Errorf("%s: Leftover = %q", what, left)
	}
}

var transitions = [][2]way{
	{"none", "p"}, {"none", "keychain"}, {"none", "none"},
	{"p", "none"}, {"p", "keychain"}, {"p", "q"}, {"p", "p"},
	{"keychain", "none"}, {"keychain", "p"}, {"keychain", "keychain"},
}

func TestProtect(t *testing.T) {
	for _, c := range transitions {
		from, to := c[0], c[1]
		s := newStopping(t, from)
		s.way("made", from)
		s.whole("made", from)
		if err := s.protect(from, to, faults.Record()); err != nil {
			t.Errorf("%s to %s: %v", from, to, err)
			continue
		}
		s.way("changed", to)
		s.whole("changed", to)
	}
}

// everyPoint has each transition stopped at every call in every way, as "make faults" does; else it is every
// fifth point, other ones in each transition.
var everyPoint = os.Getenv("REGKEY_FAULTS") == "all"

// TestProtectStopped stops every transition at every call, in every way, or a sample of that.
func TestProtectStopped(t *testing.T) {
	for nth, c := range transitions {
		from, to := c[0], c[1]
		t.Run(string(from+" to "+to), func(t *testing.T) {
			t.Parallel()
			recorded, points, taken := faults.Record(), 0, 0
			if err := newStopping(t, from).protect(from, to, recorded); err != nil || len(recorded.Calls()) < 15 {
				t.Fatalf("%d calls: %v", len(recorded.Calls()), err)
			}
			for n, call := range recorded.Calls() {
				modes := faults.Modes(call)
				if call.Reads() {
					modes = []faults.Mode{faults.Error}
				}
				for _, mode := range modes {
					if points++; everyPoint || points%5 == nth%5 {
						taken++
						stopOnce(t, from, to, n, call, mode)
					}
				}
			}
			t.Logf("%d calls, which can be stopped in %d ways, of which %d were taken", len(recorded.Calls()), points, taken)
		})
	}
}

// stopOnce stops, looks, and then completes what was begun, or goes back.
func stopOnce(t *testing.T, from, to way, n int, call faults.Call, mode faults.Mode) {
	t.Helper()
	for _, then := range []way{to, from} {
		s, run := newStopping(t, from), faults.Stop(n, mode)
		err := s.protect(from, to, run)
		what := fmt.Sprintf("%s at %v (call %d)", mode, call, n)
		if at, reached := run.Stopped(); !reached || at.What != call.What {
			t.Errorf("%s: another call was made: %v", what, at)
		}
		now := s.way(what, from, to)
		if left := (*keys.ItemsLeftError)(nil); errors.As(err, &left) {
			s.way(what, to)
		} else if err == nil { // what failed does not matter, so everything is as it should be
			s.way(what, to)
			s.whole(what, to)
		}
		what += ", then to " + string(then)
		if err := s.protect(now, then, faults.Record()); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		s.way(what, then)
		s.whole(what, then)
	}
}
