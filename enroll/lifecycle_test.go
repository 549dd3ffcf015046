// Enrol, add, rotate and revoke, with a fault at every call and a crash at every write: running it
// again ends in one good state.

package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// A scenario is one command, run on a machine that begin has prepared.
type scenario struct {
	name            string
	begin           func(*testing.T) *machine
	run             func(*machine) error
	versions        int
	signs           string
	listed, revoked []string
}

var scenarios = []scenario{
	{"enrol", func(t *testing.T) *machine {
		m := newMachine(t)
		m.key("laptop", ed(1))
		return m
	}, func(m *machine) error { return m.enrol("laptop", 0) }, 1, "laptop", []string{"laptop"}, nil},

	{"add", func(t *testing.T) *machine {
		m := enrolled(t)
		m.key("ci", p384(2))
		return m
	}, func(m *machine) error { return m.enrol("ci", 0) }, 2, "laptop", []string{"ci", "laptop"}, nil},

	{"rotate", func(t *testing.T) *machine {
		m := enrolled(t)
		m.key("desk", p384(2))
		return m
	}, func(m *machine) error { return m.rotate("laptop", "desk", 0) }, 2, "desk", []string{"desk"}, nil},

	{"rotate with an overlap", func(t *testing.T) *machine {
		m := enrolled(t)
		m.key("desk", ed(2))
		return m
	}, func(m *machine) error { return m.rotate("laptop", "desk", 24*time.Hour) }, 2, "desk", []string{"desk", "laptop…"}, nil},

	{"revoke the last key", enrolled, func(m *machine) error { return m.revoke("laptop") }, 1, "", []string{"laptop"}, []string{"laptop"}},

	{"revoke another key", func(t *testing.T) *machine {
		m := enrolled(t)
		m.key("ci", ed(2))
		m.must(m.enrol("ci", 0))
		return m
	}, func(m *machine) error { return m.revoke("ci") }, 3, "laptop", []string{"laptop"}, []string{"ci"}},

	{"revoke the key that signs", func(t *testing.T) *machine {
		m := enrolled(t)
		m.key("desk", ed(2))
		m.must(m.enrol("desk", Manage|Publish))
		return m
	}, func(m *machine) error { return m.revoke("laptop") }, 3, "desk", []string{"desk"}, []string{"laptop"}},
}

func (s scenario) wants(m *machine) {
	m.t.Helper()
	m.wants(s.versions, s.signs, s.listed, s.revoked)
}

// Each scenario runs once whole, then with each failure at each of its calls, and again.
func TestFaults(t *testing.T) {
	for _, s := range append(slices.Clone(scenarios), hardwareScenarios...) {
		t.Run(s.name, func(t *testing.T) {
			begun := s.begin(t)
			whole := begun.copy(true)
			whole.must(s.run(whole))
			s.wants(whole)
			for at := 1; at <= whole.line.calls; at++ {
				for _, failure := range []failure{lostBefore, lostAfter, refused} {
					t.Run(fmt.Sprintf("%s %d %s", whole.line.kinds[at-1], at, failure), func(t *testing.T) {
						s.faulty(begun.on(t).copy(true), at, failure)
					})
				}
			}
			begun.on(t)
		})
	}
}

func (s scenario) faulty(m *machine, at int, failure failure) {
	m.t.Helper()
	m.line.at, m.line.failure = at, failure
	err := s.run(m)
	// Revoking goes on without having seen what stands: the key may be the only one that reads there.
	if tolerated := m.line.kinds[at-1] == "latest" && len(s.revoked) > 0; err == nil && !tolerated {
		m.t.Fatal("the failure went unnoticed")
	}
	var distrusted *DistrustError
	if errors.As(err, &distrusted) {
		m.t.Fatalf("a failing line is called a lie: %v", err)
	}
	submitting := m.line.kinds[at-1] == "submit"
	if waits := m.State().Pending(); waits != (submitting && failure != refused) {
		m.t.Errorf("signed bytes wait: %v, after %v", waits, err)
	}
	sent := len(m.line.sent)
	m.clock = m.clock.Add(2 * time.Hour) // whatever is signed anew differs
	m.must(s.run(m))
	s.wants(m)
	if submitting && failure != refused && !bytes.Equal(m.line.sent[sent-1], m.line.sent[sent]) {
		m.t.Errorf("sent again is\n%s\nnot\n%s", m.line.sent[sent], m.line.sent[sent-1])
	}
	// A third time nothing is left to do.
	sent = len(m.line.sent)
	m.must(s.run(m))
	s.wants(m)
	if len(m.line.sent) != sent {
		m.t.Error("what is done is done again")
	}
}

// The registry's answer is written down in three steps. A crash between any two changes nothing in
// the end, even if another machine has gone on meanwhile.
func TestCrashes(t *testing.T) {
	for _, s := range append(slices.Clone(scenarios), hardwareScenarios...) {
		if s.versions == 1 && len(s.revoked) > 0 {
			continue // no keyset is sent
		}
		begun := s.begin(t)
		for steps := range 3 {
			for _, others := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d steps, others %v", s.name, steps, others), func(t *testing.T) {
					s.crash(begun.on(t).copy(true), steps, others)
				})
			}
		}
		begun.on(t)
	}
}

// crash stops the machine after the registry took the keyset and so many steps were written.
func (s scenario) crash(m *machine, steps int, others bool) {
	m.t.Helper()
	whole := m.copy(true)
	whole.must(s.run(whole))
	m.line.calls, m.line.at, m.line.failure = 0, whole.line.calls, lostAfter
	if err := s.run(m); !errors.Is(err, errLine) || m.line.kinds[len(m.line.kinds)-1] != "submit" {
		m.t.Fatalf("%v after %q: the answer to the keyset should be lost", err, m.line.kinds)
	}
	p, err := m.State().pending()
	m.must(err)
	k, err := p.keyset()
	m.must(err)
	if steps > 0 {
		m.must(m.State().pin(k))
	}
	if steps > 1 {
		m.must(m.State().saveEnrolment(&p.Enrolment))
	}
	wanted := s
	if others {
		m.key("other", ed(50))
		m.goOn(p)
		wanted.versions++
		wanted.listed = slices.Sorted(slices.Values(append(slices.Clone(s.listed), "other")))
		if steps > 1 {
			// A look at what stands moves the pin beyond the bytes that still wait.
			m.must(second(m.Sync(context.Background())))
		}
	}
	m.clock = m.clock.Add(2 * time.Hour)
	before := m.pinned()
	m.must(s.run(m))
	if after := m.pinned(); after < before {
		m.t.Errorf("the pin went back from version %d to %d", before, after)
	}
	m.must(second(m.Sync(context.Background())))
	wanted.wants(m)
}

// goOn is what another machine of the account does, which has seen the answer: it adds a key of its own.
func (m *machine) goOn(p *pending) {
	m.t.Helper()
	k, err := p.keyset()
	m.must(err)
	other := m.copy(false)
	other.must(other.State().pin(k))
	other.must(other.State().saveEnrolment(&p.Enrolment))
	other.must(other.State().clearPending())
	other.must(other.enrol("other", Read))
}

func (m *machine) pinned() int {
	k, err := m.State().Keyset()
	if err != nil {
		return 0
	}
	return k.Version
}

// While nobody can say whether refused bytes stood, they are kept.
func TestRefusedBytesAreKeptInDoubt(t *testing.T) {
	m := enrolled(t)
	m.key("desk", ed(2))
	m.key("other", ed(50))
	m.line.at, m.line.failure = m.line.calls+2, lostAfter // latest, submit
	if err := m.rotate("laptop", "desk", 0); !errors.Is(err, errLine) {
		t.Fatal(err)
	}
	p, err := m.State().pending()
	m.must(err)
	m.goOn(p)
	m.line.at, m.line.failure = m.line.calls+2, lostBefore // submit is refused, keysets is lost
	var refusal Refusal
	if err := m.rotate("laptop", "desk", 0); !errors.Is(err, errLine) || errors.As(err, &refusal) {
		t.Fatalf("%v after %q", err, m.line.kinds)
	}
	if again, err := m.State().pending(); err != nil || again == nil || again.Note != p.Note {
		t.Fatalf("waiting are %v, %v", again, err)
	}
	m.must(m.rotate("laptop", "desk", 0))
	m.wants(3, "desk", []string{"desk", "other"}, nil)
}
