// regkey history: an account's keys over time.

package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/urfave/cli/v2"
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
		for _, text := range names.lines(v, ended) {
			line("   %s", text)
		}
		for _, id := range v.Revoked {
			delete(ended, id)
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
