// Revocation certificates: made with the key, kept when good, never in the place of anything else,
// and strong enough alone.

package enroll

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// certified enrols "laptop" with its certificate at path.
func (m *machine) certified(path string) (*Enrolled, error) {
	plan, err := m.PlanEnrolment(context.Background(), EnrolOptions{Account: testAccount, Key: m.record("laptop"), Certificate: path})
	if err != nil {
		return nil, err
	}
	return plan.Run(context.Background(), testCode)
}

func TestCertificateEndsTheKey(t *testing.T) {
	m := newMachine(t)
	m.key("laptop", ed(1))
	path := filepath.Join(t.TempDir(), "paper.revocation")
	done, err := m.certified(path)
	m.must(err)
	if done.Certificate != path {
		t.Errorf("it is said to be at %q", done.Certificate)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	e, err := LookupEnrolment(m.Home, testIndex)
	m.must(err)
	id := ed(1).Public().ID()
	if e.Certificates[id.String()] != path {
		t.Errorf("recorded is %v", e.Certificates)
	}
	m.must(os.RemoveAll(m.Home)) // the machine is gone
	r, err := OpenCertificate(path)
	m.must(err)
	if r.Key != id || r.Signer() != id || r.Reason != Unspecified || r.Registry != testIndex || r.Verify(ed(1).Public()) != nil {
		t.Errorf("%s", r.Note)
	}
	m.must(m.book.Revoke(context.Background(), r.Note))
	if !m.book.ended(id) {
		t.Error("the key lives on")
	}
}

func TestCertificateOfEveryNewKey(t *testing.T) {
	m := enrolled(t)
	m.key("ci", ed(2))
	m.key("desk", p384(3))
	m.must(m.enrol("ci", 0))
	m.must(m.rotate("laptop", "desk", 0))
	e, err := LookupEnrolment(m.Home, testIndex)
	m.must(err)
	for _, name := range []string{"laptop", "ci", "desk"} {
		public := m.record(name).Public
		path := e.Certificates[public.ID().String()]
		r, err := OpenCertificate(path)
		if want, pathErr := m.certificatePath(name); err != nil || r.Verify(public) != nil || pathErr != nil || path != want {
			t.Errorf("%s: %q, %v", name, path, err)
		}
	}
}

func TestCertificateKept(t *testing.T) {
	m := newMachine(t)
	m.key("laptop", ed(1))
	path := filepath.Join(t.TempDir(), "c")
	lost := mustRevoke(t, ed(1).Public().ID(), Lost, ed(1)) // good, and not what would be written now
	m.must(os.WriteFile(path, lost.Note, 0o600))
	done, err := m.certified(path)
	m.must(err)
	if data, err := os.ReadFile(path); err != nil || string(data) != string(lost.Note) || done.Certificate != path {
		t.Errorf("written over: %s, %v", data, err)
	}
}

func TestCertificateOverwritesNothing(t *testing.T) {
	good := mustRevoke(t, ed(1).Public().ID(), Unspecified, ed(1))
	bad := append([]byte(nil), good.Note...)
	forged, err := ParseSignedRevocation(good.Note)
	if err != nil {
		t.Fatal(err)
	}
	forged.signed.signatures[0].raw[7] ^= 1
	elsewhere, err := SignRevocation(context.Background(), &Revocation{"sparse+https://other.example.com/", ed(1).Public().ID(), Lost}, ed(1))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"something else":         []byte("my thesis"),
		"an empty file":          {},
		"a cut certificate":      bad[:len(bad)-5],
		"another key's":          mustRevoke(t, ed(2).Public().ID(), Lost, ed(2)).Note,
		"signed by another key":  mustRevoke(t, ed(1).Public().ID(), Lost, ed(2)).Note,
		"for another registry":   elsewhere.Note,
		"a forged certificate":   encodeNote(forged.Text, forged.signed.signatures),
		"a very large file":      []byte(strings.Repeat("x", MaxNote+1)),
		"a certificate and more": append(append([]byte(nil), good.Note...), '\n'),
	} {
		m := newMachine(t)
		m.key("laptop", ed(1))
		path := filepath.Join(t.TempDir(), "c")
		m.must(os.WriteFile(path, content, 0o644))
		if _, err := m.certified(path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != string(content) {
			t.Errorf("%s was written over: %v", name, err)
		}
		if len(m.line.sent) != 0 || m.State().Pending() {
			t.Errorf("%s: the key was enrolled without a certificate", name)
		}
	}
	m := newMachine(t)
	m.key("laptop", ed(1))
	if _, err := m.certified(t.TempDir()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := m.certified(filepath.Join(t.TempDir(), "no", "such", "folder")); err == nil {
		t.Error("a folder is made where the user named none")
	}
	if _, err := OpenCertificate(filepath.Join(m.Home, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no certificate: %v", err)
	}
}
