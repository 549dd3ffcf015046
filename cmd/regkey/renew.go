// regkey renew: keys whose time ends soon go on.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

type renewOptions struct {
	keys              []string
	registry, account string
	within            time.Duration
	until             time.Time
	file              string
	yes, json         bool
}

// renewWithin is how long before its end a key is worth a word: the default of renew, and of status.
const renewWithin = 14 * 24 * time.Hour

func (a *app) renewCommand() *cli.Command {
	return &cli.Command{
		Name:      "renew",
		Usage:     "have keys whose time ends soon go on",
		ArgsUsage: "[KEY…]",
		Description: `Puts off the end of keys that end within 14 days, or have ended, to 90 days from now. Without
KEY these are the keys that sign on this machine. Other keys of the account are named where
they end soon too, and renewed only when they are given: a key may end because somebody wants
it to, as after a rotation with an overlap. None is given an end before the one that it has. A
key that manages signs.

For cron: "regkey status --check" exits with 6 where a key ends within 14 days.

Examples:
   regkey renew
   regkey renew --within 30d --until 180d --yes
   regkey renew ci --registry lab --until 2027-06-30`,
		Flags: []cli.Flag{
			registryFlag(), everyAccountFlag(),
			&cli.StringFlag{Name: "within", Value: "14d", Usage: "which keys: those that end within the `TIME`"},
			&cli.StringFlag{Name: "until", Value: "90d", Usage: "their new end: a `TIME` like 2027-01-31 or 90d"},
			withFileFlag(), yesFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			o := renewOptions{
				keys: c.Args().Slice(), registry: c.String("registry"), account: c.String("account"), file: c.String("with-file"),
				yes: c.Bool("yes"), json: c.Bool("json"),
			}
			var err error
			if o.within, err = parseDuration(c.String("within")); err != nil || o.within < 0 {
				return usage("reading --within %.40q: not a time like 14d or 24h", c.String("within"))
			}
			if o.until, err = parseUntil(c.String("until"), a.now()); err != nil {
				return err
			}
			if o.account != "" && o.registry == "" {
				return usage("--account goes with --registry")
			}
			return a.runRenew(c.Context, o)
		},
	}
}

// A renewal is one key at one registry.
type renewal struct {
	e    *enroll.Enrolment
	life *enroll.Lifecycle
	due  enroll.Due
	name string
}

// renewedFacts is one renewal in JSON.
type renewedFacts struct {
	Registry string `json:"registry"`
	Index    string `json:"index"`
	Account  string `json:"account"`
	Key      string `json:"key,omitzero"`
	ID       string `json:"id"`
	Was      string `json:"was"`
	Until    string `json:"until"`
	Version  int    `json:"version"`
}

func (a *app) runRenew(ctx context.Context, o renewOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) error {
		if _, err := a.openWithFile(ctx, a.store(home), o.file); err != nil {
			return err
		}
		found, failures, err := a.renewals(ctx, home, o)
		if err != nil {
			return err
		}
		all := found.due
		done := []renewedFacts{}
		if len(all) > 0 {
			if err := a.confirmRenewal(ctx, all, o); err != nil {
				return errors.Join(failures, err)
			}
		} else if !o.json && failures == nil {
			return a.printLine("nothing to renew: %s", found.none(o))
		}
		for _, r := range all {
			f, err := a.renew(ctx, r, o)
			if err != nil {
				failures = errors.Join(failures, err)
				continue
			}
			done = append(done, f)
			if !o.json {
				failures = errors.Join(failures, a.printFacts(fact{"renewed", r.name + " at " + label(r.e)},
					fact{"until", f.Until}, fact{"keyset", fmt.Sprintf("version %d", f.Version)}))
			}
		}
		if o.json {
			failures = errors.Join(a.printJSON(done), failures)
		}
		return failures
	})
}

// found is what there is to renew.
type found struct {
	due    []renewal
	listed map[string]bool // of the keys that were named
	longer bool            // some go on for longer than they would
}

// none says why there is nothing to renew.
func (f found) none(o renewOptions) string {
	switch {
	case f.longer:
		return "no key would go on for longer than it does"
	case len(o.keys) > 0:
		return "these keys have no end"
	}
	return "no key that signs here ends within " + days(o.within)
}

func days(d time.Duration) string {
	if d%(24*time.Hour) == 0 && d > 0 {
		return count(int(d/(24*time.Hour)), "day")
	}
	return d.String()
}

// span is how near an end must be: any is near enough of a key that was named.
func (o renewOptions) span() time.Duration {
	if len(o.keys) > 0 {
		return 200 * 365 * 24 * time.Hour
	}
	return o.within
}

// renewals are the keys to be renewed. What else ends soon is spoken of. A registry that can't be asked does not
// keep the keys of the others from going on.
func (a *app) renewals(ctx context.Context, home string, o renewOptions) (f found, failures, err error) {
	enrolments, err := a.syncTargets(ctx, home, syncOptions{registry: o.registry, account: o.account})
	if err != nil {
		return f, nil, err
	}
	f.listed = map[string]bool{}
	for _, e := range enrolments {
		nothingSigns := !slices.ContainsFunc(operations, func(op string) bool { return e.KeyFor(op) != "" })
		if nothingSigns && len(o.keys) == 0 {
			continue
		}
		life, _ := a.lifecycleOf(home, e)
		_, err := life.Sync(ctx)
		switch {
		case ctx.Err() != nil:
			return f, nil, errCancelled
		case err != nil && nothingSigns:
			continue // it may show nothing to a machine that has no key there any more
		case err != nil:
			failures = errors.Join(failures, fmt.Errorf("asking %s: %w", where(e, enrolments), err))
			continue
		}
		named, err := a.namedThere(life, e, o.keys, f.listed)
		if err != nil {
			return f, nil, err
		}
		due, err := life.Due(o.span())
		if err != nil {
			return f, nil, err
		}
		f.choose(a, life, e, due, named, o)
	}
	for _, key := range o.keys {
		if !f.listed[key] && failures == nil {
			at := ""
			if o.registry != "" {
				at = " at " + o.registry
			}
			return f, nil, advised(fmt.Errorf("renewing %s: no account of this machine%s lists it: %w", key, at, fs.ErrNotExist), `"regkey status" lists the keys`)
		}
	}
	return f, failures, nil
}

// namedThere are those of the keys, by name, label or id, that the account lists; listed notes for which that was so.
func (a *app) namedThere(life *enroll.Lifecycle, e *enroll.Enrolment, named []string, listed map[string]bool) ([]string, error) {
	names := namesIn(life.Keys, e)
	var there []string
	for _, key := range named {
		var several *severalError
		id, err := names.find(key)
		switch {
		case errors.As(err, &several) && slices.ContainsFunc(several.ids, func(id keys.ID) bool { return a.isListed(life, id.String()) }):
			return nil, err
		case err == nil && a.isListed(life, id.String()):
			listed[key] = true
			there = append(there, id.String())
		}
	}
	return there, nil
}

// choose adds those of the keys that end which are to go on: those that were named, or else those that sign
// here. None is renewed to an end before the one that it has.
func (f *found) choose(a *app, life *enroll.Lifecycle, e *enroll.Enrolment, due []enroll.Due, named []string, o renewOptions) {
	names := namesIn(life.Keys, e)
	for _, d := range due {
		id := d.Entry.Key.ID().String()
		r := renewal{e, life, d, names.all([]string{id})}
		meant := slices.Contains(named, id) || len(o.keys) == 0 && signsFor(e, d.Name)
		switch {
		case meant && d.Entry.Until.After(o.until):
			f.longer = true
			a.say("regkey: %s at %s goes on until %s as it is; \"regkey keyset edit %s --until TIME\" would shorten that", r.name, label(e), moment(d.Entry.Until), r.name)
		case meant:
			f.due = append(f.due, r)
		case len(o.keys) == 0:
			a.say("regkey: %s at %s %s too; \"regkey renew %s\" renews it", r.name, label(e), ending(d, moment(d.Entry.Until)), r.name)
		}
	}
}

func (a *app) isListed(life *enroll.Lifecycle, id string) bool {
	k, err := life.State().Keyset()
	return err == nil && slices.ContainsFunc(k.Keys, func(e enroll.Entry) bool { return e.Key.ID().String() == id })
}

// signsFor reports whether the key of that name signs anything there.
func signsFor(e *enroll.Enrolment, name string) bool {
	return name != "" && slices.ContainsFunc(operations, func(op string) bool { return e.KeyFor(op) == name })
}

func ending(d enroll.Due, until string) string {
	if d.Ended {
		return "ended " + until
	}
	return "ends " + until
}

func (a *app) confirmRenewal(ctx context.Context, all []renewal, o renewOptions) error {
	if o.yes {
		return nil
	}
	for _, r := range all {
		a.say("%s at %s %s", r.name, label(r.e), ending(r.due, moment(r.due.Entry.Until)))
	}
	return a.confirm(ctx, fmt.Sprintf("Have them go on until %s?", moment(o.until)))
}

func (a *app) renew(ctx context.Context, r renewal, o renewOptions) (renewedFacts, error) {
	id := r.due.Entry.Key.ID()
	a.purpose = fmt.Sprintf("have %s go on at %s", r.name, label(r.e))
	plan, err := r.life.PlanEdit(ctx, enroll.EditOptions{Key: id.String(), Until: &o.until})
	if err != nil {
		return renewedFacts{}, err
	}
	done, err := plan.Run(ctx)
	if err != nil {
		return renewedFacts{}, fmt.Errorf("renewing %s at %s: %w", r.name, label(r.e), err)
	}
	return renewedFacts{
		r.e.Name, r.e.Index, done.Account, r.due.Name, id.String(), moment(r.due.Entry.Until), moment(done.Entry.Until), done.Version,
	}, nil
}
