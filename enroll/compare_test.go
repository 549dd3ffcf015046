// What others changed, and what one key let in.

package enroll

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

func TestNoticed(t *testing.T) {
	m := enrolled(t)
	var told []Change
	m.Noticed = func(changes []Change) { told = append(told, changes...) }
	ahead := m.copy(false)
	ahead.Noticed = func(changes []Change) { t.Errorf("the machine that made them was told: %+v", changes) }
	ahead.key("ci", ed(3))
	ahead.must(ahead.enrol("ci", Publish))
	ahead.must(ahead.revoke(ed(3).Public().ID().String()))
	ahead.must(second(ahead.Sync(context.Background())))
	m.must(second(m.Check(context.Background())))
	if len(told) != 0 {
		t.Errorf("told by a look that writes nothing down: %+v", told)
	}
	for range 2 { // the second brings nothing
		m.must(second(m.Sync(context.Background())))
	}
	if len(told) != 2 || told[0].Version != 2 || len(told[0].Added) != 1 || told[1].Version != 3 || len(told[1].Revoked) != 1 {
		t.Errorf("told %+v", told)
	}
}

func TestLetIn(t *testing.T) {
	m := enrolled(t)
	for n, name := range []string{"desk", "ci", "gone"} {
		m.key(name, ed(byte(n+2)))
		m.must(m.enrol(name, []Can{CanEverything, Publish, Publish}[n]))
	}
	m.must(m.revoke("gone"))
	history, err := m.State().History()
	m.must(err)
	laptop, desk := ed(1).Public().ID(), ed(2).Public().ID()
	late := history[2].Issued.Add(time.Second)
	for _, c := range []struct {
		name    string
		history []*SignedKeyset
		by      keys.ID
		since   time.Time
		want    []int
	}{
		{"all that still stand", history, laptop, time.Time{}, []int{2, 3}},
		{"a key that let nobody in, but signed that it comes", history, desk, time.Time{}, nil},
		{"before the day in question", history, laptop, late, nil},
		{"with a hole in the history", slices.Concat(history[:1], history[2:]), laptop, time.Time{}, nil},
		{"a history that begins later", history[1:], laptop, time.Time{}, []int{3}},
		{"one version", history[:1], laptop, time.Time{}, nil},
		{"none", nil, laptop, time.Time{}, nil},
	} {
		var got []int
		for _, change := range LetIn(c.history, c.by, c.since) {
			got = append(got, change.Version)
			if len(change.Added) != 1 {
				t.Errorf("%s: %+v", c.name, change)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: versions %v, not %v", c.name, got, c.want)
		}
	}
}
