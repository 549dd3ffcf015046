// regkey keyset pins: what no registry can take back, and forgetting it on the user's word.

package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
)

type pinsOptions struct {
	registry, account, typed string
	reset, json              bool
}

func (a *app) keysetPinsCommand() *cli.Command {
	return &cli.Command{
		Name:  "pins",
		Usage: "show which keysets this machine holds registries to, or forget one",
		Description: `For each account this machine keeps the newest keyset that it has verified: its pin. A
registry that shows an older one, or another, is refused. Pins are shown without asking
anybody.

With --reset the pin of one account is set aside, and this machine is not enrolled there any
more: what the registry shows is believed anew at the next "regkey enroll". That is for
whoever knows from the registry's operator that the account was reset. It wants "reset
ACCOUNT" typed in full.

Examples:
   regkey keyset pins
   regkey keyset pins --json
   regkey keyset pins --reset --registry lab`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "reset", Usage: "forget what was verified of an account"},
			registryFlag(), accountFlag(),
			&cli.StringFlag{Name: "typed", Usage: "without a terminal: the `WORDS` that --reset asks for"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			o := pinsOptions{c.String("registry"), c.String("account"), c.String("typed"), c.Bool("reset"), c.Bool("json")}
			switch {
			case !o.reset && (o.registry != "" || o.account != "" || o.typed != ""):
				return usage("--registry, --account and --typed go with --reset")
			case o.reset && o.registry == "":
				return usage("--registry is missing: whose pin is to be forgotten?")
			case o.reset:
				return a.runResetPin(c.Context, o)
			}
			return a.runPins(o)
		},
	}
}

// pinFacts is one pin in JSON.
type pinFacts struct {
	Index       string   `json:"index"`
	Former      []string `json:"former,omitzero"`
	Account     string   `json:"account"`
	InUse       bool     `json:"in-use"`
	Version     int      `json:"version"`
	Hash        string   `json:"hash"`
	Issued      string   `json:"issued"`
	Since       string   `json:"since"` // when this machine was enrolled
	Held        int      `json:"held"`  // versions that this machine has copies of
	Revocations int      `json:"revocations"`
}

func (a *app) runPins(o pinsOptions) error {
	home, err := a.home()
	if err != nil {
		return err
	}
	pins, err := enroll.ShowPins(home)
	if err != nil {
		return err
	}
	all := []pinFacts{}
	for _, p := range pins {
		all = append(all, pinFacts{
			p.Index, p.Former, p.Account, p.InUse, p.Version, p.Hash.String(), moment(p.Issued), moment(p.Since), p.Held, p.Revocations,
		})
	}
	if o.json {
		return a.printJSON(all)
	}
	if len(all) == 0 {
		return a.printLine("no pins: this machine is enrolled nowhere")
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	row(w, "ACCOUNT", "VERSION", "ISSUED", "HASH", "INDEX")
	for _, p := range all {
		row(w, p.Account, fmt.Sprint(p.Version), p.Issued, p.Hash, p.Index)
	}
	return w.Flush()
}

func (a *app) runResetPin(ctx context.Context, o pinsOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) error {
		e, err := a.enrolmentAs(ctx, home, o.registry, o.account)
		if err != nil {
			return err
		}
		if e.Manual {
			return enroll.ErrManual
		}
		if err := a.confirmReset(ctx, e, o); err != nil {
			return err
		}
		life, _ := a.lifecycleOf(home, e)
		aside, err := life.ResetPins()
		if err != nil {
			return err
		}
		if o.json {
			return a.printJSON(map[string]string{"index": e.Index, "account": e.Account, "aside": aside})
		}
		err = a.printFacts(fact{"forgotten", e.Account + " at " + label(e)}, fact{"set aside", aside})
		a.advise("regkey: \"regkey enroll --registry %s --account %s\" begins anew", label(e), e.Account)
		return err
	})
}

// confirmReset wants it typed in full what is about to happen.
func (a *app) confirmReset(ctx context.Context, e *enroll.Enrolment, o pinsOptions) error {
	words := "reset " + e.Account
	if o.typed != "" && o.typed != words {
		return usage("--typed %q: it wants %q", o.typed, words)
	}
	if o.typed == words {
		return nil
	}
	if !a.terminal {
		return advised(&missingError{"your word for it", ""}, fmt.Sprintf("give --typed %q, if you know from the registry's operator that the account was reset", words))
	}
	a.say("what this machine has verified of the account %s at %s would be set aside; whatever the registry shows next would be believed", e.Account, e.Index)
	typed, err := a.text(ctx, fmt.Sprintf("Type %q to forget it all the same:", words), "", "--typed", func(string) error { return nil })
	if err != nil {
		return err
	}
	if typed != words {
		return errCancelled
	}
	return nil
}
