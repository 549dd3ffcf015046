// Where keys come from, and keys in an ssh-agent: their records, pinned, and that they never manage.

package keys_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/faults"
	"github.com/cargo-regkey/regkey/keys"
)

const agentFile = `# The public facts of a key of regkey that lives in an ssh-agent. This is its only file.
public = '` + hardwarePublic + `'
created = 2026-11-22T08:12:00Z
protection = 'ssh-agent'
`

const importedFile = `# The public facts of a key of regkey, which can make this file again from the secret file beside it.
public = '` + hardwarePublic + `'
created = 2026-11-22T08:12:00Z
protection = 'none'
origin = 'ssh'
keychain-items = ['00112233445566778899aabbccddeeff']
`

func TestSSHAgentKeyInStore(t *testing.T) {
	s, dir := newStore(t)
	public := hardwareRecord(t).Public
	record, err := s.CreateSSHAgent(keys.Record{Name: "a", Public: public, Created: created})
	if err != nil {
		t.Fatal(err)
	}
	want := keys.Record{Name: "a", Public: public, Created: time.Date(2026, 11, 22, 8, 12, 0, 0, time.UTC), Protection: keys.SSHAgent}
	if record != want || record.MayManage() || record.WantsReader() {
		t.Errorf("CreateSSHAgent = %+v", record)
	}
	if files := snapshot(t, dir); len(files) != 2 || files[filepath.Join(dir, "a.toml")] != agentFile {
		t.Errorf("files are %q", files)
	}
	if got, err := s.Find(public.ID()); err != nil || got != want {
		t.Errorf("Find = %+v, %v", got, err)
	}
	if _, err := s.Unlock(t.Context(), "a", ask("p")); !errors.Is(err, keys.ErrSSHAgent) {
		t.Errorf("Unlock: %v", err)
	}
	if _, err := s.CreateSSHAgent(want); !errors.Is(err, fs.ErrExist) {
		t.Errorf("again: %v", err)
	}
	if s.Leftover(want) != "" {
		t.Error("it has a leftover")
	}
	if err := s.Remove(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	for what, bad := range map[string]keys.Record{
		"no key":   {Name: "a", Created: created},
		"a token":  {Name: "a", Public: public, Created: created, Token: &keys.Token{Slot: "9a"}},
		"imported": {Name: "a", Public: public, Created: created, Origin: keys.Imported},
	} {
		if _, err := s.CreateSSHAgent(bad); err == nil {
			t.Errorf("%s is stored", what)
		}
	}
}

func TestOrigins(t *testing.T) {
	for origin, manages := range map[keys.Origin]bool{keys.MadeHere: true, keys.Imported: false, keys.FromSSH: false} {
		s, _ := newStore(t)
		record, err := s.Create(t.Context(), keys.Record{Name: "k", Created: created, Origin: origin}, generate(t, keys.Ed25519), keys.NoLock())
		if err != nil || record.Origin != origin || record.MayManage() != manages {
			t.Errorf("%q: %+v, %v", origin, record, err)
		}
		if got, err := s.Lookup("k"); err != nil || got != record {
			t.Errorf("%q: Lookup = %+v, %v", origin, got, err)
		}
	}
	s, _ := newStore(t)
	if _, err := s.Create(t.Context(), keys.Record{Name: "k", Created: created, Origin: "found"}, generate(t, keys.Ed25519), keys.NoLock()); err == nil {
		t.Error("an unknown origin is stored")
	}
	if !hardwareRecord(t).MayManage() {
		t.Error("a hardware key may not manage")
	}
}

func TestRecordOfImportedKey(t *testing.T) {
	record, err := keys.ParseRecord("k", []byte(importedFile))
	if err != nil || record.Origin != keys.FromSSH {
		t.Fatalf("%+v, %v", record, err)
	}
	if text, err := keys.EncodeRecord(record); err != nil || string(text) != importedFile {
		t.Errorf("it becomes %s, %v", text, err)
	}
	const item = "'00112233445566778899aabbccddeeff'"
	for what, bad := range map[string]string{
		"an unknown origin":    strings.Replace(importedFile, "'ssh'", "'SSH'", 1),
		"an origin of no text": strings.Replace(importedFile, "'ssh'", "1", 1),
		"a short item":         strings.Replace(importedFile, "ff'", "'", 1),
		"an item of capitals":  strings.Replace(importedFile, "ff'", "FF'", 1),
		"an item twice":        strings.Replace(importedFile, item, item+", "+item, 1),
		"an empty item":        strings.Replace(importedFile, item, "''", 1),
		"an agent's key":       strings.Replace(importedFile, "'none'", "'ssh-agent'", 1),
		"an agent's key with items": strings.Replace(strings.Replace(importedFile, "'none'", "'ssh-agent'", 1),
			"origin = 'ssh'\n", "", 1),
	} {
		if _, err := keys.ParseRecord("k", []byte(bad)); err == nil || bad == importedFile {
			t.Errorf("%s is accepted", what)
		}
	}
}

// While a change is under way nobody outside the store sees the keychain's items.
func TestItemsAreTheStoresOwn(t *testing.T) {
	c := newStopping(t, "none")
	text, err := os.ReadFile(filepath.Join(c.dir, "k.toml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(c.dir, "k.toml"), string(text)+"keychain-items = ['00112233445566778899aabbccddeeff']\n", 0o600)
	c.way("with an item noted", "none")
	write(t, filepath.Join(c.dir, "k.age"), "of an interrupted change", 0o600)
	if left := keys.OpenStore(c.dir).Leftover(c.record); left != filepath.Join(c.dir, "k.age") {
		t.Errorf("Leftover = %q", left)
	}
	if err := c.protect("none", "none", faults.Record()); err != nil {
		t.Error(err)
	}
	c.whole("settled", "none")
}

// Wherever storing a key is killed, storing it again completes it, and where it came from is not forgotten.
func TestKilledCreateIsCompleted(t *testing.T) {
	key, chain := generate(t, keys.Ed25519), newKeychain()
	for _, lock := range []keys.Lock{keys.NoLock(), keys.KeychainLock()} {
		create := func(dir string, key *keys.SoftwareKey, run *faults.Run) error {
			defer run.Files(dir)()
			_, err := keys.OpenStore(dir).WithKeychain(run.Keychain(chain)).Create(t.Context(), keys.Record{Name: "k", Created: created, Origin: keys.Imported}, key, lock)
			return err
		}
		whole := faults.Record()
		if err := create(memoryFolder(t), key, whole); err != nil || len(whole.Calls()) < 15 {
			t.Fatal(err, whole.Calls())
		}
		halves := 0
		for n, call := range whole.Calls() {
			dir := memoryFolder(t)
			_ = create(dir, key, faults.Stop(n, faults.CrashAfter))
			s := keys.OpenStore(dir).WithKeychain(chain)
			if s.Unrecorded("k") {
				halves++
				if err := create(dir, generate(t, keys.Ed25519), faults.Record()); !errors.Is(err, fs.ErrExist) {
					t.Errorf("%s, after %v: another key: %v", lock.Protection(), call, err)
				}
			}
			if err := create(dir, key, faults.Record()); err != nil && !errors.Is(err, fs.ErrExist) {
				t.Errorf("%s, after %v: again: %v", lock.Protection(), call, err)
			}
			if record, err := s.Lookup("k"); err != nil || record.MayManage() || s.Unrecorded("k") {
				t.Errorf("%s, after %v: %+v, %v", lock.Protection(), call, record, err)
			}
		}
		if halves == 0 {
			t.Error("no run left the key alone")
		}
	}
}
