// What is said of a key that manages and is narrowed: it can widen itself.

package main

import (
	"slices"

	"github.com/cargo-regkey/regkey/enroll"
)

// unbounded says, of a key that manages and that is limited to some crates, what that limit is worth: the
// rules let whoever manages change every line of the keyset, its own included. It is "" for other keys.
func unbounded(can enroll.Can, crates []string) string {
	if !can.Has(enroll.Manage) || len(crates) == 0 {
		return ""
	}
	return "a key that manages can widen its own line: these crates keep it from mistakes, and do not bind whoever has the key"
}

// unbounded is the same of a line that is shown.
func (e entryFacts) unbounded() string { return unboundedNames(e.Can, e.Crates) }

func unboundedNames(can, crates []string) string {
	if !slices.Contains(can, enroll.Manage.String()) {
		return ""
	}
	return unbounded(enroll.Manage, crates)
}

// sayUnbounded says it where such a line is made.
func (a *app) sayUnbounded(e entryFacts) {
	if text := e.unbounded(); text != "" {
		a.say("regkey: note: %s", text)
	}
}
