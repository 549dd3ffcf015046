// regkey rotate --all, --resume and --abandon: one plan over every registry, and one yes.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// runRotateAll replaces a key wherever it is trusted.
func (a *app) runRotateAll(ctx context.Context, o rotateOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) (err error) {
		if o.old, err = a.keyHere(home, o.old); err != nil {
			return err
		}
		all, err := enroll.ListEnrolments(home)
		if err != nil {
			return err
		}
		begun, err := a.begun(home, o)
		if err != nil {
			return err
		}
		if begun != nil {
			return a.resume(ctx, home, begun, o)
		}
		if o.old == "" {
			if o.old, err = a.commonKey(ctx, all); err != nil {
				return err
			}
		}
		trusting, manual, err := a.trusting(home, all, o.old)
		if err != nil {
			return err
		}
		if len(trusting) == 0 && o.new != "" {
			// It may be complete, and the run that completed it was stopped before it could say so.
			done, _, err := a.trusting(home, all, o.new)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			trusting = done
		}
		if len(trusting) == 0 {
			return a.rotateNowhere(manual, o)
		}
		if begun, err = a.begun(home, o, trusting...); err != nil { // one of a single registry may stand in the way
			return err
		}
		if begun != nil {
			return a.resume(ctx, home, begun, o)
		}
		i, err := a.intent(home, o, trusting)
		if err != nil {
			return err
		}
		return a.rotateEverywhere(ctx, home, i, manual, o)
	})
}

// rotateNowhere says why no registry is left for --all.
func (a *app) rotateNowhere(manual []*enroll.Enrolment, o rotateOptions) error {
	err := fmt.Errorf("rotating %s: no registry that regkey can ask trusts it: %w", o.old, enroll.ErrNotTrusted)
	if len(manual) == 0 {
		return err
	}
	return advised(err, "keys are pasted into the website at "+strings.Join(labels(manual), ", ")+": \"regkey rotate --registry R\" prepares that")
}

// commonKey is the key that signs everywhere; of several a person chooses.
func (a *app) commonKey(ctx context.Context, all []*enroll.Enrolment) (string, error) {
	var names []string
	for _, e := range all {
		if e.Key != "" && !slices.Contains(names, e.Key) {
			names = append(names, e.Key)
		}
	}
	switch len(names) {
	case 0:
		return "", advised(errors.New("no key of this machine signs anywhere"), `"regkey enroll --registry NAME" begins`)
	case 1:
		return names[0], nil
	}
	slices.Sort(names)
	return a.choose(ctx, "Which key goes?", "--key", names)
}

// trusting are the enrolments whose pinned keyset lists the key, and those by hand that sign with it.
func (a *app) trusting(home string, all []*enroll.Enrolment, name string) (trusting, manual []*enroll.Enrolment, err error) {
	record, err := a.store(home).Lookup(name)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range all {
		if e.Manual {
			if e.Key == name {
				manual = append(manual, e)
			}
			continue
		}
		k, err := enroll.OpenState(home, e.Index, e.Account).Keyset()
		if err != nil {
			return nil, nil, err
		}
		if _, listed := k.Entry(record.Public.ID()); listed {
			trusting = append(trusting, e)
		}
	}
	return trusting, manual, nil
}

// rotateEverywhere shows the plan, asks once, and carries it out.
func (a *app) rotateEverywhere(ctx context.Context, home string, i *enroll.Intent, manual []*enroll.Enrolment, o rotateOptions) error {
	run := a.newRotation(home, i, o)
	run.manual = manual
	plans := run.look(ctx)
	if o.dryRun {
		return run.reportPlans(plans)
	}
	possible := 0
	for _, p := range plans {
		if p.Plan != nil || p.Waits {
			possible++
		}
	}
	switch {
	case possible == 0 && i.ID == "":
		return run.failures(outcomesOf(plans)) // nothing began
	case possible == 0:
		return run.report(outcomesOf(plans))
	}
	if !o.yes {
		run.sayPlans(plans)
		if err := a.confirm(ctx, fmt.Sprintf("Replace %s by %s there?", i.Old, i.New)); err != nil {
			return run.orUnchanged(err, nil)
		}
	}
	outcomes, err := run.run(ctx, plans)
	if err != nil {
		return err
	}
	return run.report(outcomes)
}

// outcomesOf are the outcomes of a run that is not tried.
func outcomesOf(plans []enroll.StepPlan) []enroll.StepOutcome {
	var all []enroll.StepOutcome
	for _, p := range plans {
		all = append(all, enroll.StepOutcome{Step: p.Step, Err: p.Err})
	}
	return all
}

// runResume goes on with a rotation that is not complete.
func (a *app) runResume(ctx context.Context, o rotateOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) error {
		i, err := a.chooseRotation(ctx, home, o)
		if err != nil || i == nil {
			return err
		}
		return a.resume(ctx, home, i, o)
	})
}

func (a *app) resume(ctx context.Context, home string, i *enroll.Intent, o rotateOptions) error {
	o, err := a.goOn(i, o)
	if err != nil {
		return err
	}
	all, err := enroll.ListEnrolments(home)
	if err != nil {
		return err
	}
	var manual []*enroll.Enrolment
	if i.All {
		if _, manual, err = a.trusting(home, all, i.Old); err != nil && !i.Complete() {
			manual = nil // the old key's record is gone: what stands says the rest
		}
	}
	return a.rotateEverywhere(ctx, home, i, manual, o)
}

// chooseRotation is the rotation that --resume or --abandon means. Where there is none it says so, and
// that is no failure: what was interrupted has been completed.
func (a *app) chooseRotation(ctx context.Context, home string, o rotateOptions) (*enroll.Intent, error) {
	all, err := a.rotations(home)
	if err != nil {
		return nil, err
	}
	var e *enroll.Enrolment
	if o.registry != "" {
		if e, err = a.enrolmentOf(ctx, home, o.registry, o.account, o.old); err != nil {
			return nil, err
		}
	}
	all = slices.DeleteFunc(all, func(i *enroll.Intent) bool {
		return o.old != "" && i.Old != o.old || e != nil && i.Step(e.Index, e.Account) == nil
	})
	switch len(all) {
	case 0:
		if o.json {
			return nil, a.printJSON(rotationsFacts{Complete: true, Registries: []stepFacts{}})
		}
		return nil, a.printLine("no rotation waits to be completed")
	case 1:
		return all[0], nil
	}
	if e != nil {
		return all[0], nil // no command begins a second one there: whatever did, the older one is completed first
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Old)
	}
	if slices.Sort(names); len(slices.Compact(slices.Clone(names))) < len(names) {
		return nil, usage("several rotations of one key are not complete: --registry says which one is meant")
	}
	name, err := a.choose(ctx, "Which key's rotation?", "--key", names)
	if err != nil {
		return nil, err
	}
	return all[slices.IndexFunc(all, func(i *enroll.Intent) bool { return i.Old == name })], nil
}

// runAbandon gives a rotation up.
func (a *app) runAbandon(ctx context.Context, o rotateOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) error {
		i, err := a.chooseRotation(ctx, home, o)
		if err != nil || i == nil {
			return err
		}
		if o, err = a.goOn(i, o); err != nil {
			return err
		}
		run := a.newRotation(home, i, o)
		if !o.yes {
			run.sayAbandonment()
			if err := a.confirm(ctx, "Give this rotation up?"); err != nil {
				return err
			}
		}
		a.purpose = fmt.Sprintf("keep %s instead of %s", i.Old, i.New)
		slots := maps.Clone(i.Slots)
		outcomes, left, err := run.Abandon(ctx)
		if err != nil {
			return run.orLeft(err)
		}
		if slices.ContainsFunc(left, func(k enroll.LeftKey) bool { return k.Removed && k.Record.Protection != keys.Hardware }) {
			a.forgetKeys(ctx) // the agent may hold what is gone
		}
		if !run.isOpen() {
			a.sayLostSlots(a.store(home), slots)
		}
		return run.reportAbandonment(outcomes, left)
	})
}
