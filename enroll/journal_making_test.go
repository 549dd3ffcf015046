// Slots that are noted for keys which belong to no rotation.

package enroll

import (
	"maps"
	"strings"
	"testing"
)

func TestMaking(t *testing.T) {
	m := enrolled(t)
	journal := OpenJournal(m.Home)
	open := func(given map[string]string) *Making {
		t.Helper()
		making, err := journal.Making("yk", "", given, noon)
		m.must(err)
		return making
	}
	count := func(want int) {
		t.Helper()
		all, err := journal.Intents()
		m.must(err)
		if len(all) != want {
			t.Errorf("the journal has %d intents instead of %d", len(all), want)
		}
	}
	given := map[string]string{"touch": "never"}
	first := open(given)
	m.must(first.MakingIn("yk", ""))
	count(0)
	m.must(first.MakingIn("yk", "4711/9a"))
	again := open(map[string]string{"touch": "always"})
	if again.MadeIn("yk") != "4711/9a" || !maps.Equal(again.Given(), given) || !again.Begun().Equal(noon) {
		t.Errorf("found again is %+v", again.intent)
	}
	// Another command tidies away what is of no use to anybody: this is not.
	if _, err := m.Begin(KindEnrol, testAccount, "laptop"); err != nil {
		t.Fatal(err)
	}
	count(2)
	m.must(again.MakingIn("yk", "4711/82"))
	if open(given).MadeIn("yk") != "4711/82" {
		t.Error("another slot is not noted")
	}
	if other, err := journal.Making("other", "", given, noon); err != nil || other.MadeIn("other") != "" {
		t.Errorf("another key is said to be made: %v", err)
	}
	m.must(again.MakingIn("yk", ""))
	count(1)
}

func TestMakingRefused(t *testing.T) {
	const good = `id = '20261122T120000Z-0123456789abcdef'
kind = 'make'
begun = 2026-11-22T12:00:00Z
new = 'yk'

[slots]
yk = '4711/82'
`
	if i, err := ParseIntent([]byte(good)); err != nil || i.Complete() || i.Idle() {
		t.Fatalf("%+v, %v", i, err)
	}
	for name, text := range map[string]string{
		"no name":     strings.Replace(good, "new = 'yk'\n", "", 1),
		"no slot":     strings.Replace(good, "yk = '4711/82'\n", "", 1),
		"another":     strings.Replace(good, "yk = ", "other = ", 1),
		"two":         good + "other = '4711/83'\n",
		"a step":      good + "\n[[step]]\nindex = '" + testIndex + "'\naccount = 'team'\nstate = 'planned'\n",
		"not a place": strings.Replace(good, "4711/82", "here", 1),
	} {
		if text == good {
			t.Fatalf("%s changes nothing", name)
		}
		if i, err := ParseIntent([]byte(text)); err == nil {
			t.Errorf("%s: taken as %+v", name, i)
		}
	}
}
