// regkey revoke: ending a key.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

type revokeOptions struct {
	registry, account, key string
	reason                 enroll.Reason
	certificate            string
	insecure               bool
	forceLast              bool
	since                  time.Time
	listPublished          bool
	file                   string
	yes, json              bool
}

// revokeHelp is what "regkey revoke --help" explains.
const revokeHelp = `Ends a key at a registry, at once and for ever. KEY is a key of this machine, or the label
or id of any key of the account. The key signs its own end, or a managing key that is here
does.

The last key that manages an account can't be missed: nobody could enrol another one, and
only the registry's operator could open the account again. It is revoked with
--force-last alone, or when that is typed out on the terminal.

With --since it lists what the key has published since then, as the registry says; "regkey
history --key KEY --since TIME" lists that later. With --since, or the reason compromised, it
also names the keys that this one let in: a thief may have added one of his own.

With --certificate it is the revocation certificate from the enrolment that ends the key:
that needs no key, and works on any machine. --registry is then only compared with what the
certificate says.

Of several accounts at a registry it is the one that KEY belongs to.

Examples:
   regkey revoke --registry lab laptop --reason lost
   regkey revoke --registry lab k4.pid.9ShR3xc8-qVJ_di0tc9nx0IDIqbatdeM2mqLFBJsKRHs
   regkey revoke laptop --reason compromised --since 2026-11-20
   regkey revoke laptop --reason lost --with-file /media/stick/safe.age
   regkey revoke --certificate /media/stick/laptop.revocation
   regkey revoke --registry lab --certificate /media/stick/laptop.revocation`

func (a *app) revokeCommand() *cli.Command {
	return &cli.Command{
		Name:        "revoke",
		Usage:       "end a key",
		ArgsUsage:   "KEY",
		Description: revokeHelp,
		Flags: []cli.Flag{
			registryFlag(), accountFlag(),
			&cli.StringFlag{Name: "reason", Value: "unspecified", Usage: "the `REASON`: lost, compromised, superseded or unspecified"},
			sinceFlag("list what it has published from the `TIME` on: a day, or how long ago"),
			withFileFlag(),
			&cli.StringFlag{Name: "certificate", Usage: "send the revocation certificate in the file `PATH`"},
			&cli.BoolFlag{Name: "force-last", Usage: "end the key even if it is the last one that manages the account"},
			&cli.BoolFlag{Name: "insecure-http", Usage: "with --certificate: allow plain http to another machine"},
			yesFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			o := revokeOptions{
				registry: c.String("registry"), account: c.String("account"), certificate: c.String("certificate"), insecure: c.Bool("insecure-http"),
				forceLast: c.Bool("force-last"), file: c.String("with-file"), listPublished: c.IsSet("since"), yes: c.Bool("yes"), json: c.Bool("json"),
			}
			var err error
			if o.key, err = oneArgument(c, "KEY"); err != nil {
				return err
			}
			if o.reason, err = enroll.ParseReason(c.String("reason")); err != nil {
				return usage("%w", err)
			}
			if o.since, err = parseSince(c.String("since"), a.now()); err != nil {
				return err
			}
			switch {
			case o.certificate != "" && (o.file != "" || o.listPublished):
				return usage("the certificate ends the key without any other: --with-file and --since don't go with it")
			case o.certificate != "" && (o.key != "" || o.account != "" || c.IsSet("reason")):
				return usage("the certificate names the key and the reason: KEY, --account and --reason don't go with it")
			case o.certificate != "":
				return a.runRevokeByCertificate(c.Context, o)
			case o.key == "":
				return usage("KEY is missing: the name of a key, or its id")
			}
			return a.runRevoke(c.Context, o)
		},
	}
}

func (a *app) runRevoke(ctx context.Context, o revokeOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) error {
		e, err := a.enrolmentOf(ctx, home, o.registry, o.account, o.key)
		if all, listErr := enroll.ListEnrolments(home); err != nil && o.file != "" && listErr == nil && len(all) == 0 {
			return advised(err, "\"regkey init NAME\", and \"regkey enroll --registry REGISTRY --account ACCOUNT --with-file PATH\" first; then the same command again")
		}
		if err != nil {
			return err
		}
		if e.Manual {
			return a.revokeManually(ctx, home, e, o)
		}
		if _, err := a.openWithFile(ctx, a.store(home), o.file); err != nil {
			return err
		}
		life, client := a.lifecycleOf(home, e)
		id, err := namesIn(life.Keys, e).find(o.key)
		if _, storeErr := life.Keys.Lookup(o.key); err != nil && (errors.Is(storeErr, fs.ErrNotExist) || keys.CheckName(o.key) != nil) {
			return err
		}
		if e.Labels[id.String()] == o.key {
			o.key = id.String()
		}
		plan, err := a.planRevocation(ctx, life, o)
		if err != nil {
			return err
		}
		added, unknown := letIn(life, e, plan.Key, o) // a damaged history stops no revocation
		if err := a.confirmRevocation(ctx, e, plan, added, o); err != nil {
			return err
		}
		a.purpose = "end " + named(plan.Name, plan.Key) + " at " + label(e)
		var list *publishedFacts
		if o.listPublished && plan.Name == e.Key && !plan.Revoked {
			// Afterwards this machine may have no key that reads. What goes wrong here stops no revocation.
			list, _ = published(ctx, client, plan.Key, o.since)
		}
		done, err := plan.Run(ctx)
		if err != nil {
			return err
		}
		if o.listPublished {
			list, err = a.publishedUntilNow(ctx, client, e, done.Key, o.since, list)
		}
		return errors.Join(a.reportRevocation(e, plan, done, list, added, o), err, unknown)
	})
}

// planRevocation finds out what ending the key means, and says what helps where nothing here can end it.
func (a *app) planRevocation(ctx context.Context, life *enroll.Lifecycle, o revokeOptions) (*enroll.RevokePlan, error) {
	plan, err := life.PlanRevocation(ctx, o.key, o.reason)
	if errors.As(err, new(*enroll.NoManagerError)) {
		return nil, advised(err, "run it on a machine that has the key, or that manages the account; or have a backup sign: --with-file PATH",
			"the key's revocation certificate needs neither: \"regkey revoke --certificate PATH\"")
	}
	if err != nil {
		return nil, err
	}
	if plan.Revoked && o.reason != enroll.Unspecified && o.reason != plan.Reason {
		a.say("regkey: the reason stays %s: what was signed is not changed", plan.Reason)
	}
	return plan, nil
}

func (a *app) confirmRevocation(ctx context.Context, e *enroll.Enrolment, plan *enroll.RevokePlan, added []versionFacts, o revokeOptions) error {
	if plan.Done || plan.Revoked {
		return nil
	}
	if plan.Last && !o.forceLast {
		return a.confirmLast(ctx, e, plan)
	}
	if o.yes {
		return nil
	}
	a.say("registry  %s", label(e))
	a.say("account   %s", plan.Account)
	a.say("key       %s", named(plan.Name, plan.Key))
	a.say("reason    %s", plan.Reason)
	if plan.Reader != "" {
		a.say("along     %s, which only reads for it", plan.Reader)
	}
	for _, line := range letInLines(added) {
		a.say("let in    %s", line)
	}
	if len(added) > 0 {
		a.say("regkey: if one of these is not yours, say no, and end that one first: this key still can")
	}
	return a.confirm(ctx, "End this key there, for ever?")
}

// confirmLast refuses, unless a person types out what is about to happen.
func (a *app) confirmLast(ctx context.Context, e *enroll.Enrolment, plan *enroll.RevokePlan) error {
	refusal := fmt.Errorf("%s is the last key that manages the account %s at %s: without it nobody can enrol, rotate or revoke there, and only the registry's operator can open the account again",
		named(plan.Name, plan.Key), plan.Account, label(e))
	if !a.terminal {
		return advised(refusal, "enrol another managing key first, or, if it must be, add --force-last")
	}
	a.say("regkey: %v", refusal)
	typed, err := a.text(ctx, "Type --force-last to end it all the same:", "", "--force-last", func(string) error { return nil })
	if err != nil {
		return err
	}
	if typed != "--force-last" {
		return errCancelled
	}
	return nil
}

func named(name string, id keys.ID) string {
	if name == "" {
		return id.String()
	}
	return fmt.Sprintf("%s (%v)", name, id)
}

// revocationFacts is the outcome in JSON.
type revocationFacts struct {
	Registry string `json:"registry"`
	Index    string `json:"index"`
	Account  string `json:"account,omitzero"`
	Key      string `json:"key,omitzero"`
	ID       string `json:"id"`
	Reason   string `json:"reason"`
	Already  bool   `json:"already"`          // it was revoked before
	Version  int    `json:"version,omitzero"` // of the keyset without the key, if one could be signed here

	Reader    string   `json:"reader,omitzero"`    // the id of the key that read for it, and ended along
	Strangers []string `json:"strangers,omitzero"` // keys elsewhere that can only read: one may have read for it

	LetIn     []versionFacts  `json:"letIn,omitzero"`     // where it was in other hands: versions by which it added keys that are still trusted
	Published *publishedFacts `json:"published,omitzero"` // with --since
}

func (a *app) reportRevocation(e *enroll.Enrolment, plan *enroll.RevokePlan, done *enroll.Revoked, list *publishedFacts, added []versionFacts, o revokeOptions) error {
	if o.json {
		f := revocationFacts{
			Registry: e.Name, Index: e.Index, Account: done.Account, Key: plan.Name, ID: done.Key.String(),
			Reason: string(done.Reason), Already: plan.Revoked, Version: done.Version, Published: list, LetIn: added,
		}
		if !done.Reader.IsZero() {
			f.Reader = done.Reader.String()
		}
		for _, id := range plan.Strangers {
			f.Strangers = append(f.Strangers, id.String())
		}
		return a.printJSON(f)
	}
	what, keyset := "revoked", "the key is still listed there, and refused: a managing key takes it out"
	if plan.Last {
		keyset = "the key is still listed there, and refused"
	}
	if plan.Revoked {
		what = "revoked already"
	}
	switch {
	case done.Version > 0:
		keyset = fmt.Sprintf("version %d, without the key", done.Version)
	case plan.Done:
		keyset = ""
	}
	err := a.printFacts(
		fact{what, named(plan.Name, done.Key) + " at " + label(e)}, fact{"account", done.Account},
		fact{"reason", string(done.Reason)}, fact{"keyset", keyset},
		fact{"along with it", plan.Reader},
	)
	if list != nil {
		err = errors.Join(err, a.reportPublished(list))
	}
	err = errors.Join(err, a.reportLetIn(added))
	for _, id := range plan.Strangers {
		a.say("regkey: %v can only read, and is on another machine: if it read for the key that ended, revoke it too", id)
	}
	if after, lookupErr := a.signs(e); lookupErr == nil && after == "" {
		a.say("regkey: no key of this machine signs for %s any more", label(e))
	}
	return err
}

// signs is the key that signs for the registry now.
func (a *app) signs(e *enroll.Enrolment) (string, error) {
	home, err := a.home()
	if err != nil {
		return "", err
	}
	now, err := enroll.LookupAccount(home, e.Index, e.Account)
	if err != nil {
		return "", err
	}
	return now.Key, nil
}

// revokeManually says what there is to do on the website.
func (a *app) revokeManually(ctx context.Context, home string, e *enroll.Enrolment, o revokeOptions) error {
	store := a.store(home)
	record, err := a.key(ctx, store, o.key)
	if err != nil {
		return err
	}
	steps := []string{"remove the public key on the registry's website"}
	if record.Name == e.Key {
		steps = append(steps, "to sign with another key there, paste that one and run "+manualCommand(e, "KEY"))
	}
	if !strings.EqualFold(string(o.reason), string(enroll.Unspecified)) {
		steps = append(steps, "tell the registry's operator the reason: "+string(o.reason))
	}
	facts := manualFacts{
		Registry: e.Name, Index: e.Index, Manual: true, Key: record.Name, ID: record.Public.ID().String(),
		Public: record.Public.String(), Subject: e.Subject, Steps: steps,
	}
	return errors.Join(a.reportManual("not revoked yet", facts, o.json), errByHand)
}
