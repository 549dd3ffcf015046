// What versions of a keyset change, in words and in JSON.

package main

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// versionFacts is one version.
type versionFacts struct {
	Version int           `json:"version"`
	Issued  string        `json:"issued"`
	Signers []string      `json:"signers"` // ids
	Added   []entryFacts  `json:"added,omitzero"`
	Changed []changeFacts `json:"changed,omitzero"`
	Removed []entryFacts  `json:"removed,omitzero"`
	Revoked []string      `json:"revoked,omitzero"`
	Closed  bool          `json:"closed,omitzero"`

	enrolled []string // the ids of Added, whatever is shown of them
}

type entryFacts struct {
	Name   string   `json:"name,omitzero"`  // on this machine, or its label here
	Label  string   `json:"label,omitzero"` // of a key that has a name on this machine, too
	ID     string   `json:"id"`
	Can    []string `json:"can"`
	Crates []string `json:"crates,omitzero"`
	Until  string   `json:"until,omitzero"`
}

// called is the key's name, and its label if it has both.
func (e entryFacts) called() string {
	if e.Label == "" {
		return e.Name
	}
	return e.Name + " (" + e.Label + ")"
}

type changeFacts struct {
	Before entryFacts `json:"before"`
	After  entryFacts `json:"after"`
}

// describe says what the line of a keyset allows.
func (e entryFacts) describe() string {
	text := strings.Join(e.Can, ",")
	if len(e.Crates) > 0 {
		text += " (" + strings.Join(e.Crates, ",") + ")"
	}
	if e.Until != "" {
		text += " until " + e.Until
	}
	return text
}

// keyNames are what this machine calls the keys of an account: by their names in the store, else by
// their labels. A label that is also the name of a key here would stand for two: it is the name.
type keyNames struct {
	shown  map[string]string // by id
	here   map[string]string // ids by name in the store
	labels map[string]string // by id
}

func namesIn(store *keys.Store, e *enroll.Enrolment) keyNames {
	n := keyNames{shown: map[string]string{}, here: map[string]string{}, labels: e.Labels}
	records, _ := store.List() // what can't be read has no name here
	for _, r := range records {
		if n.here[r.Name] = ""; !r.Public.IsZero() {
			n.here[r.Name] = r.Public.ID().String()
			n.shown[n.here[r.Name]] = r.Name
		}
	}
	for id, label := range e.Labels {
		if _, taken := n.here[label]; n.shown[id] == "" && !taken {
			n.shown[id] = label
		}
	}
	return n
}

// A severalError is a label of more than one key.
type severalError struct {
	label string
	ids   []keys.ID
}

func (e *severalError) Error() string {
	return fmt.Sprintf("%s is the label of %d keys: %s", e.label, len(e.ids), strings.Join(ids(e.ids), ", "))
}

// find is the id of the key with that name, label or id. It refuses a label of several: which one is to
// end, say, is not left to chance.
func (n keyNames) find(key string) (keys.ID, error) {
	if id, err := keys.ParseID(key); err == nil {
		return id, nil
	}
	if id := n.here[key]; id != "" {
		return keys.ParseID(id)
	}
	called := n.labelled(key)
	switch len(called) {
	case 0:
		return keys.ID{}, advised(fmt.Errorf("there is no key %s: %w", key, fs.ErrNotExist), `"regkey keyset show" lists the keys and their ids`)
	case 1:
		return called[0], nil
	}
	return keys.ID{}, &severalError{key, called}
}

// labelled are the keys with that label.
func (n keyNames) labelled(label string) (called []keys.ID) {
	for text, other := range n.labels {
		if id, err := keys.ParseID(text); err == nil && label != "" && other == label {
			called = append(called, id)
		}
	}
	slices.SortFunc(called, keys.ID.Compare)
	return called
}

// label is what a key of this machine is called beside its name.
func (n keyNames) label(id string) string {
	if n.labels[id] == n.shown[id] {
		return ""
	}
	return n.labels[id]
}

// full is the name and the id.
func (n keyNames) full(id string) string {
	if name := n.shown[id]; name != "" {
		return name + " (" + id + ")"
	}
	return id
}

// all names several keys.
func (n keyNames) all(ids []string) string {
	var shown []string
	for _, id := range ids {
		if n.shown[id] != "" {
			id = n.shown[id]
		}
		shown = append(shown, id)
	}
	return strings.Join(shown, ", ")
}

// signers names who signed a version. In the first one that is the key and an invite code, which is no key of
// the account.
func (n keyNames) signers(v versionFacts) string {
	var shown []string
	for _, id := range v.Signers {
		if v.Version == 1 && !slices.Contains(v.enrolled, id) {
			shown = append(shown, "an invite code")
			continue
		}
		shown = append(shown, n.all([]string{id}))
	}
	return strings.Join(shown, ", ")
}

func (n keyNames) end(r endFacts) string {
	if r.ID == "" {
		return ""
	}
	by := "itself"
	if r.By != r.ID {
		by = n.all([]string{r.By})
	}
	return ": " + r.Reason + ", by " + by
}

func (n keyNames) entry(e enroll.Entry) entryFacts {
	id := e.Key.ID().String()
	return entryFacts{n.shown[id], n.label(id), id, e.Can.Names(), e.Crates, moment(e.Until)}
}

func (n keyNames) version(c enroll.Change) versionFacts {
	v := versionFacts{Version: c.Version, Issued: moment(c.Issued), Signers: ids(c.Signers), Revoked: ids(c.Revoked), Closed: c.Closed}
	for _, e := range c.Added {
		v.Added = append(v.Added, n.entry(e))
		v.enrolled = append(v.enrolled, e.Key.ID().String())
	}
	for _, e := range c.Changed {
		v.Changed = append(v.Changed, changeFacts{n.entry(e.Before), n.entry(e.After)})
	}
	for _, e := range c.Removed {
		v.Removed = append(v.Removed, n.entry(e))
	}
	return v
}

func ids(all []keys.ID) (texts []string) {
	for _, id := range all {
		texts = append(texts, id.String())
	}
	return texts
}

// lines say what a version changes, one for each key. ended are the revocations that are known.
func (n keyNames) lines(v versionFacts, ended map[string]endFacts) (lines []string) {
	line := func(format string, values ...any) { lines = append(lines, fmt.Sprintf(format, values...)) }
	for _, e := range v.Added {
		line("added    %s: may %s", n.full(e.ID), e.describe())
	}
	for _, c := range v.Changed {
		line("changed  %s: may %s, instead of %s", n.full(c.After.ID), c.After.describe(), c.Before.describe())
	}
	for _, e := range v.Removed {
		line("removed  %s", n.full(e.ID))
	}
	for _, id := range v.Revoked {
		line("revoked  %s%s", n.full(id), n.end(ended[id]))
	}
	if v.Closed {
		line("closed   the account has ended")
	}
	return lines
}

// maxNoticed is how many versions are told one by one.
const maxNoticed = 5

// noticed says that others have changed the account's keys since this machine looked last. A thief of a key that
// manages would let a key of his own in, and the registry does as it should then: a person has to know.
func (a *app) noticed(home, index, account string, changes []enroll.Change) {
	e, err := enroll.LookupAccount(home, index, account)
	if err != nil {
		return // said by whatever else reads it
	}
	names := namesIn(a.store(home), e)
	if more := len(changes) - maxNoticed; more > 0 {
		a.say("regkey: %s at %s has changed by %s: \"regkey history --registry %s\" shows all; the last are", e.Account, label(e), count(len(changes), "version"), label(e))
		changes = changes[more:]
	}
	for _, c := range changes {
		v := names.version(c)
		v.Signers = slices.DeleteFunc(v.Signers, func(id string) bool { return slices.Contains(v.enrolled, id) }) // those managed
		a.say("regkey: %s at %s has changed: version %d, %s, signed by %s", e.Account, label(e), v.Version, v.Issued, names.signers(v))
		for _, line := range names.lines(v, nil) {
			a.say("        %s", line)
		}
	}
	a.advise("        if that was neither you nor somebody with whom you share the account: \"regkey revoke KEY --reason compromised\",")
	a.advise("        for the key that signed and for those that it added")
}
