// Approve, be let in, join, edit and push, with a fault at every call: running it again ends in one
// good state.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

var lifeScenarios = []scenario{
	{"approve", func(t *testing.T) *machine {
		m := enrolled(t)
		m.key("desk", ed(2)) // for its name alone
		asker := m.elsewhere()
		asker.key("desk", ed(2))
		asker.must(second(asker.Propose(context.Background(), asker.asking("desk"))))
		return m
	}, func(m *machine) error {
		for code := range m.book.asked {
			return m.approve(code)
		}
		return errors.New("there is no proposal")
	}, 2, "laptop", []string{"desk", "laptop"}, nil},

	{"be let in", func(t *testing.T) *machine {
		m := enrolled(t).elsewhere()
		m.key("desk", ed(2))
		m.key("laptop", ed(1))
		return m
	}, func(m *machine) error { return second(m.letIn(m.asking("desk"))) }, 2, "desk", []string{"desk", "laptop"}, nil},

	{"join", func(t *testing.T) *machine {
		m := enrolled(t)
		for n, name := range []string{"a", "b", "c"} {
			m.key(name, ed(byte(2+n)))
			m.must(m.enrol(name, 0))
		}
		m.must(m.revoke("c"))
		m = m.elsewhere()
		for n, name := range []string{"laptop", "a", "b", "c"} {
			m.key(name, ed(byte(1+n)))
		}
		return m
	}, func(m *machine) error { return second(m.Join(context.Background(), m.joining("a"))) }, 5, "a", []string{"a", "b", "laptop"}, []string{"c"}},

	{"edit", func(t *testing.T) *machine {
		m := enrolled(t)
		m.key("ci", ed(2))
		m.must(m.enrol("ci", 0))
		return m
	}, func(m *machine) error {
		until := noon.Add(24 * time.Hour)
		return m.edit(EditOptions{Key: "ci", Can: Publish, Until: &until})
	}, 3, "laptop", []string{"ci…", "laptop"}, nil},

	{"retire the key that signs", func(t *testing.T) *machine {
		m := enrolled(t)
		m.key("desk", ed(2))
		m.must(m.enrol("desk", CanEverything))
		return m
	}, func(m *machine) error { return m.edit(EditOptions{Key: "laptop", Retire: true}) }, 3, "desk", []string{"desk"}, nil},
}

func TestLifeFaults(t *testing.T) {
	for _, s := range lifeScenarios {
		t.Run(s.name, func(t *testing.T) {
			begun := s.begin(t)
			whole := begun.copy(true)
			whole.must(s.run(whole))
			s.wants(whole)
			for at := 1; at <= whole.line.calls; at++ {
				for _, failure := range []failure{lostBefore, lostAfter, refused} {
					t.Run(fmt.Sprintf("%s %d %s", whole.line.kinds[at-1], at, failure), func(t *testing.T) {
						m := begun.on(t).copy(true)
						m.line.at, m.line.failure = at, failure
						err := s.run(m)
						var distrusted *DistrustError
						if errors.As(err, &distrusted) {
							t.Fatalf("a failing line is called a lie: %v", err)
						}
						if err == nil {
							s.wants(m) // it has helped itself
						}
						m.clock = m.clock.Add(2 * time.Hour)
						m.must(s.run(m))
						s.wants(m)
						sent, signed := len(m.line.sent), m.signed
						m.must(s.run(m))
						s.wants(m)
						if len(m.line.sent) != sent || m.signed != signed {
							t.Error("what is done is done again")
						}
					})
				}
			}
			begun.on(t)
		})
	}
}
