// regkey history: an account's keys over time.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

type historyOptions struct {
	registry, account, key string
	since                  time.Time
	json                   bool
}

func (a *app) historyCommand() *cli.Command {
	return &cli.Command{
		Name:  "history",
		Usage: "show who changed the account's keys, and when",
		Description: `Shows every version of the account's keyset: which keys it brought, changed, took out or
ended, and which keys signed it. All versions are fetched and verified from the first one on,
and they must lead to what this machine has verified before.

With --key it shows that key alone, and what the registry says the key has published, from
--since on.

Examples:
   regkey history --registry lab
   regkey history --registry lab --json
   regkey history --registry lab --key laptop --since 2026-11-20`,
		Flags: []cli.Flag{
			registryFlag(), accountFlag(),
			&cli.StringFlag{Name: "key", Usage: "only the `KEY` of that name, label or id, and what it has published"},
			sinceFlag("with --key: list what was published from the `TIME` on"),
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			o := historyOptions{registry: c.String("registry"), account: c.String("account"), key: c.String("key"), json: c.Bool("json")}
			var err error
			if o.since, err = parseSince(c.String("since"), a.now()); err != nil {
				return err
			}
			if !o.since.IsZero() && o.key == "" {
				return usage("--since goes with --key: whose crates shall be listed?")
			}
			return a.runHistory(c.Context, o)
		},
	}
}

// historyFacts is the timeline in JSON.
type historyFacts struct {
	Registry string         `json:"registry"`
	Index    string         `json:"index"`
	Account  string         `json:"account"`
	Versions []versionFacts `json:"versions"`
	// Revocations are all that this machine knows. A keyset names them from its next version on.
	Revocations []endFacts      `json:"revocations"`
	Published   *publishedFacts `json:"published,omitzero"` // with --key
}

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
	Name   string   `json:"name,omitzero"` // on this machine, or its label here
	ID     string   `json:"id"`
	Can    []string `json:"can"`
	Crates []string `json:"crates,omitzero"`
	Until  string   `json:"until,omitzero"`
}

type changeFacts struct {
	Before entryFacts `json:"before"`
	After  entryFacts `json:"after"`
}

// endFacts is one revocation.
type endFacts struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
	By     string `json:"by"` // the id of the key that signed it
}

func (a *app) runHistory(ctx context.Context, o historyOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) error {
		e, err := a.enrolmentOf(ctx, home, o.registry, o.account, o.key)
		if err != nil {
			return err
		}
		life, client := a.lifecycleOf(home, e)
		changes, err := life.History(ctx)
		if err != nil {
			return err
		}
		names := namesIn(life.Keys, e)
		f := historyFacts{Registry: e.Name, Index: e.Index, Account: e.Account, Versions: []versionFacts{}, Revocations: []endFacts{}}
		revocations, err := life.State().Revocations()
		if err != nil {
			return err
		}
		for _, r := range revocations {
			f.Revocations = append(f.Revocations, endFacts{r.Key.String(), string(r.Reason), r.Signer().String()})
		}
		for _, c := range changes {
			f.Versions = append(f.Versions, names.version(c))
		}
		if o.key != "" {
			id, err := names.find(o.key)
			if err != nil {
				return err
			}
			f.only(id.String())
			if f.Published, err = published(ctx, client, id, o.since); err != nil {
				return err
			}
		}
		if o.json {
			return a.printJSON(f)
		}
		return a.printHistory(names, f)
	})
}

// only leaves what is about the key.
func (f *historyFacts) only(id string) {
	about := func(e entryFacts) bool { return e.ID != id }
	for i := range f.Versions {
		v := &f.Versions[i]
		v.Added, v.Removed = slices.DeleteFunc(v.Added, about), slices.DeleteFunc(v.Removed, about)
		v.Changed = slices.DeleteFunc(v.Changed, func(c changeFacts) bool { return c.After.ID != id })
		v.Revoked = slices.DeleteFunc(v.Revoked, func(other string) bool { return other != id })
	}
	f.Versions = slices.DeleteFunc(f.Versions, func(v versionFacts) bool {
		return len(v.Added)+len(v.Removed)+len(v.Changed)+len(v.Revoked) == 0 && !slices.Contains(v.Signers, id)
	})
	f.Revocations = slices.DeleteFunc(f.Revocations, func(r endFacts) bool { return r.ID != id })
}

func (a *app) printHistory(names keyNames, f historyFacts) error {
	var err error
	line := func(format string, values ...any) { err = errors.Join(err, a.printLine(format, values...)) }
	ended := map[string]endFacts{}
	for _, r := range f.Revocations {
		ended[r.ID] = r
	}
	for _, v := range f.Versions {
		line("version %d  %s  signed by %s", v.Version, v.Issued, names.signers(v))
		for _, e := range v.Added {
			line("   added    %s: may %s", names.full(e.ID), e.describe())
		}
		for _, c := range v.Changed {
			line("   changed  %s: may %s, instead of %s", names.full(c.After.ID), c.After.describe(), c.Before.describe())
		}
		for _, e := range v.Removed {
			line("   removed  %s", names.full(e.ID))
		}
		for _, id := range v.Revoked {
			line("   revoked  %s%s", names.full(id), names.end(ended[id]))
			delete(ended, id)
		}
		if v.Closed {
			line("   closed   the account has ended")
		}
	}
	for _, r := range f.Revocations {
		if _, open := ended[r.ID]; open && !slices.ContainsFunc(f.Versions, func(v versionFacts) bool { return slices.Contains(v.Revoked, r.ID) }) {
			line("since then  revoked %s%s; the next version will name it", names.full(r.ID), names.end(r))
		}
	}
	if f.Published != nil {
		err = errors.Join(err, a.printPublished(f.Published))
	}
	return err
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
// their labels.
type keyNames map[string]string

func namesIn(store *keys.Store, e *enroll.Enrolment) keyNames {
	names := keyNames{}
	for id, label := range e.Labels {
		names[id] = label
	}
	records, _ := store.List() // what can't be read has no name here
	for _, r := range records {
		if !r.Public.IsZero() {
			names[r.Public.ID().String()] = r.Name
		}
	}
	return names
}

// find is the id of the key with that name, label or id.
func (n keyNames) find(key string) (keys.ID, error) {
	if id, err := keys.ParseID(key); err == nil {
		return id, nil
	}
	for id, name := range n {
		if name == key {
			return keys.ParseID(id)
		}
	}
	return keys.ID{}, advised(fmt.Errorf("there is no key %s: %w", key, fs.ErrNotExist), `"regkey keyset show" lists the keys and their ids`)
}

// full is the name and the id.
func (n keyNames) full(id string) string {
	if name := n[id]; name != "" {
		return name + " (" + id + ")"
	}
	return id
}

// all names several keys.
func (n keyNames) all(ids []string) string {
	var shown []string
	for _, id := range ids {
		if n[id] != "" {
			id = n[id]
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
	return entryFacts{n[id], id, e.Can.Names(), e.Crates, moment(e.Until)}
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
