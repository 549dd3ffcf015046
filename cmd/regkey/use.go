// regkey use: which key signs what, and for which account.

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

type useOptions struct {
	key, registry, account string
	operations             []string
	back, json             bool
}

// operations are what a key can be chosen for.
var operations = []string{"publish", "yank", "owners", "read"}

func (a *app) useCommand() *cli.Command {
	return &cli.Command{
		Name:      "use",
		Usage:     "choose which key signs what",
		ArgsUsage: "KEY",
		Description: `Has another key of this machine sign what cargo sends to a registry: all of it, or with --for
some operations alone, such as a key that wants a touch for publishing and another one for
yanking. "yank" decides for unyanking too. --for yank --reset ends such a choice, and so does
a KEY for all of it.

With --account, cargo signs for that account from now on: this machine must be enrolled there
as it. The registry hears nothing of any of this.

Examples:
   regkey use yk --registry lab
   regkey use ci --registry lab --for yank,owners
   regkey use --registry lab --for yank,owners --reset
   regkey use --registry lab --account other-team`,
		Flags: []cli.Flag{
			registryFlag(),
			&cli.StringFlag{Name: "for", Usage: "a `LIST` of publish,yank,owners,read (all)"},
			&cli.BoolFlag{Name: "reset", Usage: "with --for: leave them to the key that signs the rest again"},
			&cli.StringFlag{Name: "account", Usage: "sign for the `ACCOUNT` from now on"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			o := useOptions{
				registry: c.String("registry"), account: c.String("account"), operations: list(c.String("for")),
				back: c.Bool("reset"), json: c.Bool("json"),
			}
			var err error
			if o.key, err = oneArgument(c, "KEY"); err != nil {
				return err
			}
			if err := o.check(); err != nil {
				return err
			}
			return a.runUse(c.Context, o)
		},
	}
}

func (o useOptions) check() error {
	for _, op := range o.operations {
		if !strings.Contains(" "+strings.Join(operations, " ")+" ", " "+op+" ") || op == "" {
			return usage("reading --for: unknown operation %.20q: known are %s", op, strings.Join(operations, ", "))
		}
	}
	switch {
	case o.back && (o.key != "" || len(o.operations) == 0):
		return usage("--reset goes with --for, and without a KEY")
	case len(o.operations) > 0 && o.key == "" && !o.back:
		return usage("KEY is missing: which key shall sign for %s?", strings.Join(o.operations, ", "))
	case o.key == "" && !o.back && o.account == "":
		return usage("KEY is missing: which key shall sign? or, with --account, for which account?")
	}
	return nil
}

func (a *app) runUse(ctx context.Context, o useOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) error {
		e, err := a.usedEnrolment(ctx, home, o)
		if err != nil {
			return err
		}
		life, _ := a.lifecycleOf(home, e)
		if o.key != "" || o.back {
			if err := a.useKey(ctx, life, e, o); err != nil {
				return err
			}
		}
		if o.account != "" {
			if err := enroll.Use(home, e.Index, o.account); err != nil {
				return err
			}
		}
		if e, err = enroll.LookupAccount(home, e.Index, e.Account); err != nil {
			return err
		}
		return a.reportUse(life, e, o)
	})
}

// usedEnrolment is the enrolment that is meant: without --registry and --account the one that the key belongs to, if
// cargo signs for its account.
func (a *app) usedEnrolment(ctx context.Context, home string, o useOptions) (*enroll.Enrolment, error) {
	if o.registry == "" && o.account == "" && o.key != "" {
		of, err := a.accountsOf(home, "", o.key)
		if err != nil {
			return nil, err
		}
		if len(of) == 1 {
			return a.enrolmentAs(ctx, home, of[0].Index, "")
		}
	}
	return a.enrolmentAs(ctx, home, o.registry, o.account)
}

func (a *app) useKey(ctx context.Context, life *enroll.Lifecycle, e *enroll.Enrolment, o useOptions) error {
	if o.key != "" {
		names := namesIn(life.Keys, e)
		if id, err := names.find(o.key); err == nil {
			name := names.shown[id.String()] // it may be given by its id, or by its label
			if names.here[name] != id.String() {
				return advised(fmt.Errorf("the key %v is not on this machine, so it can't sign here", id), `"regkey status" lists the keys that are`)
			}
			o.key = name
		}
		record, err := a.lookup(ctx, life.Keys, o.key)
		if err == nil && record.Protection == keys.Elsewhere {
			err = fmt.Errorf("key %s can't sign for cargo: %w", o.key, keys.ErrElsewhere)
		}
		if err != nil {
			return err
		}
		if of := a.otherAccount(life, e, o.key); of != "" {
			return advised(fmt.Errorf("%s is a key of the account %s at %s, not of %s", o.key, of, label(e), e.Account),
				fmt.Sprintf("\"regkey use %s --registry %s --account %s\" has cargo sign for that account", o.key, label(e), of))
		}
	}
	if len(o.operations) == 0 {
		return life.UseKey("", o.key)
	}
	for _, op := range o.operations {
		if err := life.UseKey(op, o.key); err != nil {
			return err
		}
	}
	return nil
}

// usedFacts is which key signs what, in JSON.
type usedFacts struct {
	Registry string            `json:"registry"`
	Index    string            `json:"index"`
	Account  string            `json:"account,omitzero"`
	Keys     map[string]string `json:"keys"` // by operation
}

func (a *app) reportUse(life *enroll.Lifecycle, e *enroll.Enrolment, o useOptions) error {
	f := usedFacts{e.Name, e.Index, e.Account, map[string]string{}}
	facts := []fact{{"registry", label(e)}, {"account", e.Account}}
	for _, op := range operations {
		f.Keys[op] = e.KeyFor(op)
		facts = append(facts, fact{op, e.KeyFor(op)})
		if entry, known := a.lineOf(life, e.KeyFor(op)); known && !slices.Contains(entry.Can.Names(), op) {
			a.say("regkey: %s may not %s there: \"regkey use KEY --registry %s --for %s\" has another key do it", e.KeyFor(op), operationWords[op], label(e), op)
		}
	}
	if o.json {
		return a.printJSON(f)
	}
	return a.printFacts(facts...)
}

// operationWords are what a key does, after "may" and "may not".
var operationWords = map[string]string{"publish": "publish", "yank": "yank", "owners": "change owners", "read": "read"}

// lineOf is the line that the keyset has for a key of this machine.
func (a *app) lineOf(life *enroll.Lifecycle, name string) (enroll.Entry, bool) {
	record, err := life.Keys.Lookup(name)
	if err != nil {
		return enroll.Entry{}, false
	}
	k, err := life.State().Keyset()
	if err != nil {
		return enroll.Entry{}, false // as of a registry that is enrolled by hand
	}
	return k.Entry(record.Public.ID())
}

// otherAccount is the account of the same registry that the key belongs to, if it is another one than e.
func (a *app) otherAccount(life *enroll.Lifecycle, e *enroll.Enrolment, name string) string {
	if _, listed := a.lineOf(life, name); listed || e.Manual {
		return ""
	}
	of, err := a.accountsOf(life.Home, e.Index, name)
	if err != nil || len(of) != 1 || of[0].Account == e.Account {
		return ""
	}
	return of[0].Account
}
