// Runs that fail at one look at a file, or end at the very last step.

package enroll

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/faults"
)

// Whatever can't be read while a rotation is given up, it is never carried out for that.
func TestAbandonWhereAReadFails(t *testing.T) {
	ctx, index := context.Background(), officeIndexes[1]
	begun := newOffice(t).copy(t)
	whole := begun.copy(t)
	whole.rotate(0)
	begun.at[index].line.at = slices.Index(whole.at[index].line.kinds, "submit") + 1
	begun.at[index].line.failure = lostBefore
	begun.rotate(0)
	begun.later(time.Hour)
	recorded := begun.copy(t)
	i, run := recorded.open(), faults.Record()
	end := run.Files(recorded.home)
	_, _, err := recorded.rotation(i).Abandon(ctx)
	end()
	recorded.must(err)
	if recorded.trusted(index) != "laptop" || len(run.Calls()) < 50 {
		t.Fatalf("%s is trusted, after %d calls", recorded.trusted(index), len(run.Calls()))
	}
	failed := 0
	for n, call := range run.Calls() {
		if !call.Reads() {
			continue
		}
		w := begun.copy(t)
		i, run := w.open(), faults.Stop(n, faults.Error)
		end := run.Files(w.home)
		outcomes, _, err := w.rotation(i).Abandon(ctx)
		end()
		for _, o := range outcomes {
			err = errors.Join(err, o.Err)
		}
		if err != nil {
			failed++
		}
		w.abandon()
		if key := w.trusted(index); key != "laptop" {
			t.Errorf("%v (call %d) failed, with %v: %s is trusted", call, n, err, key)
		}
	}
	if failed < 10 {
		t.Errorf("only %d reads that failed were noticed", failed)
	}
}

// A machine that was let in, and was stopped before it forgot its proposal, forgets it with the next try.
func TestProposalEndsWithTheEnrolment(t *testing.T) {
	ctx := context.Background()
	m := enrolled(t).elsewhere()
	m.key("desk", ed(2))
	m.key("laptop", ed(1))
	_, err := m.Propose(ctx, m.asking("desk"))
	m.must(err)
	p, _, err := m.State().proposal()
	m.must(err)
	_, err = m.letIn(m.asking("desk"))
	m.must(err)
	m.must(m.State().setProposal(p)) // as if it had never been removed
	m.must(m.enrol("laptop", 0))     // another key's enrolment leaves it
	if m.State().Proposing() == "" {
		t.Fatal("the proposal of another key is gone")
	}
	m.must(m.enrol("desk", 0))
	if m.State().Proposing() != "" {
		t.Error("the proposal still waits")
	}
}

// A failure after which signed bytes wait in the folder says that something is left, wherever it came.
func TestFailureSaysWhatIsLeft(t *testing.T) {
	begun := enrolled(t)
	ci := begun.key("ci", ed(2))
	enrol := func(m *machine, run *faults.Run) error {
		defer run.Files(m.Home)()
		plan, err := m.PlanEnrolment(context.Background(), EnrolOptions{Account: testAccount, Key: ci})
		if err != nil {
			return m.Left(err)
		}
		_, err = plan.Run(context.Background(), testCode)
		return err
	}
	run, waited := faults.Record(), 0
	begun.must(enrol(begun.copy(true), run))
	for n, call := range run.Calls() {
		for _, mode := range faults.Modes(call) {
			if mode != faults.Error && mode != faults.ErrorAfter {
				continue
			}
			m := begun.copy(true)
			err := enrol(m, faults.Stop(n, mode))
			if !m.State().Pending() {
				continue
			}
			waited++
			if err == nil || !errors.As(err, new(*LeftError)) {
				t.Errorf("%s at %v (call %d): signed bytes wait, and said is %v", mode, call, n, err)
			}
		}
	}
	if waited < 5 {
		t.Errorf("after %d failures alone signed bytes waited", waited)
	}
}
