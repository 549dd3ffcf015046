// Keys in hardware and the keys that read for them: enrolled, rotated in all four directions,
// revoked; and what vouches for them.

package enroll

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// plugged is the hardware key of that name, as if its token were plugged in.
func plugged(store *keys.Store, name string) (keys.Signer, error) {
	record, err := store.Lookup(name)
	if err != nil {
		return nil, err
	}
	for n := range byte(100) {
		for _, key := range []*keys.SoftwareKey{ed(n), p384(max(n, 1))} {
			if key.Public() == record.Public {
				return key, nil
			}
		}
	}
	return nil, errors.New("the token is not plugged in")
}

// chain is an attestation; nobody here looks into it.
func chain(n byte) [][]byte { return [][]byte{{0x30, n}, {0x30, 0xff}} }

// hardware makes the record of a hardware key.
func (m *machine) hardware(name string, key *keys.SoftwareKey, n byte, pin, touch string) keys.Record {
	m.t.Helper()
	record, err := m.Keys.CreateHardware(keys.Record{
		Name: name, Public: key.Public(), Created: noon,
		Token: &keys.Token{Serial: uint32(n), Slot: "9a", Firmware: "5.7.4", PIN: pin, Touch: touch, Attestation: chain(n)},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return record
}

// reading is the read key for name, made if the plan wants one.
func (m *machine) reading(name string, wants bool, err error) *keys.Record {
	m.t.Helper()
	m.must(err)
	if !wants {
		return nil
	}
	record, err := m.Keys.Lookup(name + "-read")
	if errors.Is(err, fs.ErrNotExist) {
		record, err = m.Keys.Create(context.Background(), keys.Record{Name: name + "-read", Created: noon},
			ed(30+m.record(name).Public.ID().String()[10]%20), keys.NoLock())
	}
	m.must(err)
	return &record
}

// enrolWhole enrols as a program does that follows WantsReader.
func (m *machine) enrolWhole(name string) error {
	plan, err := m.PlanEnrolment(context.Background(), EnrolOptions{Account: testAccount, Key: m.record(name), Can: CanEverything})
	if err != nil {
		return err
	}
	wants, err := plan.WantsReader()
	plan.Read = m.reading(name, wants, err)
	_, err = plan.Run(context.Background(), testCode)
	return err
}

func (m *machine) rotateWhole(from, to string, overlap time.Duration) error {
	plan, err := m.PlanRotation(context.Background(), RotateOptions{Old: from, New: to, Overlap: overlap})
	if err != nil {
		return err
	}
	wants, err := plan.WantsReader(m.record(to))
	plan.Read = m.reading(to, wants, err)
	_, err = plan.Run(context.Background())
	return err
}

// enrolledHardware is a machine whose key "yk", in hardware, began the account, and reads with another.
func enrolledHardware(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	m.hardware("yk", ed(1), 1, "once", "cached")
	m.must(m.enrolWhole("yk"))
	m.clock = m.clock.Add(time.Hour)
	return m
}

var hardwareScenarios = []scenario{
	{"enrol hardware", func(t *testing.T) *machine {
		m := newMachine(t)
		m.hardware("yk", p384(1), 1, "once", "cached")
		return m
	}, func(m *machine) error { return m.enrolWhole("yk") }, 1, "yk, reading yk-read", []string{"yk", "yk-read"}, nil},

	{"enrol hardware that needs nobody", func(t *testing.T) *machine {
		m := newMachine(t)
		m.hardware("yk", ed(1), 1, "never", "never")
		return m
	}, func(m *machine) error { return m.enrolWhole("yk") }, 1, "yk", []string{"yk"}, nil},

	{"add hardware for a backup", func(t *testing.T) *machine {
		m := enrolledHardware(t)
		m.hardware("yk2", p384(2), 2, "always", "always")
		return m
	}, func(m *machine) error { return m.enrolWhole("yk2") }, 2, "yk, reading yk-read", []string{"yk", "yk-read", "yk2"}, nil},

	{"add a read key later", func(t *testing.T) *machine {
		m := newMachine(t)
		m.hardware("yk", ed(1), 1, "once", "cached")
		m.must(m.enrol("yk", 0))
		return m
	}, func(m *machine) error { return m.enrolWhole("yk") }, 2, "yk, reading yk-read", []string{"yk", "yk-read"}, nil},

	{"rotate software to hardware", func(t *testing.T) *machine {
		m := enrolled(t)
		m.hardware("yk", p384(2), 2, "once", "always")
		return m
	}, func(m *machine) error { return m.rotateWhole("laptop", "yk", 0) }, 2, "yk, reading yk-read", []string{"yk", "yk-read"}, nil},

	{"rotate hardware to hardware", func(t *testing.T) *machine {
		m := enrolledHardware(t)
		m.hardware("yk2", ed(2), 2, "always", "cached")
		return m
	}, func(m *machine) error { return m.rotateWhole("yk", "yk2", 0) }, 2, "yk2, reading yk-read", []string{"yk-read", "yk2"}, nil},

	{"rotate hardware to hardware that needs nobody", func(t *testing.T) *machine {
		m := enrolledHardware(t)
		m.hardware("yk2", ed(2), 2, "never", "never")
		return m
	}, func(m *machine) error { return m.rotateWhole("yk", "yk2", 0) }, 2, "yk2", []string{"yk2"}, nil},

	{"rotate hardware to software", func(t *testing.T) *machine {
		m := enrolledHardware(t)
		m.key("laptop", ed(2))
		return m
	}, func(m *machine) error { return m.rotateWhole("yk", "laptop", 0) }, 2, "laptop", []string{"laptop"}, nil},

	{"revoke hardware, the last key", enrolledHardware, func(m *machine) error { return m.revoke("yk") }, 1, "", []string{"yk", "yk-read"}, []string{"yk", "yk-read"}},

	{"revoke hardware with software left", func(t *testing.T) *machine {
		m := enrolledHardware(t)
		m.key("laptop", ed(2))
		m.must(m.enrol("laptop", CanEverything))
		return m
	}, func(m *machine) error { return m.revoke("yk") }, 3, "laptop", []string{"laptop"}, []string{"yk", "yk-read"}},

	{"revoke hardware with hardware left", func(t *testing.T) *machine {
		m := enrolledHardware(t)
		m.hardware("yk2", p384(2), 2, "once", "cached")
		m.must(m.enrolWhole("yk2"))
		return m
	}, func(m *machine) error { return m.revoke("yk") }, 3, "yk2, reading yk-read", []string{"yk-read", "yk2"}, []string{"yk"}},

	{"revoke a read key", enrolledHardware, func(m *machine) error { return m.revoke("yk-read") }, 2, "yk", []string{"yk"}, []string{"yk-read"}},
}

// A read key can read, no more, and no longer than the key beside it. Both get a certificate.
func TestReadKeyOnlyReads(t *testing.T) {
	m := newMachine(t)
	m.key("laptop", ed(9))
	m.must(m.enrol("laptop", 0))
	m.must(m.revokedElsewhere("laptop"))
	yk := m.hardware("yk", ed(1), 1, "once", "cached")
	until := noon.Add(24 * time.Hour)
	place := filepath.Join(t.TempDir(), "yk.revocation")
	plan, err := m.PlanEnrolment(context.Background(), EnrolOptions{Key: yk, Until: until, Certificate: place, With: "laptop"})
	m.must(err)
	wants, err := plan.WantsReader()
	plan.Read = m.reading("yk", wants, err)
	if plan.Read == nil {
		t.Fatal("no read key is wanted")
	}
	outcome, err := plan.Run(context.Background(), keys.Secret{})
	m.must(err)
	if outcome.Read != "yk-read" || outcome.Certificate != place {
		t.Errorf("the outcome is %+v", outcome)
	}
	e, found := m.book.latest().Entry(plan.Read.Public.ID())
	if !found || e.Can != Read || !e.Until.Equal(until) {
		t.Errorf("the read key's line is %+v", e)
	}
	for path, key := range map[string]keys.Record{place: yk, filepath.Join(filepath.Dir(place), "yk-read.revocation"): *plan.Read} {
		r, err := OpenCertificate(path)
		if err != nil || r.Key != key.Public.ID() || r.Verify(key.Public) != nil {
			t.Errorf("the certificate of %s is not good: %v", key.Name, err)
		}
	}
}

// revokedElsewhere leaves the machine's enrolment without a key that signs.
func (m *machine) revokedElsewhere(name string) error {
	e, err := LookupEnrolment(m.Home, testIndex)
	if err != nil || e.Key != name {
		return errors.Join(errors.New("not the key that signs"), err)
	}
	e.Key = ""
	return m.State().saveEnrolment(e)
}

func TestWantsReader(t *testing.T) {
	m := enrolled(t)
	yk := m.hardware("yk", ed(2), 2, "once", "cached")
	plan, err := m.PlanEnrolment(context.Background(), EnrolOptions{Key: yk})
	m.must(err)
	if wants, err := plan.WantsReader(); wants || err != nil {
		t.Errorf("a read key is wanted where another key signs: %v", err)
	}
	m.must(m.revokedElsewhere("laptop"))
	for can, want := range map[Can]bool{0: true, Publish: false, Publish | Read: true} {
		plan, err := m.PlanEnrolment(context.Background(), EnrolOptions{Key: yk, Can: can})
		m.must(err)
		if wants, err := plan.WantsReader(); wants != want || err != nil {
			t.Errorf("with can=%v a read key is wanted: %v, %v", can, wants, err)
		}
	}
	plan, err = m.PlanEnrolment(context.Background(), EnrolOptions{Key: yk})
	m.must(err)
	plan.Read = &yk
	if _, err := plan.Run(context.Background(), keys.Secret{}); err == nil || len(m.book.chain) != 1 {
		t.Errorf("a hardware key reads for another: %v", err)
	}
}

// With an overlap the old token goes on publishing, and the read key goes over to the new one at once.
func TestRotateHardwareWithOverlap(t *testing.T) {
	m := enrolledHardware(t)
	m.hardware("yk2", ed(2), 2, "always", "cached")
	m.must(m.rotateWhole("yk", "yk2", 24*time.Hour))
	m.wants(2, "yk2, reading yk-read", []string{"yk…", "yk-read", "yk2"}, nil)
}

// A read key whose file is lost, or that was revoked by others, is replaced by enrolling again.
func TestReadKeyIsReplaced(t *testing.T) {
	lost := enrolledHardware(t)
	lost.must(lost.Keys.Remove(context.Background(), "yk-read"))
	plan, err := lost.PlanEnrolment(context.Background(), EnrolOptions{Key: lost.record("yk")})
	lost.must(err)
	if wants, err := plan.WantsReader(); !wants || err != nil || plan.Step != EnrolDone {
		t.Fatalf("no read key is wanted, %v, at %s", err, plan.Step)
	}
	replacement := lost.key("yk-read-2", ed(60))
	plan.Read = &replacement
	lost.must(second(plan.Run(context.Background(), keys.Secret{})))
	if e, found := lost.book.latest().Entry(replacement.Public.ID()); !found || e.Can != Read {
		t.Errorf("the new read key is not in the keyset")
	}

	m := enrolledHardware(t)
	other := m.copy(false)
	other.must(other.revoke("yk-read"))
	m.must(second(m.Sync(context.Background())))
	plan, err = m.PlanEnrolment(context.Background(), EnrolOptions{Key: m.record("yk")})
	m.must(err)
	if wants, err := plan.WantsReader(); !wants || err != nil || plan.Step != EnrolDone {
		t.Fatalf("no read key is wanted, %v, at %s", err, plan.Step)
	}
	replacement = m.key("yk-read-2", ed(61))
	plan.Read = &replacement
	m.must(second(plan.Run(context.Background(), keys.Secret{})))
	m.wants(3, "yk, reading yk-read-2", []string{"yk", "yk-read-2"}, []string{"yk-read"})
}

// Attestations go along with the version that brings their keys, those alone, and again when it is
// sent again.
func TestAttestationsGoAlong(t *testing.T) {
	m := enrolledHardware(t)
	m.hardware("yk2", p384(2), 2, "once", "cached")
	m.line.at, m.line.failure = m.line.calls+2, lostBefore // latest, submit
	if err := m.enrolWhole("yk2"); !errors.Is(err, errLine) {
		t.Fatal(err)
	}
	m.must(m.enrolWhole("yk2"))
	m.key("laptop", ed(3))
	m.must(m.enrol("laptop", 0))
	want := [][][][]byte{{chain(1)}, {chain(2)}, {chain(2)}, nil}
	same := slices.EqualFunc(m.line.attested, want, func(a, b [][][]byte) bool {
		return slices.EqualFunc(a, b, func(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) })
	})
	if !same {
		t.Errorf("sent along was %x, want %x", m.line.attested, want)
	}
}

// Nobody else's read key ends unasked: it is named.
func TestReadKeysOfOtherMachines(t *testing.T) {
	a := enrolledHardware(t)
	reader := a.record("yk-read").Public.ID()
	a.key("laptop", ed(2))
	a.must(a.enrol("laptop", CanEverything))
	b := a.copy(false)
	b.must(b.Keys.Remove(context.Background(), "yk"))
	b.must(b.Keys.Remove(context.Background(), "yk-read"))
	e, err := LookupEnrolment(b.Home, testIndex)
	b.must(err)
	e.Key, e.ReadKey = "laptop", ""
	b.must(b.State().saveEnrolment(e))
	plan, err := b.PlanRevocation(context.Background(), a.record("yk").Public.ID().String(), Lost)
	b.must(err)
	if !slices.Equal(plan.Strangers, []keys.ID{reader}) || plan.Reader != "" {
		t.Errorf("the plan names %v and %q, want %v", plan.Strangers, plan.Reader, reader)
	}
	revoked, err := plan.Run(context.Background())
	b.must(err)
	if _, listed := b.book.latest().Entry(reader); !listed || !revoked.Reader.IsZero() {
		t.Error("a read key of another machine has ended")
	}
	own, err := a.PlanRevocation(context.Background(), "yk", Lost)
	a.must(err)
	if len(own.Strangers) != 0 || own.Reader != "yk-read" {
		t.Errorf("where it reads the plan names %v and %q", own.Strangers, own.Reader)
	}
	a.must(second(own.Run(context.Background())))
	a.wants(3, "laptop", []string{"laptop", "yk-read"}, []string{"yk", "yk-read"})
}
