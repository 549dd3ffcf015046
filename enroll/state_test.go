// What lies on disk: the enrolment as it is written, files that are not what they should be, and
// their modes.

package enroll

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

const pinnedEnrolment = `index = 'sparse+https://crates.example.com/index/'
former = ['sparse+https://old.example.com/']
name = 'lab'
account = 'crates-team'
key = 'laptop'
read-key = 'laptop-read'
subject = 'sub "quoted" \ ë'
manual = true
challenge = true
insecure = true
since = 2026-11-22T12:00:00Z

[certificates]
'k4.pid.x' = '/a b/c.revocation'

[uses]
yank = 'ci'
`

// write puts a file into the state's folder, past all checks.
func (s *State) put(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEnrolmentOnDisk(t *testing.T) {
	home := t.TempDir()
	s := OpenState(home, testIndex, "")
	if _, err := LookupEnrolment(home, testIndex); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("never enrolled: %v", err)
	}
	full := &Enrolment{
		Index: testIndex, Name: "lab", Account: testAccount, Key: "laptop", ReadKey: "laptop-read", Subject: `sub "quoted" \ ë`, Manual: true, Challenge: true, Insecure: true,
		Since: noon, Certificates: map[string]string{"k4.pid.x": "/a b/c.revocation"},
		Uses: map[string]string{"yank": "ci"}, Former: []string{"sparse+https://old.example.com/"},
	}
	if err := s.saveEnrolment(full); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "enrolment.toml"))
	if err != nil || string(text) != pinnedEnrolment {
		t.Errorf("written is\n%s(%v)", text, err)
	}
	for _, e := range []*Enrolment{full, {Index: testIndex, Key: "k", Since: noon}} {
		if err := s.saveEnrolment(e); err != nil {
			t.Fatal(err)
		}
		got, err := LookupEnrolment(home, testIndex)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("read back is %+v (%v), want %+v", got, err, e)
		}
	}
}

func TestEnrolmentRefused(t *testing.T) {
	for name, text := range map[string]string{
		"another index":    strings.Replace(pinnedEnrolment, "crates.example.com", "evil.example.com", 1),
		"no trailing /":    strings.Replace(pinnedEnrolment, "index/'", "index'", 1),
		"no index":         strings.Replace(pinnedEnrolment, "index = ", "name2 = ", 1),
		"an unknown field": "token = 'x'\n" + pinnedEnrolment,
		"a field twice":    "key = 'x'\n" + pinnedEnrolment,
		"no TOML":          "=",
		"a number":         strings.Replace(pinnedEnrolment, "'laptop'", "7", 1),
		"empty":            "",
		"too large":        pinnedEnrolment + "#" + strings.Repeat("x", maxStateFile),
	} {
		home := t.TempDir()
		OpenState(home, testIndex, "").put(t, "enrolment.toml", text)
		if e, err := LookupEnrolment(home, testIndex); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		if all, err := ListEnrolments(home); name != "another index" && name != "no trailing /" && err == nil {
			t.Errorf("%s: listed as %+v", name, all)
		}
	}
}

func TestListEnrolments(t *testing.T) {
	home := t.TempDir()
	if all, err := ListEnrolments(home); err != nil || len(all) != 0 {
		t.Errorf("an empty home: %v, %v", all, err)
	}
	for _, index := range []string{"sparse+https://b/", testIndex, "https://a/"} {
		if err := OpenState(home, index, "").saveEnrolment(&Enrolment{Index: index, Key: "k", Since: noon}); err != nil {
			t.Fatal(err)
		}
	}
	OpenState(home, "sparse+https://begun/", "").put(t, "pending.toml", "")
	if err := os.WriteFile(filepath.Join(home, "registries", ".DS_Store"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := ListEnrolments(home)
	if err != nil || len(all) != 3 || all[0].Index != "https://a/" || all[1].Index != "sparse+https://b/" {
		t.Errorf("%v, %v", all, err)
	}
	// A copied folder would be the same enrolment under another registry's name.
	moved := OpenState(home, "sparse+https://moved/", "")
	moved.put(t, "enrolment.toml", "index = 'https://a/'\nkey = 'k'\nsince = 2026-11-22T12:00:00Z\n")
	if _, err := ListEnrolments(home); err == nil {
		t.Error("an enrolment in another's folder is listed")
	}
}

// The signed bytes come back from the file as they were: with quotes, and with everything that an
// index URL may hold.
func TestPendingOnDisk(t *testing.T) {
	index := "sparse+https://h/!#$%&'()*+,-./:;<=>?@[]^_`{|}~'''/"
	signed := mustSign(t, &Keyset{
		Registry: index, Account: testAccount, Version: 1, Issued: noon,
		Keys: []Entry{{Key: ed(1).Public(), Can: CanEverything, Crates: []string{"a*", "b"}}, entry(p384(2), Read)},
	}, ed(1), p384(2))
	s := OpenState(t.TempDir(), index, "")
	if p, err := s.pending(); p != nil || err != nil || s.Pending() {
		t.Errorf("nothing waits: %v, %v", p, err)
	}
	want := &pending{Note: string(signed.Note), Enrolment: Enrolment{Index: index, Key: "laptop", Since: noon}}
	if err := s.setPending(want); err != nil {
		t.Fatal(err)
	}
	got, err := s.pending()
	if err != nil || !reflect.DeepEqual(got, want) || !s.Pending() {
		t.Errorf("waiting is %+v (%v), want %+v", got, err, want)
	}
	for range 2 {
		if err := s.clearPending(); err != nil || s.Pending() {
			t.Errorf("clearing: %v", err)
		}
	}
}

func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	m := enrolled(t)
	m.key("ci", ed(2))
	m.must(m.enrol("ci", 0))
	m.must(m.revoke("ci"))
	m.line.at, m.line.failure = m.line.calls+2, lostAfter
	m.key("desk", ed(3))
	if err := m.enrol("desk", 0); err == nil || !m.State().Pending() {
		t.Fatal("nothing waits")
	}
	files := 0
	for path, info := range m.tree() {
		switch {
		case path == m.Home:
		case strings.HasPrefix(info, "d"):
			if !strings.HasPrefix(info, "drwx------") {
				t.Errorf("%s: %.10s", path, info)
			}
		default:
			files++
			if !strings.HasPrefix(info, "-rw------- ") {
				t.Errorf("%s: %.10s", path, info)
			}
			if !strings.HasPrefix(path, filepath.Join(m.Home, "keys")) && strings.Contains(info, ".secret.") {
				t.Errorf("%s holds a secret", path)
			}
		}
	}
	if files < 10 {
		t.Errorf("only %d files looked at", files)
	}
}

// Revocations that can't be read are an error: to forget one is to trust its key again. That holds where the
// path means something to a shell, too.
func TestRevocationsOnDisk(t *testing.T) {
	home := filepath.Join(t.TempDir(), "a[b*c?")
	s := OpenState(home, testIndex, "")
	if all, err := s.Revocations(); err != nil || len(all) != 0 {
		t.Errorf("none: %v, %v", all, err)
	}
	for _, key := range []*keys.SoftwareKey{ed(2), p384(3), ed(1)} {
		if err := s.addRevocation(mustRevoke(t, key.Public().ID(), Lost, key)); err != nil {
			t.Fatal(err)
		}
	}
	s.put(t, "revocations/.k4.note.123.tmp", "half a fi")
	ids, err := s.revoked()
	if err != nil || len(ids) != 3 || ids[0] != p384(3).Public().ID() {
		t.Errorf("%v, %v", ids, err)
	}
	s.put(t, "revocations/bad.note", "rubbish")
	if _, err := s.Revocations(); err == nil || !strings.Contains(err.Error(), "bad.note") {
		t.Errorf("rubbish among them: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "revocations")); err != nil {
		t.Fatal(err)
	}
	s.put(t, "revocations", "a file in the folder's place")
	if _, err := s.Revocations(); err == nil {
		t.Error("a folder that can't be listed is taken for an empty one")
	}
}

func TestKeysetOnDisk(t *testing.T) {
	s := OpenState(t.TempDir(), testIndex, "")
	if _, err := s.Keyset(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no pin: %v", err)
	}
	first := firstVersion(t)
	if err := s.pin(first); err != nil {
		t.Fatal(err)
	}
	if k, err := s.Keyset(); err != nil || !reflect.DeepEqual(k, first) {
		t.Errorf("%v, %v", k, err)
	}
	for name, text := range map[string]string{"cut short": string(first.Note[:100]), "empty": "", "too large": strings.Repeat("x", maxStateFile+1)} {
		s.put(t, "keyset.note", text)
		if _, err := s.Keyset(); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Nothing goes on over a pin that can't be read.
	m := enrolled(t)
	m.State().put(t, "keyset.note", "rubbish")
	m.key("desk", ed(2))
	for name, err := range map[string]error{
		"enrol": m.enrol("desk", 0), "rotate": m.rotate("laptop", "desk", time.Hour), "revoke": m.revoke("laptop"),
	} {
		if err == nil {
			t.Errorf("%s goes on", name)
		}
	}
	if len(m.line.sent) != 1 {
		t.Error("something was sent")
	}
}
