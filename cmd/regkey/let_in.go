// The keys that a key in other hands has let in.

package main

import (
	"errors"
	"fmt"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// letIn are the versions by which a key that was in other hands has added keys that are still trusted, as far as this
// machine has seen them.
func letIn(life *enroll.Lifecycle, e *enroll.Enrolment, id keys.ID, o revokeOptions) ([]versionFacts, error) {
	if o.reason != enroll.Compromised && !o.listPublished {
		return nil, nil
	}
	history, err := life.State().History()
	if err != nil {
		return nil, fmt.Errorf("looking for keys that %v has let in: %w", id, err)
	}
	names := namesIn(life.Keys, e)
	var added []versionFacts
	for _, c := range enroll.LetIn(history, id, o.since) {
		added = append(added, names.version(c))
	}
	return added, nil
}

// letInLines are a line for each of the keys.
func letInLines(added []versionFacts) (lines []string) {
	for _, v := range added {
		for _, e := range v.Added {
			name := e.ID
			if e.Name != "" {
				name = e.Name + " (" + e.ID + ")"
			}
			lines = append(lines, fmt.Sprintf("%s, which may %s, with version %d of %s", name, e.describe(), v.Version, v.Issued))
		}
	}
	return lines
}

// reportLetIn names them once the key has ended.
func (a *app) reportLetIn(added []versionFacts) error {
	var err error
	for _, line := range letInLines(added) {
		err = errors.Join(err, a.printLine("let in %s", line))
	}
	if len(added) > 0 {
		a.advise("regkey: a key among these that you don't know is a thief's: \"regkey revoke ID\" ends it")
	}
	return err
}
