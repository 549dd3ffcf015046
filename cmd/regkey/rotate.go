// regkey rotate: a new key in place of an old one.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
)

type rotateOptions struct {
	registry, old, new, with string
	overlap                  time.Duration
	algorithm                string          // empty: the old key's
	protect                  keys.Protection // "": the old key's
	certificate              string
	toHardware, toSoftware   bool // neither: as the old key is
	place                    tokenPlace
	yes, json                bool
}

func (a *app) rotateCommand() *cli.Command {
	return &cli.Command{
		Name:  "rotate",
		Usage: "replace a key by a new one",
		Description: `Has a new key take the place of an old one at a registry. The new key is made if there is
none of that name: of the same kind as the old one, and protected as the old one is. Both
sign the change, so the new key is known to work before the old one goes.

--to-hardware makes the new key on a token, --to-software in a file. A key in a token is
followed by one on the same token, in another slot, unless --serial says which.

With --overlap the old key goes on publishing for that time, so that other machines can
follow; it loses at once the right to manage keys.

Running the same command again, after any failure, completes what was begun.

Examples:
   regkey rotate --registry lab
   regkey rotate --registry lab --overlap 24h
   regkey rotate --registry lab --key laptop --to laptop-2027 --yes
   regkey rotate --registry lab --to-hardware --touch always
   regkey rotate --registry lab --to-software`,
		Flags: append([]cli.Flag{
			registryFlag(),
			&cli.StringFlag{Name: "key", Usage: "the `KEY` that goes (the one that signs here)"},
			&cli.StringFlag{Name: "to", Usage: "the `KEY` that comes (laptop, laptop-2, laptop-3, …)"},
			&cli.StringFlag{Name: "overlap", Usage: "how long the old key still publishes: a `TIME` like 24h or 7d"},
			&cli.StringFlag{Name: "algorithm", Usage: "the kind of the new key: `ALGORITHM` ed25519 or p384 (the old one's)"},
			&cli.StringFlag{Name: "with", Usage: "the managing `KEY` that signs, if the old one may not manage (one that is here)"},
			&cli.BoolFlag{Name: "to-hardware", Usage: "make the new key on a token"},
			&cli.BoolFlag{Name: "to-software", Usage: "make the new key in a file"},
		}, slices.Concat(protectionFlags("the new key"), tokenPlaceFlags(), []cli.Flag{certificateFlag(), yesFlag(), jsonFlag()})...),
		Action: func(c *cli.Context) error {
			o := rotateOptions{
				registry: c.String("registry"), old: c.String("key"), new: c.String("to"), with: c.String("with"),
				algorithm:   c.String("algorithm"),
				certificate: c.String("revocation-file"), yes: c.Bool("yes"), json: c.Bool("json"),
			}
			if err := noArguments(c); err != nil {
				return err
			}
			if err := o.parse(c.String("overlap")); err != nil {
				return err
			}
			if err := o.parsePlace(c); err != nil {
				return err
			}
			return a.runRotate(c.Context, o)
		},
	}
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

func (a *app) runRotate(ctx context.Context, o rotateOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) error {
		e, err := a.enrolment(ctx, home, o.registry)
		if err != nil {
			return err
		}
		if e.Manual {
			return a.rotateManually(ctx, home, e, o)
		}
		life, client := a.lifecycle(home, e.Index, e.Insecure)
		if done, err := a.completeRotation(ctx, life, e, o); done || err != nil {
			return err
		}
		plan, err := life.PlanRotation(ctx, enroll.RotateOptions{
			Old: o.old, New: o.new, Overlap: o.overlap, With: o.with, Certificate: o.certificate,
		})
		if err != nil {
			return err
		}
		if plan.New == "" {
			if plan.New, err = nextName(life, plan.OldKey.Name); err != nil {
				return err
			}
		}
		return a.rotate(ctx, e, life, client, plan, o)
	})
}

// completeRotation sends what an earlier run signed. Where the user named no keys, and that has
// changed which key signs here, this was the rotation that is asked for, and not one more.
func (a *app) completeRotation(ctx context.Context, life *enroll.Lifecycle, before *enroll.Enrolment, o rotateOptions) (bool, error) {
	accepted, found, err := life.Settle(ctx)
	if err != nil || !found || accepted == nil || o.old != "" || o.new != "" {
		return false, err
	}
	after, err := enroll.LookupEnrolment(life.Home, life.Index)
	if err != nil || after.Key == before.Key {
		return false, err
	}
	newKey, err := life.Keys.Lookup(after.Key)
	if err != nil {
		return false, err
	}
	done := &enroll.Rotated{Account: accepted.Account, New: newKey.Public.ID(), Version: accepted.Version}
	done.Certificate = after.Certificates[done.New.String()]
	if oldKey, err := life.Keys.Lookup(before.Key); err == nil {
		done.Old = oldKey.Public.ID()
		entry, _ := accepted.Entry(done.Old)
		done.Until = entry.Until
	}
	return true, a.reportRotation(before, before.Key, after.Key, done, o)
}

// nextName is old's name with the next number: laptop, laptop-2, laptop-3. A key of that name
// that no version of this registry's trust has seen is left from an interrupted run, and is taken.
func nextName(life *enroll.Lifecycle, old string) (string, error) {
	trusted, err := life.State().Keyset()
	if err != nil {
		return "", err
	}
	base, number := old, 1
	if at := strings.LastIndexByte(old, '-'); at > 0 {
		if n, err := strconv.Atoi(old[at+1:]); err == nil && n > 1 && n < 10000 {
			base, number = old[:at], n
		}
	}
	for range 10000 {
		number++
		name := fmt.Sprintf("%s-%d", base, number)
		record, err := life.Keys.Lookup(name)
		if errors.Is(err, fs.ErrNotExist) {
			return name, keys.CheckName(name)
		}
		if err != nil {
			return "", err
		}
		id := record.Public.ID()
		if _, listed := trusted.Entry(id); !listed && !id.IsZero() && !slices.Contains(trusted.Revoked, id) {
			return name, nil
		}
	}
	return "", usage("no free name after %s: give --to", old)
}

func (a *app) rotate(ctx context.Context, e *enroll.Enrolment, life *enroll.Lifecycle, client *registryclient.Client, plan *enroll.RotatePlan, o rotateOptions) error {
	a.purpose = fmt.Sprintf("replace %s by %s at %s", plan.Old, plan.New, label(e))
	if !plan.Done {
		if !o.yes {
			a.say("registry  %s", label(e))
			a.say("account   %s", plan.Account)
			a.say("old key   %s (%v)", plan.Old, plan.OldKey.Public.ID())
			a.say("new key   %s", plan.New)
			if !plan.Until.IsZero() {
				a.say("overlap   the old key publishes until %s", moment(plan.Until))
			}
			if err := a.confirm(ctx, "Replace the old key by the new one?"); err != nil {
				return err
			}
		}
		if err := a.prepareRotation(ctx, e, life, client, plan, o); err != nil {
			return err
		}
	}
	done, err := plan.Run(ctx)
	if err != nil {
		return err
	}
	return a.reportRotation(e, plan.Old, plan.New, done, o)
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
	record, err := a.successor(ctx, store, old, name, o)
	if err != nil {
		return err
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
