// Revocations that were sent and are not complete, and enrolments: what the journal says of them.

package enroll

import (
	"errors"
	"testing"
)

// open are the subjects of what the journal has.
func (m *machine) open(kind Kind) []string {
	m.t.Helper()
	all, err := OpenJournal(m.Home).Intents()
	m.must(err)
	var names []string
	for _, i := range all {
		if i.Kind != kind {
			m.t.Errorf("a %s is in the journal", i.Kind)
		}
		names = append(names, i.subject())
	}
	return names
}

// The revocation stands and the keyset still lists the key: that is said until the same command is run
// again. Where the registry refused the revocation, nothing is said.
func TestRevocationIsNotComplete(t *testing.T) {
	for failure, left := range map[failure]int{lostBefore: 1, lostAfter: 1, refused: 0} {
		for _, kind := range []string{"revoke", "submit"} {
			m := enrolled(t)
			m.key("ci", ed(2))
			m.must(m.enrol("ci", 0))
			m.line.calls, m.line.at, m.line.failure = 0, 2, failure // latest, revoke, submit
			if kind == "submit" {
				m.line.at, left = 3, 1
			}
			if err := m.revoke("ci"); err == nil || m.line.kinds[len(m.line.kinds)-1] != kind && failure != refused {
				t.Fatalf("%v after %q", err, m.line.kinds)
			}
			if names := m.open(KindRevoke); len(names) != left {
				t.Errorf("%s, %s: the journal has %q", kind, failure, names)
			}
			m.must(m.revoke("ci"))
			m.wants(3, "laptop", []string{"laptop"}, []string{"ci"})
		}
	}
}

func TestIntentOfOneStep(t *testing.T) {
	m := enrolled(t)
	i, err := m.Begin(KindEnrol, testAccount, "laptop")
	m.must(err)
	again, err := m.Begin(KindEnrol, testAccount, "laptop")
	m.must(err)
	if again.ID != i.ID || i.NewKey != ed(1).Public().String() {
		t.Errorf("%+v is not %+v", again, i)
	}
	fault := errors.New("x")
	m.must(m.note(i, StepAccepted))
	if err := m.EndIntent(i, fault); !errors.Is(err, fault) || len(m.open(KindEnrol)) != 1 {
		t.Errorf("what is accepted is forgotten, or the error is: %v", err)
	}
	m.must(m.note(i, StepPlanned))
	if err := m.EndIntent(i, fault); !errors.Is(err, fault) || len(m.open(KindEnrol)) != 0 {
		t.Errorf("of what was only planned something is left, or the error is not: %v", err)
	}
	if err := m.EndIntent(i, nil); err != nil {
		t.Error(err)
	}
	// One of which nothing has happened goes when the next begins.
	m.must(second(m.Begin(KindRevoke, testAccount, "laptop")))
	m.must(second(m.Begin(KindEnrol, testAccount, "laptop")))
	if names := m.open(KindEnrol); len(names) != 1 {
		t.Errorf("the journal has %q", names)
	}
}

// The lifecycle moves an enrolment's intent on by itself: what is trusted, and not known to cargo yet, is
// remembered; what was refused is not.
func TestEnrolmentIsNotComplete(t *testing.T) {
	for failure, left := range map[failure]int{lostAfter: 1, refused: 0, "": 1} {
		m := newMachine(t)
		m.key("laptop", ed(1))
		m.line.at, m.line.failure = 1, failure
		if failure == "" {
			m.line.at = 0
		}
		i, err := m.Begin(KindEnrol, testAccount, "laptop")
		m.must(err)
		err = m.enrol("laptop", 0)
		if err != nil {
			if err := m.EndIntent(i, err); err == nil {
				t.Error("the error is gone")
			}
		}
		if names := m.open(KindEnrol); len(names) != left || (err == nil) != (failure == "") {
			t.Errorf("%q: the journal has %q after %v", failure, names, err)
		}
	}
}
