// More than one machine, clock and wish: races, syncs that are overtaken, clocks that differ, plans
// that can't be.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// Two machines change one account at once: the slower one is refused and, run again, builds on what stands.
func TestRaces(t *testing.T) {
	ctx := context.Background()
	prepare := func(t *testing.T) (a, b *machine) {
		a = enrolled(t)
		for n, name := range []string{"ci", "desk", "new", "other"} {
			a.key(name, ed(byte(2+n)))
		}
		a.must(a.enrol("ci", 0))
		a.must(a.enrol("desk", CanEverything))
		return a, a.copy(false)
	}
	for _, c := range []struct {
		name            string
		plan            func(*machine) (run func() error, err error)
		again           func(*machine) error
		listed, revoked []string
	}{
		{"add", func(m *machine) (func() error, error) {
			plan, err := m.PlanEnrolment(ctx, EnrolOptions{Key: m.record("new")})
			return func() error { return second(plan.Run(ctx, keys.Secret{})) }, err
		}, func(m *machine) error { return m.enrol("new", 0) }, []string{"ci", "desk", "laptop", "new", "other"}, nil},
		{"rotate", func(m *machine) (func() error, error) {
			plan, err := m.PlanRotation(ctx, RotateOptions{Old: "ci", New: "new"})
			return func() error { return second(plan.Run(ctx)) }, err
		}, func(m *machine) error { return m.rotate("ci", "new", 0) }, []string{"desk", "laptop", "new", "other"}, nil},
		{"revoke", func(m *machine) (func() error, error) {
			plan, err := m.PlanRevocation(ctx, "ci", Lost)
			return func() error { return second(plan.Run(ctx)) }, err
		}, func(m *machine) error { return m.revoke("ci") }, []string{"desk", "laptop", "other"}, []string{"ci"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := prepare(t)
			run, err := c.plan(b)
			b.must(err)
			a.must(a.enrol("other", Read))
			var refusal Refusal
			if err := run(); !errors.As(err, &refusal) || refusal.RefusalCode() != "keyset-conflict" {
				t.Fatalf("the slower one: %v", err)
			}
			b.must(c.again(b))
			b.wants(5, "laptop", c.listed, c.revoked)
			a.must(second(a.Sync(ctx)))
			a.wants(5, "laptop", c.listed, c.revoked)
		})
	}
	t.Run("each revokes the other's", func(t *testing.T) {
		a, b := prepare(t)
		plan, err := b.PlanRevocation(ctx, "laptop", Lost)
		b.must(err)
		plan.signer, plan.next = "desk", "desk"
		a.must(a.revoke("desk"))
		if _, err := plan.Run(ctx); err == nil {
			t.Fatal("a revoked key revokes")
		}
		b.must(b.revoke("desk")) // it is done
		b.wants(4, "laptop", []string{"ci", "laptop"}, []string{"desk"})
	})
}

// A chain is fetched in batches; somebody goes on between the question what stands and the chain.
func TestSyncStopsWhereItAsked(t *testing.T) {
	a := enrolled(t)
	b := a.copy(false)
	for n := range byte(5) {
		name := fmt.Sprintf("key%d", n)
		a.key(name, ed(10+n))
		a.must(a.enrol(name, Read))
	}
	a.key("late", ed(30))
	b.Registry = &liar{Registry: b.Registry, latest: func(note []byte, revocations [][]byte) ([]byte, [][]byte) {
		if len(a.book.chain) == 6 {
			a.must(a.enrol("late", Read))
		}
		return note, revocations
	}}
	for _, want := range []int{6, 7} {
		k, err := b.Sync(context.Background())
		b.must(err)
		if k.Version != want || b.pinned() != want {
			t.Errorf("version %d, pinned %d, want %d", k.Version, b.pinned(), want)
		}
	}
}

// The versions that a machine has missed were signed by a key that is revoked since. That is no
// lie, nor is it after a crash that left the sync half written down.
func TestSyncOverRevokedSigner(t *testing.T) {
	a := enrolled(t)
	a.key("desk", ed(2))
	a.must(a.enrol("desk", CanEverything))
	b := a.copy(false)
	a.key("ci", ed(3))
	a.must(a.enrol("ci", 0)) // signed by laptop
	a.must(a.revoke("laptop"))
	crashed := b.copy(false)
	crashed.must(crashed.State().pin(a.book.latest()))
	for _, m := range []*machine{b, crashed} {
		m.key("ci", ed(3))
		m.must(second(m.Sync(context.Background())))
		if m.pinned() != 4 {
			t.Errorf("pinned is version %d", m.pinned())
		}
	}
	if known, err := b.State().revoked(); err != nil || len(known) != 1 {
		t.Errorf("known are %v, %v", known, err)
	}
	if err := crashed.enrol("laptop", 0); codeOf(err) != CodeKeyRevoked {
		t.Errorf("after the crash, the revoked key: %v", err)
	}
}

// Clocks differ. One that is behind the machine that signed last stops nobody; one far ahead is told so.
func TestClocks(t *testing.T) {
	m := enrolled(t)
	m.key("desk", ed(2))
	m.key("ci", ed(3))
	m.book.now = func() time.Time { return noon.Add(2 * time.Hour) }
	m.clock = noon.Add(-40 * 24 * time.Hour)
	m.must(m.rotate("laptop", "desk", time.Hour))
	k := m.book.latest()
	if old, found := k.Entry(ed(1).Public().ID()); !k.Issued.Equal(noon) || !found || !old.Until.Equal(noon.Add(time.Hour)) {
		t.Errorf("version 2 is of %v, and the old key ends at %v", k.Issued, old.Until)
	}
	m.must(m.enrol("ci", 0))
	m.clock = noon.Add(3 * time.Hour)
	var refusal Refusal
	if err := m.revoke("ci"); !errors.As(err, &refusal) || refusal.RefusalCode() != CodeIssued {
		t.Errorf("an hour ahead: %v", err)
	}
	if !m.book.ended(ed(3).Public().ID()) {
		t.Error("the revocation itself knows no time")
	}
	m.clock = noon.Add(2 * time.Hour)
	m.must(m.revoke("ci"))
	m.wants(4, "desk", []string{"desk"}, []string{"ci"}) // the overlap is over: the old key went with it
}

// What a plan finds impossible it says before anything is signed or sent.
func TestPlansRefuse(t *testing.T) {
	ctx := context.Background()
	m := enrolled(t)
	m.key("ci", ed(2))
	m.key("new", ed(3))
	plan, err := m.PlanEnrolment(ctx, EnrolOptions{Key: m.record("ci"), Until: m.clock.Add(time.Hour).Add(time.Millisecond)})
	m.must(err)
	m.must(second(plan.Run(ctx, keys.Secret{})))
	later := m.copy(false)
	later.clock = m.clock.Add(2 * time.Hour)
	sent, files := len(m.line.sent), m.tree()
	for name, err := range map[string]error{
		"another account":        second(m.PlanEnrolment(ctx, EnrolOptions{Account: "someone-else", Key: m.record("new")})),
		"rotate what is strange": second(m.PlanRotation(ctx, RotateOptions{Old: "new", New: "newer"})),
		"rotate to itself":       second(m.PlanRotation(ctx, RotateOptions{Old: "new", New: "new"})),
		"rotate to a trusted":    second(m.PlanRotation(ctx, RotateOptions{Old: "laptop", New: "ci"})),
		"rotate what has ended":  second(later.PlanRotation(ctx, RotateOptions{Old: "ci", New: "new"})),
		"rotate no key":          second(m.PlanRotation(ctx, RotateOptions{Old: "nobody", New: "new"})),
		"revoke no key":          second(m.PlanRevocation(ctx, "nobody", Lost)),
		"revoke half an id":      second(m.PlanRevocation(ctx, "k4.pid.AAAA", Lost)),
		"by hand over a keyset":  second(m.EnrolManually(EnrolOptions{Key: m.record("new")}, "")),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if len(m.line.sent) != sent || !sameTree(files, m.tree()) {
		t.Error("a refusal sent or changed something")
	}
	m.must(m.revoke("ci"))
	if err := m.enrol("ci", 0); codeOf(err) != CodeKeyRevoked {
		t.Errorf("a revoked key is enrolled again: %v", err)
	}
	if err := m.rotate("laptop", "ci", 0); err == nil {
		t.Error("a revoked key takes over")
	}
}

func second[T any](_ T, err error) error { return err }

// A record that can't be read is in the way only where it might be the one.
func TestBrokenRecordStopsNothing(t *testing.T) {
	m := enrolled(t)
	m.key("ci", ed(2))
	if err := os.WriteFile(filepath.Join(m.Home, "keys", "broken.toml"), []byte("="), 0o600); err != nil {
		t.Fatal(err)
	}
	m.must(m.enrol("ci", 0))
	m.must(os.Remove(filepath.Join(m.Home, "keys", "laptop.key")))
	m.must(os.WriteFile(filepath.Join(m.Home, "keys", "laptop.toml"), []byte("="), 0o600))
	m.key("new", ed(3))
	if err := m.enrol("new", 0); err == nil || !strings.Contains(err.Error(), "laptop") {
		t.Errorf("the broken record of the key that manages is not named: %v", err)
	}
}

// A registry without key API is a record, and nothing of the lifecycle touches it.
func TestManual(t *testing.T) {
	ctx := context.Background()
	m := newMachine(t)
	m.key("laptop", ed(1))
	m.Registry = nil
	e, err := m.EnrolManually(EnrolOptions{Key: m.record("laptop"), Name: "lab"}, "sub-1")
	m.must(err)
	if found, err := LookupEnrolment(m.Home, testIndex); err != nil || found.Subject != "sub-1" || !found.Manual || found.Key != e.Key {
		t.Errorf("%+v, %v", found, err)
	}
	for name, err := range map[string]error{
		"sync":   second(m.Sync(ctx)),
		"rotate": second(m.PlanRotation(ctx, RotateOptions{Old: "laptop", New: "x"})),
		"revoke": second(m.PlanRevocation(ctx, "laptop", Lost)),
	} {
		if !errors.Is(err, ErrManual) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// It may get a key API later; what waits for that is not thrown away.
	m.Registry = m.line
	m.line.at, m.line.failure = 1, lostAfter
	if err := m.enrol("laptop", 0); !errors.Is(err, errLine) {
		t.Fatal(err)
	}
	if _, err := m.EnrolManually(EnrolOptions{Key: m.record("laptop")}, ""); err == nil {
		t.Error("signed bytes wait, and a manual record hides them")
	}
	m.must(m.enrol("laptop", 0))
	m.wants(1, "laptop", []string{"laptop"}, nil)
}
