// regkey keyset edit: narrowing, prolonging and retiring a key, and what it is called here.

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

type keysetEditOptions struct {
	edit                       enroll.EditOptions
	registry, account, file    string
	label                      *string
	changesKeyset, yes, asJSON bool
}

func (a *app) keysetEditCommand() *cli.Command {
	return &cli.Command{
		Name:      "edit",
		Usage:     "change what a key may do, for which crates and until when, or retire it",
		ArgsUsage: "KEY",
		Description: `Changes one key's line in the keyset: KEY is its name here, its label or its id. What no flag
names stays as it is. A key that manages signs. The last one that manages stays one, and a key
that manages has no end. A key that manages can widen its own line: --crates keeps it from
mistakes, and does not bind whoever has the key.

--retire takes the key out without ending it for ever: it may be enrolled again. A key that
was lost is revoked instead. --label is what this machine calls the key; no registry hears of
it.

Examples:
   regkey keyset edit ci --can publish --crates 'foo-*' --until 90d
   regkey keyset edit ci --crates '*' --until never
   regkey keyset edit k4.pid.9ShR3xc8-qVJ_di0tc9nx0IDIqbatdeM2mqLFBJsKRHs --label desk
   regkey keyset edit desk --retire --yes`,
		Flags: []cli.Flag{
			registryFlag(), accountFlag(),
			&cli.StringFlag{Name: "label", Usage: "what this machine calls the key: a `NAME`, or \"\" for none"},
			&cli.StringFlag{Name: "can", Usage: "what the key may do: a `LIST` of manage,publish,yank,owners,read"},
			&cli.StringFlag{Name: "crates", Usage: "the crates for that: a `LIST` of names, with * at the end; * for every crate"},
			&cli.StringFlag{Name: "until", Usage: "when the key ends: a `TIME` like 2027-01-31 or 90d, or never"},
			&cli.BoolFlag{Name: "retire", Usage: "take the key out of the keyset"},
			&cli.StringFlag{Name: "with", Usage: "the managing `KEY` that signs (one that is here)"},
			withFileFlag(), yesFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			o, err := a.keysetEditOptions(c)
			if err != nil {
				return err
			}
			return a.runKeysetEdit(c.Context, o)
		},
	}
}

func (a *app) keysetEditOptions(c *cli.Context) (o keysetEditOptions, err error) {
	o = keysetEditOptions{
		edit:     enroll.EditOptions{Retire: c.Bool("retire"), With: c.String("with")},
		registry: c.String("registry"), account: c.String("account"), file: c.String("with-file"), yes: c.Bool("yes"), asJSON: c.Bool("json"),
	}
	if o.edit.Key, err = oneArgument(c, "KEY"); err != nil {
		return o, err
	}
	if o.edit.Can, err = enroll.CanOf(list(c.String("can"))...); err != nil {
		return o, usage("reading --can: %w", err)
	}
	if c.IsSet("crates") {
		crates := list(c.String("crates"))
		if len(crates) == 1 && crates[0] == "*" {
			crates = []string{}
		}
		if err := enroll.CheckCrates(crates); err != nil || c.String("crates") == "" {
			return o, usage("reading --crates: %w", errors.Join(err, errors.New("name crates, or * for every one")))
		}
		o.edit.Crates = &crates
	}
	if o.edit.Until, err = a.parseEnd(c.String("until")); err != nil {
		return o, err
	}
	if c.IsSet("label") {
		text := c.String("label")
		if err := enroll.CheckLabel(text); err != nil {
			return o, usage("reading --label: %w", err)
		}
		o.label = &text
	}
	o.changesKeyset = o.edit.Can != 0 || o.edit.Crates != nil || o.edit.Until != nil || o.edit.Retire
	switch {
	case o.edit.Key == "":
		return o, usage("KEY is missing: the name of a key, its label or its id")
	case o.edit.Retire && (o.edit.Can != 0 || o.edit.Crates != nil || o.edit.Until != nil):
		return o, usage("--retire takes the key out: --can, --crates and --until don't go with it")
	case !o.changesKeyset && o.label == nil:
		return o, usage("what is to be changed? give --can, --crates, --until, --retire or --label")
	case o.edit.With != "" && o.file != "":
		return o, usage("--with and --with-file: one key signs")
	}
	return o, nil
}

// parseEnd reads a time as parseUntil does, or "never"; "" is nil.
func (a *app) parseEnd(text string) (*time.Time, error) {
	switch text {
	case "":
		return nil, nil
	case "never":
		return &time.Time{}, nil
	}
	until, err := parseUntil(text, a.now())
	return &until, err
}

func (a *app) runKeysetEdit(ctx context.Context, o keysetEditOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) error {
		e, err := a.enrolmentOf(ctx, home, o.registry, o.account, o.edit.Key)
		if err != nil {
			return err
		}
		if _, err := a.openWithFile(ctx, a.store(home), o.file); err != nil {
			return err
		}
		if o.edit.With != "" {
			if _, err := a.lookup(ctx, a.store(home), o.edit.With); err != nil {
				return err
			}
		}
		life, _ := a.lifecycleOf(home, e)
		id, err := namesIn(life.Keys, e).find(o.edit.Key)
		if err != nil {
			return err
		}
		if _, err := life.Keys.Lookup(o.edit.Key); err != nil {
			o.edit.Key = id.String() // a label
		}
		if o.changesKeyset {
			if err := a.editKeyset(ctx, life, e, o); err != nil {
				return err
			}
		}
		if o.label == nil {
			return nil
		}
		if err := life.Label(id, *o.label); err != nil {
			return err
		}
		a.sayOthersCalled(namesIn(life.Keys, e), id, *o.label)
		if o.changesKeyset {
			return nil
		}
		if o.asJSON {
			return a.printJSON(map[string]string{"registry": e.Name, "index": e.Index, "account": e.Account, "id": id.String(), "label": *o.label})
		}
		return a.printFacts(fact{"label", *o.label}, fact{"key", id.String()})
	})
}

// editKeyset shows what would change, has it signed and reports it.
func (a *app) editKeyset(ctx context.Context, life *enroll.Lifecycle, e *enroll.Enrolment, o keysetEditOptions) error {
	plan, err := life.PlanEdit(ctx, o.edit)
	if err != nil {
		return err
	}
	names := namesIn(life.Keys, e)
	if !plan.Done && !o.yes {
		a.say("registry  %s", label(e))
		a.say("account   %s", plan.Account)
		a.say("key       %s", names.full(plan.ID.String()))
		a.say("now       may %s", names.entry(plan.Before).describe())
		if o.edit.Retire {
			a.say("then      it is trusted no more")
		} else {
			a.say("then      may %s", names.entry(plan.After).describe())
		}
		a.say("signed by %s", plan.With)
		a.sayUnbounded(names.entry(plan.After))
		if err := a.confirm(ctx, "Change the keyset so?"); err != nil {
			return err
		}
	}
	a.purpose = "change what " + names.all([]string{plan.ID.String()}) + " may do at " + label(e)
	done, err := plan.Run(ctx)
	if err != nil {
		return err
	}
	return a.reportEdit(e, plan, done, names, o)
}

// editFacts is the outcome in JSON.
type editFacts struct {
	Registry string     `json:"registry"`
	Index    string     `json:"index"`
	Account  string     `json:"account"`
	Key      entryFacts `json:"key"`
	Retired  bool       `json:"retired"`
	Already  bool       `json:"already"` // nothing was to be done
	Version  int        `json:"version"`
	Signs    string     `json:"signs,omitzero"` // the key that signs here
}

func (a *app) reportEdit(e *enroll.Enrolment, plan *enroll.EditPlan, done *enroll.EditedKey, names keyNames, o keysetEditOptions) error {
	f := editFacts{
		Registry: e.Name, Index: e.Index, Account: done.Account, Retired: o.edit.Retire, Already: plan.Done, Version: done.Version, Signs: done.Signs,
		Key: entryFacts{Name: names.shown[done.Key.String()], ID: done.Key.String(), Can: []string{}},
	}
	if !o.edit.Retire {
		f.Key = names.entry(done.Entry)
	}
	if o.asJSON {
		return a.printJSON(f)
	}
	what := map[bool]string{false: "edited", true: "retired"}[o.edit.Retire]
	if plan.Done {
		what += " already"
	}
	facts := []fact{{what, names.full(f.Key.ID) + " at " + label(e)}, {"account", f.Account}, {"may", strings.Join(f.Key.Can, ",")}}
	if !f.Retired {
		facts = append(facts, fact{"crates", every(f.Key.Crates)}, fact{"until", orNever(f.Key.Until)})
	}
	err := a.printFacts(append(facts, fact{"keyset", fmt.Sprintf("version %d", f.Version)})...)
	if o.yes {
		a.sayUnbounded(f.Key)
	}
	if done.Signs == "" {
		a.say("regkey: no key of this machine signs for %s any more", label(e))
	}
	return err
}

// sayOthersCalled says that a label is not enough to name the key, as another one is called so too.
func (a *app) sayOthersCalled(names keyNames, id keys.ID, label string) {
	others := slices.DeleteFunc(names.labelled(label), func(other keys.ID) bool { return other == id })
	if here := names.here[label]; here != "" && here != id.String() {
		a.say("regkey: %s is also the name of a key of this machine, and commands take it for that one: give the id of this key", label)
	} else if len(others) > 0 {
		a.say("regkey: %s is also the label of %s: commands want the id of the one that is meant", label, strings.Join(ids(others), ", "))
	}
}
