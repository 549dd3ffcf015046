// Rotation at several registries: one new key for one old one, with the journal saying how far it got.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/cargo-regkey/regkey/keys"
)

// A Rotation carries out what an intent of the kind [KindRotate] says: the same new key takes the
// place of the same old one at every registry of it, one after the other. It can be stopped anywhere,
// and run again from the journal. Its caller holds the lock of the home folder.
type Rotation struct {
	Journal *Journal
	Intent  *Intent
	// With and Certificate are as in [RotateOptions].
	With, Certificate string
	// At is the lifecycle of an account at a registry.
	At func(index, account string) *Lifecycle
	// Bring makes the keys that come in at a step, as far as there are none of their names. It tells
	// [Rotation.Making] of each before.
	Bring func(ctx context.Context, s Step, plan *RotatePlan) error
	// Configure brings into line what else on this machine depends on the keys, once the registry has
	// accepted them.
	Configure func(ctx context.Context, s Step) error
	// Overtaken is asked whether to go on where somebody else has changed the keyset meanwhile.
	Overtaken func(ctx context.Context, o *Overtaken) error
	// ReadAs, if set, has reads at registries that want a token signed by the key of that name; "" as
	// usual. Where nobody heard that the keys were exchanged, the new one alone can read.
	ReadAs func(name string)
}

// A StepPlan is what a rotation means at one registry, as that stands now.
type StepPlan struct {
	Step Step
	Plan *RotatePlan // nil for a step that is closed, or with Err
	// Waits says that signed bytes of this rotation wait here. They go out as they are, and nobody
	// signs again.
	Waits bool
	Err   error // why there is no plan
	// Asked says that the registry has answered: Err is about what stands there, and trying again
	// will not help.
	Asked bool
}

// Overtaken is what another machine changed since this one made its plan.
type Overtaken struct {
	Step   Step
	Change Change // from what stood then to what stands now
	// Same says that the change is about a key of the rotation: somebody may have replaced, narrowed
	// or ended the very key that is being replaced here.
	Same bool
	// Told is set by whoever was asked if the person knows of the change by now. Then it is not asked
	// about again, also where the answer was no.
	Told bool
}

// A StepOutcome is what became of one step.
type StepOutcome struct {
	Step Step     // as it is now
	Done *Rotated // nil where nothing was exchanged in this run
	Err  error    // why the step is not done; it may be closed all the same
}

// Look asks every registry where something is left to do what stands there. It changes nothing on
// this machine, sends nothing that waits, and signs nothing but what a registry wants for reading.
func (r *Rotation) Look(ctx context.Context) []StepPlan {
	plans := make([]StepPlan, len(r.Intent.Steps))
	for n, s := range r.Intent.Steps {
		plans[n].Step = s
		if s.Closed() {
			continue
		}
		l := r.At(s.Index, s.Account)
		plans[n].Waits, _ = r.waits(l) // carrying it out says what is wrong
		_, chain, _, err := l.look(ctx)
		if err == nil {
			plans[n].Plan, err = l.planRotation(chain[len(chain)-1], r.options())
			plans[n].Asked = !unread(err)
		}
		if plans[n].Err = err; err != nil {
			plans[n].Plan = nil
		} else {
			plans[n].Plan.looked = true
		}
	}
	return plans
}

func (r *Rotation) options() RotateOptions {
	return RotateOptions{Old: r.Intent.Old, New: r.Intent.New, Overlap: r.Intent.Overlap, With: r.With, Certificate: r.Certificate}
}

// waits reports whether signed bytes that bring in the new key wait at the registry's account.
func (r *Rotation) waits(l *Lifecycle) (bool, error) {
	p, err := l.State().pending()
	if err != nil || p == nil {
		return false, err
	}
	k, err := p.keyset()
	if err != nil {
		return false, fmt.Errorf("reading the keyset that waits to be sent: %w", err)
	}
	return r.Intent.lists(k), nil
}

// Begin writes the intent down, with those steps alone that a look has found possible or could not
// judge.
func (r *Rotation) Begin(plans []StepPlan) error {
	r.Intent.Steps = nil
	for _, p := range plans {
		if p.Err != nil && p.Asked {
			continue
		}
		if p.Plan != nil {
			p.Step.Base = p.Plan.base.Version
		}
		r.Intent.Steps = append(r.Intent.Steps, p.Step)
	}
	return r.Journal.Begin(r.Intent)
}

// Making notes that a key of that name is about to be made for the rotation. If there is one already
// it belongs to somebody else, or was made by an earlier run.
func (r *Rotation) Making(store *keys.Store, name string) error {
	if _, err := store.Lookup(name); !errors.Is(err, fs.ErrNotExist) || slices.Contains(r.Intent.Made, name) {
		return nil
	}
	r.Intent.Made = append(r.Intent.Made, name)
	return r.Journal.Save(r.Intent)
}

// MakingIn notes in which slot of a token, as SERIAL/SLOT, a key of that name is about to be made; the
// slot is empty. "" says that this is over: the key has a record, or it is certain that none was made.
func (r *Rotation) MakingIn(name, slot string) error {
	if slot == r.Intent.Slots[name] {
		return nil
	}
	if r.Intent.Slots == nil {
		r.Intent.Slots = map[string]string{}
	}
	if r.Intent.Slots[name] = slot; slot == "" {
		delete(r.Intent.Slots, name)
	}
	return r.Journal.Save(r.Intent)
}

// MadeIn is the slot that an earlier run noted by [Rotation.MakingIn]; "" if there is none.
func (r *Rotation) MadeIn(name string) string { return r.Intent.Slots[name] }

// Run goes on at every registry where something is left to do, but for those that could not be asked
// when plans were made. It returns how each step ended; the error is about the journal itself. What
// is complete, and what never got to a signature, is taken out of the journal.
func (r *Rotation) Run(ctx context.Context, plans []StepPlan) ([]StepOutcome, error) {
	r.Intent.Abandoned = false
	var outcomes []StepOutcome
	for _, p := range plans {
		s := r.Intent.Step(p.Step.Index, p.Step.Account)
		outcome := StepOutcome{Step: p.Step, Err: p.Err}
		if s != nil && !s.Closed() && (p.Err == nil || p.Waits) {
			outcome.Done, outcome.Err = r.step(ctx, s)
		}
		if s != nil {
			outcome.Step = *s
		}
		outcomes = append(outcomes, outcome)
		if ctx.Err() != nil {
			break
		}
	}
	return outcomes, r.close()
}

// close ends an intent of which nothing is left to know: it is complete, or nothing was signed for it and
// no slot of a token may hold a key that only the intent knows of.
func (r *Rotation) close() error {
	if r.Intent.Complete() || !r.Intent.signed() && len(r.Intent.Slots) == 0 {
		return r.Journal.End(r.Intent)
	}
	return nil
}

// signed reports whether anything was signed for the intent that may stand, or may come to stand.
func (i *Intent) signed() bool {
	return slices.ContainsFunc(i.Steps, func(s Step) bool { return s.State != StepPlanned && s.State != StepAbandoned })
}

// maxOvertaken is how often one run begins again because others were quicker.
const maxOvertaken = 10

func (r *Rotation) step(ctx context.Context, s *Step) (*Rotated, error) {
	l := r.At(s.Index, s.Account)
	for range maxOvertaken {
		plan, err := r.plan(ctx, l, s)
		if err != nil {
			return nil, err
		}
		done, err := r.exchange(ctx, *s, plan)
		var refusal Refusal
		if errors.As(err, &refusal) {
			if overtaken, syncErr := l.overtaken(ctx, plan.base); syncErr == nil && overtaken {
				continue
			}
		}
		if err != nil {
			// The bytes may have been signed and sent: the lifecycle has noted it in the file.
			return nil, errors.Join(err, r.reload())
		}
		if err := r.mark(s, StepAccepted, max(s.Version, done.Version)); err != nil {
			return nil, err
		}
		if err := r.Configure(ctx, *s); err != nil {
			return done, err
		}
		return done, r.mark(s, StepDone, s.Version)
	}
	return nil, fmt.Errorf("rotating %s at %s: others changed the keyset %d times meanwhile", r.Intent.Old, s.Index, maxOvertaken)
}

// unread reports whether an error says that something of this machine's could not be read. It tells
// nothing of what is possible, and the next run may read it.
func unread(err error) bool {
	var failed syscall.Errno
	return errors.As(err, &failed) && !errors.Is(failed, fs.ErrNotExist)
}

// plan finds out what stands, having sent what waits, and asks whether to go on if others have
// changed it. A step that is found impossible is closed: nothing of it can come to stand any more.
func (r *Rotation) plan(ctx context.Context, l *Lifecycle, s *Step) (*RotatePlan, error) {
	if _, _, err := l.Settle(ctx); err != nil {
		return nil, errors.Join(err, r.reload())
	}
	base, err := l.Sync(ctx)
	if err != nil {
		return nil, errors.Join(err, r.reload())
	}
	if err := r.reload(); err != nil {
		return nil, err
	}
	waits, err := r.waits(l)
	if err != nil {
		return nil, err
	}
	if s.State != StepPlanned && base.Version >= s.Version && !waits && !r.Intent.lists(base) {
		// What was signed was refused, and another version of its number stands: it can't stand any more.
		if err := r.mark(s, StepPlanned, 0); err != nil {
			return nil, err
		}
	}
	plan, planErr := l.planRotation(base, r.options())
	if planErr == nil && plan.Done {
		return plan, nil
	}
	if unread(planErr) {
		return nil, planErr
	}
	if err := r.askOvertaken(ctx, l, s, base, planErr); err != nil {
		return nil, err
	}
	if planErr != nil {
		if s.Version > base.Version {
			return nil, planErr
		}
		return nil, errors.Join(planErr, r.mark(s, StepAbandoned, 0))
	}
	s.Base = base.Version
	return plan, r.Journal.Save(r.Intent)
}

// askOvertaken compares what stands with what stood when the step was planned last. Where the change
// has made the step impossible, there is nothing to ask.
func (r *Rotation) askOvertaken(ctx context.Context, l *Lifecycle, s *Step, base *SignedKeyset, impossible error) error {
	before, err := l.State().Version(s.Base)
	if err != nil || before.Hash() == base.Hash() {
		return nil // a hole in the history: what stood then is not known
	}
	o := &Overtaken{Step: *s, Change: Compare(before, base)}
	revoked, err := l.State().revoked()
	if err != nil {
		return err
	}
	o.Same = r.concerns(l.Keys, o.Change, revoked)
	if impossible != nil {
		return errors.Join(&OvertakenError{*o, impossible}, r.mark(s, StepAbandoned, 0))
	}
	if o.Change.Empty() {
		return nil
	}
	err = r.Overtaken(ctx, o)
	if o.Told {
		s.Base = base.Version
		err = errors.Join(err, r.Journal.Save(r.Intent))
	}
	return err
}

// An OvertakenError says that another machine's change has made a step impossible, and what it
// changed. It wraps why.
type OvertakenError struct {
	Overtaken
	Err error
}

// Error is the reason.
func (e *OvertakenError) Error() string { return e.Err.Error() }

// Unwrap is the reason.
func (e *OvertakenError) Unwrap() error { return e.Err }

// concerns reports whether a change is about the old key, the new one, or the one that was to sign.
func (r *Rotation) concerns(store *keys.Store, c Change, revoked []keys.ID) bool {
	var changed []keys.ID
	for _, e := range slices.Concat(c.Added, c.Removed) {
		changed = append(changed, e.Key.ID())
	}
	for _, e := range c.Changed {
		changed = append(changed, e.After.Key.ID())
	}
	changed = append(append(changed, c.Revoked...), revoked...)
	for _, name := range []string{r.Intent.Old, r.Intent.New, r.With} {
		record, err := store.Lookup(name)
		if name != "" && err == nil && slices.Contains(changed, record.Public.ID()) {
			return true
		}
	}
	return c.Closed
}

// overtaken reports whether another version than base stands now.
func (l *Lifecycle) overtaken(ctx context.Context, base *SignedKeyset) (bool, error) {
	now, err := l.Sync(ctx)
	return err == nil && now.Hash() != base.Hash(), err
}

// exchange makes the keys, where they are missing, and carries the plan out.
func (r *Rotation) exchange(ctx context.Context, s Step, plan *RotatePlan) (*Rotated, error) {
	if !plan.Done {
		if err := r.bring(ctx, s, plan); err != nil {
			return nil, err
		}
	}
	done, err := plan.Run(ctx)
	return done, errors.Join(err, r.reload())
}

// bring sees to it that the new key is here, and is the one that other registries have already.
func (r *Rotation) bring(ctx context.Context, s Step, plan *RotatePlan) error {
	store := plan.l.Keys
	if _, err := store.Lookup(r.Intent.New); errors.Is(err, fs.ErrNotExist) && r.Intent.NewKey != "" {
		if r.Intent.signed() {
			return fmt.Errorf("rotating %s: the new key %s is not on this machine any more: %w", r.Intent.Old, r.Intent.New, fs.ErrNotExist)
		}
		r.Intent.NewKey = ""
	}
	if err := r.Bring(ctx, s, plan); err != nil {
		return err
	}
	record, err := store.Lookup(r.Intent.New)
	if err != nil {
		return err
	}
	public := record.Public.String()
	if r.Intent.NewKey == public {
		return nil
	}
	if r.Intent.NewKey != "" && r.Intent.signed() {
		return fmt.Errorf("rotating %s: the key %s is another one than when this began: \"regkey rotate --abandon\" ends it", r.Intent.Old, r.Intent.New)
	}
	r.Intent.NewKey = public
	return r.Journal.Save(r.Intent)
}

// mark notes how far a step got.
func (r *Rotation) mark(s *Step, state StepState, version int) error {
	s.State, s.Version = state, version
	return r.Journal.Save(r.Intent)
}

// reload reads what the lifecycle has noted of the steps meanwhile.
func (r *Rotation) reload() error {
	now, err := r.Journal.open(r.Intent.ID)
	if err != nil {
		return err
	}
	for n := range r.Intent.Steps {
		if s := now.Step(r.Intent.Steps[n].Index, r.Intent.Steps[n].Account); s != nil {
			r.Intent.Steps[n].State, r.Intent.Steps[n].Version = s.State, s.Version
		}
	}
	return nil
}
