// regkey sync: bringing this machine up to date, and a registry that has lost something.

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
)

type syncOptions struct {
	registry, account string
	json              bool
}

func (a *app) syncCommand() *cli.Command {
	return &cli.Command{
		Name:  "sync",
		Usage: "fetch what is new, and give a registry back what it lost",
		Description: `Fetches the account's keyset and revocations and verifies them. A registry that was restored
from a backup shows an older keyset: it gets back, as they were signed, the versions and the
revocations that it lacks and this machine holds. That happens only where what it shows is the
beginning of what this machine has verified; anything else is refused, and nothing is sent.

Without --registry it does so at every registry, and without --account for each account that
this machine has there.

Examples:
   regkey sync
   regkey sync --registry lab`,
		Flags: []cli.Flag{registryFlag(), everyAccountFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			o := syncOptions{c.String("registry"), c.String("account"), c.Bool("json")}
			if o.account != "" && o.registry == "" {
				return usage("--account goes with --registry")
			}
			return a.runSync(c.Context, o)
		},
	}
}

// syncedFacts is what became of one account, in JSON.
type syncedFacts struct {
	Registry    string `json:"registry"`
	Index       string `json:"index"`
	Account     string `json:"account"`
	Found       int    `json:"found"`       // the version that the registry showed; 0: it knew none
	Version     int    `json:"version"`     // that stands now
	Pushed      int    `json:"pushed"`      // versions that it got back
	Revocations int    `json:"revocations"` // that it got back
}

func (a *app) runSync(ctx context.Context, o syncOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) error {
		all, err := a.syncTargets(ctx, home, o)
		if err != nil {
			return err
		}
		facts := []syncedFacts{}
		var failures error
		for _, e := range all {
			f, err := a.syncOne(ctx, home, e)
			if ctx.Err() != nil {
				return errCancelled
			}
			if err != nil {
				failures = errors.Join(failures, fmt.Errorf("syncing with %s: %w", label(e), err))
				continue
			}
			facts = append(facts, f)
			if !o.json {
				failures = errors.Join(failures, a.reportSync(e, f))
			}
		}
		if o.json {
			failures = errors.Join(a.printJSON(facts), failures)
		}
		return failures
	})
}

// syncTargets are the enrolments that have a keyset: all, those at one registry, or the one of an account there.
func (a *app) syncTargets(ctx context.Context, home string, o syncOptions) ([]*enroll.Enrolment, error) {
	index := ""
	if o.registry != "" {
		e, err := a.enrolmentAs(ctx, home, o.registry, o.account)
		if err != nil || o.account != "" || e.Manual {
			return []*enroll.Enrolment{e}, err
		}
		index = e.Index
	}
	listed, err := enroll.ListEnrolments(home)
	if err != nil {
		return nil, err
	}
	var all []*enroll.Enrolment
	for _, e := range listed {
		if !e.Manual && (index == "" || e.Index == index) {
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		return nil, advised(errors.New("this machine is enrolled nowhere"), `"regkey enroll --registry NAME" begins`)
	}
	return all, nil
}

func (a *app) syncOne(ctx context.Context, home string, e *enroll.Enrolment) (syncedFacts, error) {
	life, _ := a.lifecycleOf(home, e)
	before, err := life.Push(ctx)
	if err != nil {
		return syncedFacts{}, err
	}
	k, err := life.State().Keyset()
	if err != nil {
		return syncedFacts{}, err
	}
	return syncedFacts{
		Registry: e.Name, Index: e.Index, Account: e.Account, Found: before.From, Version: k.Version,
		Pushed: max(0, before.To-before.From), Revocations: before.Revocations,
	}, nil
}

func (a *app) reportSync(e *enroll.Enrolment, f syncedFacts) error {
	lines := []fact{{"synced", f.Account + " at " + label(e)}}
	if f.Pushed > 0 {
		found := "it knew no keyset of the account"
		if f.Found > 0 {
			found = fmt.Sprintf("it showed version %d", f.Found)
		}
		lines = append(lines, fact{"found", found + ": it was restored from a backup"})
		for v := f.Found + 1; v <= f.Found+f.Pushed; v++ {
			lines = append(lines, fact{"gave back", fmt.Sprintf("version %d", v)})
		}
	}
	if f.Revocations > 0 {
		lines = append(lines, fact{"gave back", count(f.Revocations, "revocation")})
	}
	return a.printFacts(append(lines, fact{"keyset", fmt.Sprintf("version %d", f.Version)})...)
}
