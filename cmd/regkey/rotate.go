// regkey rotate: a new key in place of an old one.

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

type rotateOptions struct {
	registry, account, old, new, with string
	overlap                           time.Duration
	algorithm                         string          // empty: the old key's
	protect                           keys.Protection // "": the old key's
	certificate                       string
	toHardware, toSoftware            bool // neither: as the old key is
	place                             tokenPlace
	yes, json                         bool

	all, dryRun     bool
	resume, abandon bool
	given           map[string]string // the flags that say how the new key is made and who signs, for the journal
}

// rotateHelp is what "regkey rotate --help" explains.
const rotateHelp = `Has a new key take the place of an old one at a registry. The new key is made if there is
none of that name: of the same kind as the old one, and protected as the old one is. Both
sign the change, so the new key is known to work before the old one goes.

--to-hardware makes the new key on a token, --to-software in a file. A key in a token is
followed by one on the same token, in another slot, unless --serial says which.

With --overlap the old key goes on publishing for that time, so that other machines can
follow; it loses at once the right to manage keys.

With --all one new key takes the old one's place at every registry that trusts it: one plan is
shown, and one yes asked for. A registry that can't be reached does not stop the others. With
--dry-run the registries are asked what stands, and nothing is changed.

What is begun is written down before anything happens. After an interruption at any point
--resume, or the same command again, goes on: the registries are asked what they have, and
what was signed is sent as it is. --abandon gives up: signed bytes that never left this
machine are dropped; those that did are replaced by another version with the keys as they
were, so that they can never stand; where the new key is trusted already, that is said and
stays. The new key is removed if it was made for this and no registry trusts it.

If another machine changes the keys meanwhile, what it changed is shown and asked about. With
--yes that goes on by itself, unless the change is about a key of this rotation.

Examples:
   regkey rotate --registry lab
   regkey rotate --registry lab --overlap 24h
   regkey rotate --registry lab --key laptop --to laptop-2027 --yes
   regkey rotate --registry lab --to-hardware --touch always
   regkey rotate --registry lab --to-software
   regkey rotate --all --overlap 7d --dry-run
   regkey rotate --all --key laptop
   regkey rotate --resume
   regkey rotate --abandon`

func (a *app) rotateCommand() *cli.Command {
	return &cli.Command{
		Name:        "rotate",
		Usage:       "replace a key by a new one",
		Description: rotateHelp,
		Flags:       a.rotateFlags(),
		Action: func(c *cli.Context) error {
			o, err := readRotateOptions(c)
			if err != nil {
				return err
			}
			if err := a.bringFile(c); err != nil {
				return err
			}
			switch {
			case o.resume:
				return a.runResume(c.Context, o)
			case o.abandon:
				return a.runAbandon(c.Context, o)
			case o.all:
				return a.runRotateAll(c.Context, o)
			}
			return a.runRotate(c.Context, o)
		},
	}
}

func (a *app) rotateFlags() []cli.Flag {
	return slices.Concat([]cli.Flag{
		registryFlag(), accountFlag(),
		&cli.BoolFlag{Name: "all", Usage: "every registry that trusts the key"},
		&cli.StringFlag{Name: "key", Usage: "the `KEY` that goes (the one that signs here)"},
		&cli.StringFlag{Name: "to", Usage: "the `KEY` that comes (laptop, laptop-2, laptop-3, …)"},
		&cli.StringFlag{Name: "overlap", Usage: "how long the old key still publishes: a `TIME` like 24h or 7d"},
		&cli.StringFlag{Name: "algorithm", Usage: "the kind of the new key: `ALGORITHM` ed25519 or p384 (the old one's)"},
		&cli.StringFlag{Name: "with", Usage: "the managing `KEY` that signs, if the old one may not manage (one that is here)"},
		withFileFlag(),
		&cli.BoolFlag{Name: "to-hardware", Usage: "make the new key on a token"},
		&cli.BoolFlag{Name: "to-software", Usage: "make the new key in a file"},
	}, protectionFlags("the new key"), tokenPlaceFlags(), []cli.Flag{
		certificateFlag(),
		&cli.BoolFlag{Name: "dry-run", Usage: "show what would happen, and change nothing"},
		&cli.BoolFlag{Name: "resume", Usage: "go on with a rotation that is not complete"},
		&cli.BoolFlag{Name: "abandon", Usage: "give up a rotation that is not complete"},
		yesFlag(), jsonFlag(),
	})
}

// givenFlags are those that the journal keeps: how the new key is made, and who signs.
var givenFlags = []string{
	"algorithm", "with", "to-hardware", "to-software", "keychain", "passphrase", "none", "serial", "slot", "touch", "pin", "revocation-file",
}

// given are those of the flags that stand on the command line, with their values.
func given(c *cli.Context, names ...string) map[string]string {
	all := map[string]string{}
	for _, name := range names {
		if c.IsSet(name) {
			all[name] = fmt.Sprint(c.Value(name))
		}
	}
	return all
}

// readRotateOptions reads a command line.
func readRotateOptions(c *cli.Context) (rotateOptions, error) {
	o := rotateOptions{
		registry: c.String("registry"), account: c.String("account"), old: c.String("key"), new: c.String("to"), with: c.String("with"),
		algorithm:   c.String("algorithm"),
		certificate: c.String("revocation-file"), yes: c.Bool("yes"), json: c.Bool("json"),
		all: c.Bool("all"), dryRun: c.Bool("dry-run"), resume: c.Bool("resume"), abandon: c.Bool("abandon"),
		given: given(c, givenFlags...),
	}
	if err := noArguments(c); err != nil {
		return o, err
	}
	if err := o.parse(c.String("overlap")); err != nil {
		return o, err
	}
	if err := o.parsePlace(c); err != nil {
		return o, err
	}
	return o, o.agree(c)
}

// agree refuses what does not go together.
func (o *rotateOptions) agree(c *cli.Context) error {
	switch {
	case o.resume && o.abandon:
		return usage("--resume and --abandon: a rotation can't be both")
	case (o.resume || o.abandon) && (len(o.given) > 0 || o.new != "" || c.IsSet("overlap") || o.all):
		return usage("--resume and --abandon: what was given when the rotation began still holds; only --key, --registry, --dry-run, --yes and --json go with them")
	case o.abandon && o.dryRun:
		return usage("--dry-run doesn't go with --abandon: without --yes it shows its plan and asks")
	case o.all && o.registry != "":
		return usage("--all and --registry: it is every registry, or one")
	case o.all && o.account != "":
		return usage("--all and --account: it is every account that trusts the key, or one")
	case o.all && o.certificate != "":
		return usage("--revocation-file doesn't go with --all: each registry has a certificate of its own")
	}
	return nil
}

func (o *rotateOptions) parse(overlap string) error {
	if overlap != "" {
		var err error
		if o.overlap, err = parseDuration(overlap); err != nil || o.overlap < 0 {
			return usage("reading --overlap %.40q: not a time like 24h or 7d", overlap)
		}
	}
	if o.algorithm != "" {
		if _, err := keys.ParseAlgorithm(o.algorithm); err != nil {
			return usage("%w", err)
		}
	}
	if o.new != "" {
		if err := keys.CheckName(o.new); err != nil {
			return usage("reading --to: %w", err)
		}
	}
	return nil
}

// runRotate replaces a key at one registry.
func (a *app) runRotate(ctx context.Context, o rotateOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) (err error) {
		if o.old, err = a.keyHere(home, o.old); err != nil {
			return err
		}
		e, err := a.enrolmentOf(ctx, home, o.registry, o.account, o.old)
		if err != nil {
			return err
		}
		if e.Manual {
			return a.rotateManually(ctx, home, e, o)
		}
		begun, err := a.begun(home, o, e)
		if err != nil {
			return err
		}
		if begun != nil {
			if o, err = a.goOn(begun, o); err != nil {
				return err
			}
			return a.rotateAt(ctx, home, e, begun, o)
		}
		if o.old == "" {
			o.old = e.Key
		}
		if o.old == "" {
			return usage("no key of this machine signs for %s: --key names the one that goes", label(e))
		}
		i, err := a.intent(home, o, []*enroll.Enrolment{e})
		if err != nil {
			return err
		}
		return a.rotateAt(ctx, home, e, i, o)
	})
}

// rotateAt carries out, or goes on with, a rotation at one registry.
func (a *app) rotateAt(ctx context.Context, home string, e *enroll.Enrolment, i *enroll.Intent, o rotateOptions) error {
	run := a.newRotation(home, i, o)
	plans := run.look(ctx)
	if o.dryRun {
		return run.reportPlans(plans)
	}
	if plans[0].Err != nil && !plans[0].Waits {
		return run.orLeft(plans[0].Err)
	}
	if plan := plans[0].Plan; plan != nil && !plan.Done && !o.yes {
		a.say("registry  %s", label(e))
		a.say("account   %s", plan.Account)
		a.say("old key   %s (%v)", plan.Old, plan.OldKey.Public.ID())
		a.say("new key   %s", plan.New)
		if !plan.Until.IsZero() {
			a.say("overlap   the old key publishes until %s", moment(plan.Until))
		}
		if err := a.confirm(ctx, "Replace the old key by the new one?"); err != nil {
			return run.orUnchanged(err, nil)
		}
	}
	outcomes, err := run.run(ctx, plans)
	if err != nil {
		return err
	}
	if done := outcomes[0].Done; done != nil {
		return errors.Join(a.reportRotation(e, i.Old, i.New, done, o), run.orLeft(outcomes[0].Err), errors.Join(run.byHand...))
	}
	return run.orUnchanged(run.orLeft(outcomes[0].Err), outcomes)
}

// nextName is old's name with the next number: laptop, laptop-2, laptop-3. A key of that name that none
// of these registries' trust has seen is left from an interrupted run, and is taken.
func nextName(store *keys.Store, trusted []*enroll.SignedKeyset, old string) (string, error) {
	base, number := old, 1
	if at := strings.LastIndexByte(old, '-'); at > 0 {
		if n, err := strconv.Atoi(old[at+1:]); err == nil && n > 1 && n < 10000 {
			base, number = old[:at], n
		}
	}
	for range 10000 {
		number++
		name := fmt.Sprintf("%s-%d", base, number)
		record, err := store.Lookup(name)
		if errors.Is(err, fs.ErrNotExist) {
			return name, keys.CheckName(name)
		}
		if err != nil {
			return "", err
		}
		id := record.Public.ID()
		seen := slices.ContainsFunc(trusted, func(k *enroll.SignedKeyset) bool {
			_, listed := k.Entry(id)
			return listed || slices.Contains(k.Revoked, id)
		})
		if !seen && !id.IsZero() {
			return name, nil
		}
	}
	return "", usage("no free name after %s: give --to", old)
}

// rotationFacts is the outcome in JSON.
type rotationFacts struct {
	Registry    string `json:"registry"`
	Index       string `json:"index"`
	Account     string `json:"account"`
	Old         string `json:"old"`
	OldID       string `json:"old-id"`
	New         string `json:"new"`
	NewID       string `json:"new-id"`
	Until       string `json:"until,omitzero"` // the old key's end, with an overlap
	Version     int    `json:"version"`
	Certificate string `json:"certificate,omitzero"`
	Read        string `json:"read,omitzero"` // the key that reads here from now on, if another one does
}

func (a *app) reportRotation(e *enroll.Enrolment, oldName, newName string, done *enroll.Rotated, o rotateOptions) error {
	if o.json {
		return a.printJSON(rotationFacts{
			e.Name, e.Index, done.Account, oldName, done.Old.String(), newName, done.New.String(),
			moment(done.Until), done.Version, done.Certificate, done.Read,
		})
	}
	old := "trusted no more"
	if !done.Until.IsZero() {
		old = "publishes until " + moment(done.Until)
	}
	err := a.printFacts(
		fact{"rotated", label(e) + " to " + newName}, fact{"id", done.New.String()}, fact{"old key", oldName + ", " + old},
		fact{"reads with", done.Read},
		fact{"keyset", fmt.Sprintf("version %d", done.Version)}, fact{"revocation certificate", done.Certificate},
	)
	a.adviseCertificate(done.Certificate)
	return err
}

// rotateManually makes the key and says the rest.
func (a *app) rotateManually(ctx context.Context, home string, e *enroll.Enrolment, o rotateOptions) error {
	if o.old != "" && o.old != e.Key {
		return usage("--key %s: the key that is enrolled by hand at %s is %s", o.old, label(e), e.Key)
	}
	store := a.store(home)
	old, err := a.key(ctx, store, e.Key)
	if err != nil {
		return err
	}
	name := o.new
	if name == "" {
		if name, err = nextManualName(store, e.Key); err != nil {
			return err
		}
	}
	if name == e.Key {
		return usage("--to %s: the new key needs another name", name)
	}
	if !o.yes {
		if err := a.confirm(ctx, fmt.Sprintf("Prepare key %s to replace %s at %s?", name, e.Key, label(e))); err != nil {
			return err
		}
	}
	given := maps.Clone(o.given)
	given["registry"] = cmp.Or(e.Name, e.Index)
	making, err := a.making(home, name, e.Key, given)
	if err != nil {
		return err
	}
	record, err := a.successor(ctx, store, old, name, o, making)
	if err == nil {
		err = a.endMaking(store, making, name) // an earlier run may have been stopped before it could do that
	}
	if err != nil {
		return making.OrLeft(err)
	}
	steps := []string{
		"paste the public key on the registry's website, where it takes keys for your account",
		"run " + manualCommand(e, name),
		"remove the old key there: " + old.Public.ID().String(),
	}
	facts := manualFacts{
		Registry: e.Name, Index: e.Index, Manual: true, Key: name, ID: record.Public.ID().String(),
		Public: record.Public.String(), Subject: e.Subject, Steps: steps,
	}
	return errors.Join(a.reportManual("prepared", facts, o.json), errByHand)
}

// nextManualName is the first number after old's: a key made by an earlier run is taken again.
func nextManualName(store *keys.Store, old string) (string, error) {
	base, number := old, 2
	if at := strings.LastIndexByte(old, '-'); at > 0 {
		if n, err := strconv.Atoi(old[at+1:]); err == nil && n > 1 && n < 10000 {
			base, number = old[:at], n+1
		}
	}
	name := fmt.Sprintf("%s-%d", base, number)
	return name, keys.CheckName(name)
}
