// Keys that are made in a token for no rotation: what the journal says of them, and what becomes of that.

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// making is the note of a key that is to be made. What an earlier run noted and was to make in another way is given
// up: the slot that may hold its key is named.
func (a *app) making(home, name, old string, given map[string]string) (*enroll.Making, error) {
	journal := enroll.OpenJournal(home)
	m, err := journal.Making(name, old, given, a.now())
	if err != nil || m.MadeIn(name) == "" || maps.Equal(m.Given(), given) {
		return m, err
	}
	if _, err := a.store(home).Lookup(name); err == nil {
		return m, nil // and so it is complete
	}
	a.sayLostSlots(a.store(home), map[string]string{name: m.MadeIn(name)})
	if err := m.MakingIn(name, ""); err != nil {
		return nil, err
	}
	return journal.Making(name, old, given, a.now())
}

// endMaking ends the note of a key that has a record now. Where that one is elsewhere the slot is named.
func (a *app) endMaking(store *keys.Store, m *enroll.Making, name string) error {
	if noted := m.MadeIn(name); noted != "" {
		a.sayLostSlots(store, map[string]string{name: noted})
	}
	return m.MakingIn(name, "")
}

// madeBefore is init's answer where there is a key of that name: an interrupted run that has made it is completed.
func (a *app) madeBefore(store *keys.Store, m *enroll.Making, record keys.Record, o initOptions) error {
	noted := m.MadeIn(o.name)
	if err := a.endMaking(store, m, o.name); err != nil {
		return err
	}
	if noted != "" && isIn(record, noted) {
		return a.reportInit(factsOf(store, record), o)
	}
	return keyExists(store, o.name)
}

// unfinishedMaking is the line of [unfinished] for a key that is made.
func unfinishedMaking(i *enroll.Intent) string {
	serial, slot, _ := strings.Cut(i.Slots[i.New], "/")
	again := []string{"regkey", "init", i.New, "--hardware"}
	if i.Old != "" {
		again = []string{"regkey", "rotate", "--to", i.New}
	}
	for _, flag := range slices.Sorted(maps.Keys(i.Given)) {
		if again = append(again, "--"+flag); i.Given[flag] != "true" {
			again = append(again, i.Given[flag])
		}
	}
	return fmt.Sprintf("the making of key %s in slot %s of YubiKey %s, begun at %s, is not complete: %q goes on", i.New, slot, serial, moment(i.Begun), strings.Join(again, " "))
}
