// Keys that the keychain protects: their file, what they need to open, and what is refused.

package keys_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/cargo-regkey/regkey/internal/faults"
	"github.com/cargo-regkey/regkey/keys"
)

// inKeychain makes a store with the key "k", which k protects.
func inKeychain(t testing.TB, k *memoryKeychain) (s *keys.Store, dir string, key *keys.SoftwareKey) {
	t.Helper()
	s, dir = newStore(t)
	s, key = s.WithKeychain(k), generate(t, keys.Ed25519)
	record, err := s.Create(context.Background(), keys.Record{Name: "k", Created: created}, key, keys.KeychainLock())
	if err != nil || record.Protection != keys.Keychain || record.Public != key.Public() {
		t.Fatalf("Create = %+v, %v", record, err)
	}
	return s, dir, key
}

// wrappingKey is the one item of k.
func wrappingKey(t testing.TB, k *memoryKeychain) (id, text string) {
	t.Helper()
	if len(k.items) != 1 {
		t.Fatalf("%d items instead of one", len(k.items))
	}
	for id, text = range k.items {
	}
	return id, text
}

func TestKeychainFile(t *testing.T) {
	k := newKeychain()
	s, _, key := inKeychain(t, k)
	id, text := wrappingKey(t, k)
	if !regexp.MustCompile("^[0-9a-f]{32}$").MatchString(id) || !regexp.MustCompile("^AGE-SECRET-KEY-1[0-9A-Z]{58}$").MatchString(text) {
		t.Errorf("item %q holds %d characters of another form", id, len(text))
	}
	file, err := os.ReadFile(s.Path("k"))
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := bytes.Cut(unarmor(t, string(file)), []byte("\n---"))
	want := "^age-encryption.org/v1\n-> X25519 [A-Za-z0-9+/]{43}\n[A-Za-z0-9+/]{43}\n-> regkey-keychain " + id + "\n$"
	if !regexp.MustCompile(want).Match(header) {
		t.Errorf("the header is %q", header)
	}
	if opened, err := s.Unlock(t.Context(), "k", nil); err != nil || opened.Public() != key.Public() {
		t.Errorf("Unlock: %v", err)
	}
}

func TestKeychainMissing(t *testing.T) {
	k := newKeychain()
	s, dir, _ := inKeychain(t, k)
	id, text := wrappingKey(t, k)
	never := func(context.Context, keys.Record) (keys.Secret, error) {
		t.Error("a passphrase is asked for")
		return keys.Secret{}, nil
	}
	if _, err := keys.OpenStore(dir).Unlock(t.Context(), "k", never); !errors.Is(err, keys.ErrNoKeychain) {
		t.Errorf("without a keychain: %v", err)
	}
	if _, err := keys.OpenKeyFile(t.Context(), s.Path("k"), never); !errors.Is(err, keys.ErrNoKeychain) {
		t.Errorf("as a file alone: %v", err)
	}
	delete(k.items, id)
	if _, err := s.Unlock(t.Context(), "k", never); !errors.Is(err, keys.ErrNoItem) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the item: %v", err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for what, item := range map[string]string{
		"another wrapping key": other.String(), "nothing": "", "garbage": "AGE-SECRET-KEY-1GARBAGE", "two lines": text + "\n" + text,
		"a wrapping key cut short": text[:len(text)-1],
	} {
		k.items[id] = item
		_, err := s.Unlock(t.Context(), "k", never)
		if err == nil || errors.Is(err, keys.ErrNoItem) || len(item) > 1 && strings.Contains(err.Error(), item) {
			t.Errorf("%s: %v", what, err)
		}
	}
	hangs := errors.New("it hangs")
	k.around = func(string, string, func() error) error { return hangs }
	if _, err := s.Unlock(t.Context(), "k", never); !errors.Is(err, hangs) {
		t.Errorf("a keychain that fails: %v", err)
	}
}

func TestKeychainFilesRefused(t *testing.T) {
	k := newKeychain()
	s, _, key := inKeychain(t, k)
	id, text := wrappingKey(t, k)
	identity, err := age.ParseX25519Identity(text)
	if err != nil {
		t.Fatal(err)
	}
	stanza := func(kind string, args ...string) age.Recipient { return stanzaRecipient{kind, args} }
	ours := stanza("regkey-keychain", id)
	for what, to := range map[string][]age.Recipient{
		"no item":           {identity.Recipient()},
		"two items":         {identity.Recipient(), ours, ours},
		"the item first":    {ours, identity.Recipient()},
		"two recipients":    {identity.Recipient(), identity.Recipient(), ours},
		"an id of capitals": {identity.Recipient(), stanza("regkey-keychain", "AB"+id[2:])},
		"a short id":        {identity.Recipient(), stanza("regkey-keychain", id[2:])},
		"no id":             {identity.Recipient(), stanza("regkey-keychain")},
		"two ids":           {identity.Recipient(), stanza("regkey-keychain", id, id)},
		"another stanza":    {identity.Recipient(), stanza("regkey-keychains", id)},
	} {
		write(t, s.Path("k"), encrypt(t, string(key.Secret().Reveal())+"\n", to...), 0o600)
		if _, err := s.Unlock(t.Context(), "k", nil); err == nil || !strings.Contains(err.Error(), "neither with a passphrase nor by regkey") {
			t.Errorf("%s: %v", what, err)
		}
	}
	// What the header tells must be what was sealed.
	write(t, s.Path("k"), encrypt(t, string(key.Secret().Reveal())+"\n", identity.Recipient(), ours), 0o600)
	if _, err := s.Unlock(t.Context(), "k", nil); err != nil {
		t.Fatal(err)
	}
	raw := unarmor(t, encrypt(t, string(key.Secret().Reveal())+"\n", identity.Recipient(), ours))
	other := strings.Repeat("ab", 16)
	k.items[other] = text
	write(t, s.Path("k"), rearmor(t, bytes.Replace(raw, []byte(id), []byte(other), 1)), 0o600)
	if _, err := s.Unlock(t.Context(), "k", nil); err == nil {
		t.Error("a file with another id in its header opens")
	}
}

// stanzaRecipient adds a stanza through which nothing opens.
type stanzaRecipient struct {
	kind string
	args []string
}

func (r stanzaRecipient) Wrap([]byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: r.kind, Args: r.args}}, nil
}

func TestLostRecordOfKeychainKey(t *testing.T) {
	s, dir, key := inKeychain(t, newKeychain())
	remove(t, filepath.Join(dir, "k.toml"))
	if err := os.Chtimes(s.Path("k"), written, written); err != nil {
		t.Fatal(err)
	}
	want := keys.Record{Name: "k", Created: written, Protection: keys.Keychain}
	if got, err := keys.OpenStore(dir).Lookup("k"); err != nil || got != want {
		t.Errorf("Lookup = %+v, %v, want %+v", got, err, want)
	}
	if _, err := s.Unlock(t.Context(), "k", nil); err != nil {
		t.Fatal(err)
	}
	want.Public = key.Public()
	remembered, err := os.ReadFile(filepath.Join(dir, "k.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := keys.ParseRecord("k", remembered); err != nil || got != want {
		t.Errorf("the record written is %+v, %v, want %+v", got, err, want)
	}
}

// Protect completes a key whose record is lost and can't be written by Unlock.
func TestProtectWithoutRecord(t *testing.T) {
	for _, from := range []way{"none", "p", "keychain"} {
		c := newStopping(t, from)
		remove(t, filepath.Join(c.dir, "k.toml"))
		if err := os.Symlink("nowhere", filepath.Join(c.dir, "k.toml")); err != nil {
			t.Skip(err)
		}
		if err := c.protect(from, "q", faults.Record()); err != nil {
			t.Fatal(err)
		}
		if got := ways(t, c.dir, c.keychain, c.key.Public()); !slices.Equal(got, []way{"q"}) || len(c.keychain.items) != 0 {
			t.Errorf("from %s: it opens with %v; %d items", from, got, len(c.keychain.items))
		}
	}
}

// The file, not the record, says how a sealed key is protected.
func TestRecordBehindItsFile(t *testing.T) {
	s, dir, _ := inKeychain(t, newKeychain())
	path := filepath.Join(dir, "k.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(text), "'keychain'", "'passphrase'", 1), 0o600)
	if got, err := s.Lookup("k"); err != nil || got.Protection != keys.Keychain {
		t.Errorf("Lookup = %+v, %v", got, err)
	}
	if _, err := s.Unlock(t.Context(), "k", nil); err != nil {
		t.Error(err)
	}
}

// TestCreateFails has every call fail, one at a time: either there is the key, or nothing.
func TestCreateFails(t *testing.T) {
	for _, w := range []way{"none", "keychain", "p"} {
		recorded := faults.Record()
		whole, dir := newStore(t)
		end := recorded.Files(dir)
		_, err := whole.WithKeychain(recorded.Keychain(newKeychain())).Create(t.Context(), keys.Record{Name: "k", Created: created}, generate(t, keys.Ed25519), w.lock())
		end()
		if calls := recorded.Calls(); err != nil || len(calls) < 10 {
			t.Fatalf("%s: %v, after %d calls", w, err, len(calls))
		}
		for n, call := range recorded.Calls() {
			k, run := newKeychain(), faults.Stop(n, faults.Error)
			s, dir := newStore(t)
			end := run.Files(dir)
			key := generate(t, keys.Ed25519)
			_, err := s.WithKeychain(run.Keychain(k)).Create(t.Context(), keys.Record{Name: "k", Created: created}, key, w.lock())
			end()
			what := fmt.Sprint(w, ": ", call)
			if err == nil {
				if open := ways(t, dir, k, key.Public()); len(open) != 1 || open[0] != w {
					t.Errorf("%s: no error, and it opens with %q", what, open)
				}
				continue
			}
			if !errors.Is(err, faults.ErrInjected) && !errors.Is(err, fs.ErrExist) { // what can't be looked at counts as there
				t.Errorf("%s: %v", what, err)
			}
			for path := range snapshot(t, dir) {
				if base := filepath.Base(path); strings.HasPrefix(base, "k") && path != dir || strings.HasSuffix(base, ".tmp") {
					t.Errorf("%s: left %s", what, base)
				}
			}
			if len(k.items) != 0 {
				t.Errorf("%s: left %d items", what, len(k.items))
			}
		}
	}
}

func TestLocksRefused(t *testing.T) {
	s, dir := newStore(t)
	for what, c := range map[string]struct {
		lock keys.Lock
		want error
	}{
		"none chosen":         {keys.Lock{}, nil},
		"an empty passphrase": {keys.PassphraseLock(keys.Secret{}), keys.ErrNoPassphrase},
		"no keychain":         {keys.KeychainLock(), keys.ErrNoKeychain},
	} {
		if _, err := s.Create(t.Context(), keys.Record{Name: "new", Created: created}, generate(t, keys.Ed25519), c.lock); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("Create, %s: %v", what, err)
		}
		if files := snapshot(t, dir); len(files) > 1 {
			t.Errorf("%s: made %v", what, files)
		}
	}
	mustCreate(t, s, "k", generate(t, keys.Ed25519), "")
	before := snapshot(t, dir)
	for _, lock := range []keys.Lock{{}, keys.PassphraseLock(keys.Secret{}), keys.KeychainLock()} {
		if _, err := s.Protect(t.Context(), "k", nil, lock); err == nil {
			t.Errorf("Protect with %v", lock.Protection())
		}
	}
	if !maps.Equal(before, snapshot(t, dir)) {
		t.Error("a refusal changed the store")
	}
}

func TestProtectRefused(t *testing.T) {
	s, dir := newStore(t)
	if _, err := s.CreateHardware(hardwareRecord(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateSSHAgent(keys.Record{Name: "a", Public: generate(t, keys.P384).Public(), Created: created}); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, s, "p", generate(t, keys.Ed25519), "p")
	before := snapshot(t, dir)
	for name, want := range map[string]error{"yk": keys.ErrHardware, "a": keys.ErrSSHAgent, "p": keys.ErrWrongPassphrase, "none": fs.ErrNotExist} {
		if _, err := s.Protect(t.Context(), name, ask("q"), keys.NoLock()); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Somebody else changes the key while the person types.
	_, err := s.Protect(t.Context(), "p", func(ctx context.Context, _ keys.Record) (keys.Secret, error) {
		_, err := s.Protect(ctx, "p", ask("p"), keys.PassphraseLock(secret("p")))
		return secret("p"), err
	}, keys.NoLock())
	if err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("changed meanwhile: %v", err)
	}
	after := snapshot(t, dir)
	delete(before, filepath.Join(dir, "p.age"))
	delete(after, filepath.Join(dir, "p.age"))
	if !maps.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
}

// A keychain that has stopped working keeps nobody from leaving it, and what is left there goes later.
func TestItemsLeft(t *testing.T) {
	k := newKeychain()
	s, _, _ := inKeychain(t, k)
	id, _ := wrappingKey(t, k)
	fails := errors.New("it hangs")
	k.around = func(what, _ string, do func() error) error {
		if what == "keychain delete" {
			return fails
		}
		return do()
	}
	record, err := s.Protect(t.Context(), "k", nil, keys.PassphraseLock(secret("p")))
	left := (*keys.ItemsLeftError)(nil)
	if !errors.As(err, &left) || !slices.Equal(left.Items, []string{id}) || !errors.Is(err, fails) || record.Protection != keys.Passphrase {
		t.Errorf("Protect = %+v, %v", record, err)
	}
	if again, err := s.Lookup("k"); err != nil || again != record {
		t.Errorf("Lookup = %+v, %v", again, err)
	}
	k.around = nil
	if _, err := s.Protect(t.Context(), "k", ask("p"), keys.NoLock()); err != nil || len(k.items) != 0 {
		t.Errorf("Protect again: %v, %d items", err, len(k.items))
	}
}

func TestRemoveFromKeychain(t *testing.T) {
	k := newKeychain()
	s, dir, _ := inKeychain(t, k)
	if err := s.Remove(t.Context(), "k"); err != nil || len(k.items) != 0 || len(snapshot(t, dir)) != 1 {
		t.Errorf("Remove: %v; %d items, %v", err, len(k.items), snapshot(t, dir))
	}
	_, dir, _ = inKeychain(t, k)
	left := (*keys.ItemsLeftError)(nil)
	if err := keys.OpenStore(dir).Remove(t.Context(), "k"); !errors.As(err, &left) || len(left.Items) != 1 || len(snapshot(t, dir)) != 1 {
		t.Errorf("Remove without a keychain: %v; %v", err, snapshot(t, dir))
	}
}

// Unlock never fails while others change the protection.
func TestUnlockWhileProtecting(t *testing.T) {
	s, _ := newStore(t)
	key := generate(t, keys.Ed25519)
	mustCreate(t, s, "k", key, "")
	done := make(chan error, 1)
	go func() {
		for i := range 20 {
			if _, err := s.Protect(context.Background(), "k", ask("p"), lock([]string{"p", ""}[i%2])); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		if opened, err := s.Unlock(t.Context(), "k", ask("p")); err != nil || opened.Public() != key.Public() {
			t.Error(err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}

// What would not open again never takes the place of what does.
func TestProtectOpensFirst(t *testing.T) {
	for _, from := range []way{"none", "p", "keychain"} {
		c := newStopping(t, from)
		writing, most := keys.SetWorkFactors(13, 12) // such a file is refused when it is opened
		err := c.protect(from, "q", faults.Record())
		keys.SetWorkFactors(writing, most)
		if err == nil || !strings.Contains(err.Error(), "opening what was just sealed") {
			t.Errorf("from %s: %v", from, err)
		}
		c.way("to a passphrase that would not open it", from)
		c.whole("to a passphrase that would not open it", from)
	}
	for _, from := range []way{"none", "p"} {
		c := newStopping(t, from)
		other, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		c.keychain.around = func(what, id string, do func() error) error {
			err := do()
			if what == "keychain store" {
				c.keychain.items[id] = other.String()
			}
			return err
		}
		err = c.protect(from, "keychain", faults.Record())
		c.keychain.around = nil
		if err == nil || !strings.Contains(err.Error(), "opening what was just sealed") {
			t.Errorf("from %s: %v", from, err)
		}
		c.way("to a keychain that keeps something else", from)
		c.whole("to a keychain that keeps something else", from)
	}
}
