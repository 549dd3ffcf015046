// Rotations at three registries, killed at every point and with every call failing: each can be
// resumed, and each can be abandoned.

package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"time"
)

// rotated wants the new key alone, everywhere, and nothing left over.
func (w *office) rotated() {
	w.t.Helper()
	for _, index := range officeIndexes {
		if key := w.trusted(index); key != "laptop-2" {
			w.t.Errorf("%s: %s signs", index, key)
		}
		if w.cargo[index] == 0 {
			w.t.Errorf("%s: cargo was not looked after", index)
		}
	}
	if i := w.open(); i != nil {
		w.t.Errorf("the journal still has %+v", i)
	}
	records, err := w.at[testIndex].Keys.List()
	w.must(err)
	if len(records) != 2 {
		w.t.Errorf("there are %d keys", len(records))
	}
}

func TestRotateEverywhere(t *testing.T) {
	w := newOffice(t)
	for _, o := range w.rotate(0) {
		if o.Err != nil || o.Step.State != StepDone || o.Done == nil || o.Done.Version != 2 || o.Step.Version != 2 {
			t.Errorf("%+v", o)
		}
	}
	w.rotated()
	for _, index := range officeIndexes {
		if k := w.at[index].book.latest(); len(k.Keys) != 1 {
			t.Errorf("%s lists %d keys", index, len(k.Keys))
		}
	}
}

func TestLookChangesNothing(t *testing.T) {
	w := newOffice(t)
	other := w.at[testIndex].copy(false)
	other.key("ci", ed(5))
	other.must(other.enrol("ci", Read))
	i := &Intent{Kind: KindRotate, Begun: noon, Old: "laptop", New: "laptop-2", Steps: []Step{{Index: testIndex, Account: testAccount, State: StepPlanned}}}
	files, signs := w.at[testIndex].tree(), w.signs
	plans := w.rotation(i).Look(context.Background())
	if plans[0].Err != nil || !plans[0].Asked || plans[0].Plan.base.Version != 2 || plans[0].Plan.With != "laptop" {
		t.Errorf("%+v", plans[0])
	}
	if !sameTree(files, w.at[testIndex].tree()) || w.signs != signs || len(w.at[testIndex].line.sent) != 1 {
		t.Error("looking changed something")
	}
	if _, err := plans[0].Plan.Run(context.Background()); err == nil {
		t.Error("a plan that was looked at can be run")
	}
}

// death is one run that ends at a point, on a copy of begun; what waits then is returned by index.
func (w *office) death(t *testing.T, at int) (*office, map[string]string) {
	t.Helper()
	dying := w.copy(t)
	dying.kill = at
	if dying.alive(func() { dying.rotate(0) }) {
		t.Fatalf("the process outlived point %d", at)
	}
	dying.kill = 0
	waiting := map[string]string{}
	for _, index := range officeIndexes {
		p, err := dying.at[index].State().pending()
		dying.must(err)
		if p != nil {
			waiting[index] = p.Note
		}
	}
	return dying.later(time.Hour), waiting
}

func TestKilledRotations(t *testing.T) {
	begun := newOffice(t)
	whole := begun.copy(t)
	whole.alive(func() { whole.rotate(0) })
	whole.rotated()
	if whole.points < 50 {
		t.Fatalf("only %d points: %q", whole.points, whole.notes)
	}
	t.Logf("%d points", whole.points)
	for at := 1; at <= whole.points; at++ {
		t.Run(fmt.Sprintf("%d %s", at, whole.notes[at-1]), func(t *testing.T) {
			resumed, waiting := begun.death(t, at)
			for _, o := range resumed.rotate(0) {
				if o.Err != nil {
					t.Errorf("resumed: %v", o.Err)
				}
			}
			resumed.rotated()
			for index, note := range waiting {
				if chain := resumed.at[index].book.chain; string(chain[1].Note) != note {
					t.Errorf("%s: what was signed is not what stands", index)
				}
			}
			abandoned, _ := begun.death(t, at)
			abandoned.wantsAbandoned()
			twice, _ := begun.death(t, at)
			twice.killedAgain(t)
		})
	}
}

// wantsAbandoned gives up and looks at everything.
func (w *office) wantsAbandoned() {
	w.t.Helper()
	outcomes, left := w.abandon()
	stands := false
	for _, o := range outcomes {
		if o.Err != nil || !o.Step.Closed() || o.Stands != (o.Step.State == StepDone) {
			w.t.Errorf("%+v", o)
		}
	}
	for _, index := range officeIndexes {
		before := w.trusted(index)
		stands = stands || before == "laptop-2"
		for _, n := range outcomes {
			if n.Step.Index == index && n.Stands != (before == "laptop-2") {
				w.t.Errorf("%s: it is said to stand: %v, and %s signs", index, n.Stands, before)
			}
		}
		// Whoever caught the bytes sends them now.
		m := w.at[index]
		standing := m.book.latest()
		for _, note := range m.line.sent {
			_ = m.book.Submit(context.Background(), testAccount, Submission{Note: note})
		}
		if m.book.latest() != standing {
			w.t.Errorf("%s: what was abandoned came to stand", index)
		}
	}
	if i := w.open(); i != nil {
		w.t.Errorf("the journal still has %+v", i)
	}
	_, err := w.at[testIndex].Keys.Lookup("laptop-2")
	if gone := errors.Is(err, fs.ErrNotExist); len(outcomes) > 0 && gone == stands && len(left) > 0 && left[0].Removed {
		w.t.Errorf("the new key is gone: %v, and is trusted somewhere: %v", gone, stands)
	}
	if !stands && len(left) > 0 && !left[0].Removed && left[0].Why == "" {
		w.t.Errorf("nobody needs the new key, and it stays: %+v", left)
	}
	if stands {
		return
	}
	// Nothing is in the way of the next one.
	for _, o := range w.later(time.Hour).rotate(0) {
		if o.Err != nil {
			w.t.Errorf("afterwards: %v", o.Err)
		}
	}
	w.rotated()
}

// killedAgain dies at every point of giving up, and gives up once more.
func (w *office) killedAgain(t *testing.T) {
	t.Helper()
	if w.open() == nil {
		return
	}
	whole := w.copy(t)
	whole.alive(func() { whole.abandon() })
	for at := 1; at <= whole.points; at++ {
		again := w.copy(t)
		again.kill = at
		if again.alive(func() { again.abandon() }) {
			t.Fatalf("giving up outlived point %d", at)
		}
		again.kill = 0
		for index, m := range w.at { // what was sent before is still caught
			again.at[index].line.sent = append(slices.Clone(m.line.sent), again.at[index].line.sent...)
		}
		again.later(time.Hour).wantsAbandoned()
	}
}

// Each call fails once, in each way: the others go on, and what is left is completed or given up.
func TestFailingRotations(t *testing.T) {
	begun := newOffice(t)
	runs, ends := 0, map[string]int{}
	for _, index := range officeIndexes {
		whole := begun.copy(t)
		whole.rotate(0)
		for at := 1; at <= whole.at[index].line.calls; at++ {
			for _, failure := range []failure{lostBefore, lostAfter, refused} {
				t.Run(fmt.Sprintf("%s %d %s %s", index, at, whole.at[index].line.kinds[at-1], failure), func(t *testing.T) {
					for _, end := range []string{"resumed", "abandoned"} {
						runs++
						w := begun.copy(t)
						w.at[index].line.at, w.at[index].line.failure = at, failure
						w.failing(index, end, ends)
					}
				})
			}
		}
	}
	t.Logf("%d runs; of those given up: %v", runs, ends)
	if ends["stands"] == 0 || ends["superseded"] == 0 || ends["dropped"] == 0 {
		t.Errorf("not all ways of giving up were taken: %v", ends)
	}
}

func (w *office) failing(index, end string, ends map[string]int) {
	w.t.Helper()
	for _, o := range w.rotate(0) {
		if (o.Err != nil) != (o.Step.Index == index) {
			w.t.Errorf("the failure is at %s; %s: %v", index, o.Step.Index, o.Err)
		}
		if o.Step.Index != index && o.Step.State != StepDone {
			w.t.Errorf("%s is %s: one that fails must not stop the others", o.Step.Index, o.Step.State)
		}
	}
	i := w.open()
	if i == nil || i.Step(index, testAccount).Closed() {
		w.t.Fatalf("nothing is left in the journal: %+v", i)
	}
	w.later(time.Hour)
	if end == "resumed" {
		sent, waits := len(w.at[index].line.sent), w.at[index].State().Pending()
		w.rotate(0)
		w.rotated()
		if all := w.at[index].line.sent; waits && !bytes.Equal(all[sent], all[sent-1]) {
			w.t.Error("what was signed was not sent again as it was")
		}
		return
	}
	outcomes, left := w.abandon()
	for _, o := range outcomes {
		stands := w.trusted(o.Step.Index) == "laptop-2"
		if o.Err != nil || o.Stands != stands {
			w.t.Errorf("%+v, and it stands: %v", o, stands)
		}
		switch {
		case o.Step.Index != index:
		case o.Stands:
			ends["stands"]++
		case o.Version != 0:
			ends["superseded"]++
		default:
			ends["dropped"]++
		}
	}
	if len(left) != 1 || left[0].Removed || left[0].Why == "" {
		w.t.Errorf("the key is trusted at the others, so it stays: %+v", left)
	}
	for _, note := range w.at[index].line.sent {
		standing := w.at[index].book.latest()
		_ = w.at[index].book.Submit(context.Background(), testAccount, Submission{Note: note})
		if w.at[index].book.latest() != standing {
			w.t.Error("what was abandoned came to stand")
		}
	}
}
