// Rotations that others get in the way of, and those that must not lock anybody out.

package enroll

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"testing"
	"time"
)

// elsewhere is the same account on another computer, before the same registries.
func (w *office) elsewhere(t *testing.T) *machine {
	t.Helper()
	return w.at[testIndex].on(t).copy(false)
}

// overtakes lets do happen, on another machine, just before the first registry gets the new version.
func (w *office) overtakes(do func()) {
	m := w.at[testIndex]
	m.Registry = &quicker{Registry: m.Registry, do: do}
}

// quicker is somebody else.
type quicker struct {
	Registry
	do func()
}

func (q *quicker) Submit(ctx context.Context, account string, s Submission) error {
	if do := q.do; do != nil {
		q.do = nil
		do()
	}
	return q.Registry.Submit(ctx, account, s)
}

// Somebody else adds a key meanwhile. Whoever is asked sees that; the rotation is built upon it.
func TestRotationIsOvertaken(t *testing.T) {
	for _, c := range []struct {
		name   string
		do     func(*machine)
		same   bool
		listed int
	}{
		{"a key comes", func(m *machine) { m.key("ci", ed(5)); m.must(m.enrol("ci", Publish)) }, false, 2},
		{"the key is narrowed", func(m *machine) {
			m.key("desk", ed(6))
			m.must(m.enrol("desk", CanEverything))
			plan, err := m.PlanEdit(context.Background(), EditOptions{Key: "laptop", Can: Manage | Publish, With: "desk"})
			m.must(err)
			m.must(second(plan.Run(context.Background())))
		}, true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, decide := range []error{nil, errors.New("no")} {
				w := newOffice(t)
				other := w.elsewhere(t)
				w.decide = decide
				w.overtakes(func() { c.do(other) })
				outcomes := w.rotate(0)
				if len(w.asked) != 1 || w.asked[0].Same != c.same || w.asked[0].Step.Index != testIndex || len(w.asked[0].Change.Added) != 1 {
					t.Fatalf("asked was %+v", w.asked)
				}
				if decide == nil {
					if k := w.at[testIndex].book.latest(); outcomes[0].Err != nil || len(k.Keys) != c.listed {
						t.Errorf("%v; listed are %d", outcomes[0].Err, len(k.Keys))
					}
					continue
				}
				if i := w.open(); !errors.Is(outcomes[0].Err, decide) || i == nil || i.Steps[0].State != StepPlanned || i.Steps[1].State != StepDone {
					t.Errorf("%+v, and the journal has %+v", outcomes[0], i)
				}
				if w.at[testIndex].State().Pending() {
					t.Error("what can't stand any more still waits")
				}
				if c.same {
					continue
				}
				// Asked again, and answered otherwise, the same key comes in.
				w.decide = nil
				w.at[testIndex].book.now = w.at[testIndex].Now
				if o := w.later(time.Hour).rotate(0); o[0].Err != nil || o[0].Step.State != StepDone {
					t.Errorf("later: %+v", o[0])
				}
			}
		})
	}
}

// Two machines replace the same key at once: one wins. The other has nothing left to replace there; it
// says so, keeps its new key for the others, and is done.
func TestTwoRotateTheSameKey(t *testing.T) {
	w := newOffice(t)
	other := w.elsewhere(t)
	w.overtakes(func() {
		other.key("theirs", ed(7))
		other.must(other.rotate("laptop", "theirs", 0))
	})
	outcomes := w.rotate(0)
	var overtaken *OvertakenError
	if !errors.As(outcomes[0].Err, &overtaken) || !errors.Is(outcomes[0].Err, ErrNotTrusted) || !overtaken.Same || len(w.asked) != 0 {
		t.Fatalf("%+v", outcomes[0])
	}
	if outcomes[0].Step.State != StepAbandoned || outcomes[1].Err != nil || outcomes[2].Err != nil || w.open() != nil {
		t.Errorf("%+v; the journal has %+v", outcomes, w.open())
	}
	if _, err := w.at[testIndex].Keys.Lookup("laptop-2"); err != nil {
		t.Error(err)
	}
	if len(w.at[testIndex].book.chain) != 2 || !w.at[testIndex].book.latest().SignedBy(ed(7).Public()) {
		t.Error("there is not exactly one winner")
	}
}

// Ten machines of one account rotate it at once, each at its own pace: one after the other wins, and
// each of the others finds nothing to replace.
func TestTenRotateTheSameKey(t *testing.T) {
	w := newOffice(t)
	won := 0
	machines := []*office{w}
	for range 9 {
		twin := w.copy(t)
		for index, m := range twin.at {
			m.line.Registry = w.at[index].book
		}
		machines = append(machines, twin)
	}
	var rotations []*Rotation
	var plans [][]StepPlan
	for n, twin := range machines {
		i := &Intent{Kind: KindRotate, Begun: noon, Old: "laptop", New: "laptop-2", Steps: []Step{{Index: testIndex, Account: testAccount, State: StepPlanned}}}
		r := twin.rotation(i)
		r.Bring = func(_ context.Context, _ Step, plan *RotatePlan) error {
			twin.at[testIndex].key(plan.New, ed(byte(100+n)))
			return nil
		}
		rotations, plans = append(rotations, r), append(plans, r.Look(context.Background()))
	}
	for n, r := range rotations {
		w.must(r.Begin(plans[n]))
		outcomes, err := r.Run(context.Background(), plans[n])
		w.must(err)
		if outcomes[0].Err == nil {
			won++
		} else if !errors.Is(outcomes[0].Err, ErrNotTrusted) {
			t.Errorf("machine %d: %v", n, outcomes[0].Err)
		}
		if machines[n].open() != nil {
			t.Errorf("machine %d: something is left in the journal", n)
		}
	}
	if won != 1 || len(w.at[testIndex].book.chain) != 2 {
		t.Errorf("%d won, and there are %d versions", won, len(w.at[testIndex].book.chain))
	}
}

// unheard rotates, and the answer is lost after the new keyset has come to stand.
func (w *office) unheard() *machine {
	w.t.Helper()
	m := w.at[testIndex]
	m.line.at, m.line.failure = m.line.calls+3, lostAfter
	w.rotate(0)
	if !m.State().Pending() {
		w.t.Fatal("nothing waits")
	}
	return m
}

// Where the old key may not even read any more, because the new one has taken its place and nobody
// heard, giving up reads with the new one.
func TestAbandonReadsWithTheNewKey(t *testing.T) {
	w := newOffice(t)
	m := w.unheard()
	shut := &liar{Registry: m.Registry, shut: no("key-unknown")}
	m.Registry = shut
	r := w.rotation(w.open())
	outcomes, _, err := r.Abandon(context.Background())
	if err != nil || outcomes[0].Err == nil || w.open() == nil {
		t.Fatalf("%+v, %v", outcomes[0], err)
	}
	var readers []string
	r = w.rotation(w.open())
	r.ReadAs = func(name string) {
		readers = append(readers, name)
		if shut.shut = nil; name == "" {
			shut.shut = no("key-unknown")
		}
	}
	outcomes, _, err = r.Abandon(context.Background())
	if err != nil || outcomes[0].Err != nil || !outcomes[0].Stands || !slices.Equal(readers, []string{"laptop-2", ""}) {
		t.Errorf("%+v, %v, read by %q", outcomes[0], err, readers)
	}
	if w.open() != nil {
		t.Error("something is left in the journal")
	}
}

// A rotation that stands after all, though other bytes have taken the place of its own here meanwhile, leaves the
// new key with the revocation certificate that was written for it.
func TestAbandonKeepsTheCertificate(t *testing.T) {
	w := newOffice(t)
	m := w.unheard()
	// As a version that was to take its place leaves it, and came too late.
	if err := m.State().clearPending(); err != nil {
		t.Fatal(err)
	}
	outcomes, _, err := w.rotation(w.open()).Abandon(context.Background())
	if err != nil || outcomes[0].Err != nil || !outcomes[0].Stands {
		t.Fatalf("%+v, %v", outcomes[0], err)
	}
	e, err := m.State().enrolment()
	if err != nil {
		t.Fatal(err)
	}
	record, err := m.Keys.Lookup("laptop-2")
	if err != nil {
		t.Fatal(err)
	}
	if path := e.Certificates[record.Public.ID().String()]; e.Key != "laptop-2" || path == "" {
		t.Errorf("%s signs, with the certificate %q", e.Key, path)
	}
}

// What another command sends is noted as well: nobody takes sent bytes for unsent ones.
func TestOthersSendWhatWaits(t *testing.T) {
	w := newOffice(t)
	for at := range 200 {
		dying := w.copy(t)
		dying.kill = at + 1
		lived := dying.alive(func() { dying.rotate(0) })
		dying.kill = 0
		m := dying.at[testIndex]
		if lived {
			t.Fatal("never died between signing and sending")
		}
		if i := dying.open(); i == nil || i.Steps[0].State != StepSent || len(m.book.chain) == 2 {
			continue
		}
		m.line.at, m.line.failure = m.line.calls+1, lostBefore
		if _, found, err := m.Settle(context.Background()); !found || !errors.Is(err, errLine) {
			t.Fatal(found, err)
		}
		if s := dying.open().Steps[0]; s.State != StepSent || s.Version != 2 {
			t.Errorf("%+v", s)
		}
		return
	}
}

// A rotation that gives the managing key's place to a key that may not manage, or to none, is not
// possible; an overlap leaves the old key without the right to manage and the new one with it.
func TestRotationKeepsAManager(t *testing.T) {
	w := newOffice(t)
	w.rotate(24 * time.Hour)
	for _, index := range officeIndexes {
		if w.trusted(index) != "laptop-2" {
			t.Errorf("%s: no new manager", index)
		}
		if old, found := w.at[index].book.latest().Entry(ed(1).Public().ID()); !found || old.Can.Has(Manage) || old.Until.IsZero() {
			t.Errorf("%s: the old key is %+v", index, old)
		}
	}
	// Giving the next one up, with the overlap still running, changes nothing of that.
	m := w.later(time.Hour).at[testIndex]
	m.line.at, m.line.failure = m.line.calls+3, lostBefore
	i := &Intent{Kind: KindRotate, Begun: noon, Old: "laptop-2", New: "laptop-3", Steps: []Step{{Index: testIndex, Account: testAccount, State: StepPlanned}}}
	r := w.rotation(i)
	r.Bring = func(context.Context, Step, *RotatePlan) error {
		err := r.Making(m.Keys, "laptop-3")
		m.key("laptop-3", ed(3))
		return err
	}
	plans := r.Look(context.Background())
	w.must(r.Begin(plans))
	if outcomes, err := r.Run(context.Background(), plans); err != nil || outcomes[0].Err == nil || outcomes[0].Step.State != StepSent {
		t.Fatalf("%+v, %v", outcomes, err)
	}
	outcomes, left := w.abandon()
	if outcomes[0].Err != nil || outcomes[0].Version != 3 || len(left) != 1 || !left[0].Removed {
		t.Errorf("%+v, %+v", outcomes, left)
	}
	if _, err := m.Keys.Lookup("laptop-3"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the key: %v", err)
	}
	if w.trusted(testIndex) != "laptop-2" {
		t.Error("the manager changed")
	}
	if !Compare(m.book.chain[1], m.book.latest()).Empty() {
		t.Error("the version that took its place changes something")
	}
}

// A key that somebody made herself is never removed, nor is one of which that is not known.
func TestAbandonLeavesForeignKeys(t *testing.T) {
	w := newOffice(t)
	w.at[testIndex].key("laptop-2", ed(2))
	for _, m := range w.at {
		m.line.at, m.line.failure = m.line.calls+3, lostBefore
	}
	w.rotate(0)
	if outcomes, left := w.abandon(); len(left) != 0 || outcomes[0].Err != nil {
		t.Errorf("%+v, %+v", outcomes, left)
	}
	w.at[testIndex].record("laptop-2")
	dying := newOffice(t)
	for n := 1; ; n++ {
		w := dying.copy(t)
		w.kill = n
		w.alive(func() { w.rotate(0) })
		if w.passed != "after making the key" {
			continue
		}
		if _, left := w.abandon(); len(left) != 1 || left[0].Removed || left[0].Why == "" {
			t.Errorf("%+v", left)
		}
		return
	}
}
