// Abandoning a rotation: undoing what can be undone, and saying what can't.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

// An AbandonPlan says what abandoning means for one step, as far as this machine knows.
type AbandonPlan struct {
	Step Step
	// Sent says that signed bytes have left this machine. Unless they turn out to stand, another
	// version takes their place, which somebody has to sign.
	Sent bool
	// Stands says that the registry has accepted the new key, so that the step stays as it is.
	Stands bool
}

// An AbandonOutcome is what became of one step.
type AbandonOutcome struct {
	Step Step
	// Stands says that the keys are exchanged there: that is not undone.
	Stands bool
	// Version is the one that was signed so that the abandoned one can never stand; 0: none was needed.
	Version int
	Err     error // why the step is not abandoned yet
}

// A LeftKey is a key that came in for an abandoned rotation.
type LeftKey struct {
	Record  keys.Record
	Removed bool
	Why     string // why it was not removed; or what of it is left all the same
}

// PlanAbandon says what [Rotation.Abandon] would do. It asks nobody.
func (r *Rotation) PlanAbandon() []AbandonPlan {
	var plans []AbandonPlan
	for _, s := range r.Intent.Steps {
		plans = append(plans, AbandonPlan{
			Step: s, Sent: s.State == StepSent, Stands: s.State == StepAccepted || s.State == StepDone,
		})
	}
	return plans
}

// Abandon gives the rotation up at every registry where it is not complete. Bytes that never left
// this machine are dropped, and no registry is asked. Where they may have arrived, the registry is
// asked: if they stand, that stays so and is completed here; if not, a version of the same number
// with the keys as they were is signed and submitted, so that the bytes can never stand, whoever has
// caught them. Keys that were made for the rotation are removed where nothing trusts them. A step
// that could not be abandoned is left as it is, and the same call goes on with it.
func (r *Rotation) Abandon(ctx context.Context) ([]AbandonOutcome, []LeftKey, error) {
	r.Intent.Abandoned = true
	if err := r.Journal.Save(r.Intent); err != nil {
		return nil, nil, err
	}
	var outcomes []AbandonOutcome
	for n := range r.Intent.Steps {
		s := &r.Intent.Steps[n]
		outcome := AbandonOutcome{Stands: s.State == StepDone}
		if !s.Closed() {
			outcome = r.abandon(ctx, s)
		}
		outcome.Step = *s
		outcomes = append(outcomes, outcome)
	}
	if slices.ContainsFunc(outcomes, func(o AbandonOutcome) bool { return o.Err != nil }) {
		return outcomes, nil, nil
	}
	left, err := r.dropKeys(ctx)
	if err != nil {
		return outcomes, left, err
	}
	return outcomes, left, r.Journal.End(r.Intent)
}

func (r *Rotation) abandon(ctx context.Context, s *Step) AbandonOutcome {
	l := r.At(s.Index, s.Account)
	switch s.State {
	case StepAccepted:
		return r.keepAccepted(ctx, s)
	case StepSent:
		return r.abandonSent(ctx, l, s)
	}
	err := r.drop(l)
	if err == nil {
		err = r.closeStep(s)
	}
	return AbandonOutcome{Err: err}
}

// closeStep notes that a step is abandoned.
func (r *Rotation) closeStep(s *Step) error {
	s.State, s.Version = StepAbandoned, 0
	return r.Journal.Save(r.Intent)
}

// drop forgets signed bytes of the rotation. Others stay.
func (r *Rotation) drop(l *Lifecycle) error {
	if waits, err := r.waits(l); err != nil || !waits {
		return err
	}
	return l.State().clearPending()
}

// keepAccepted completes a step that stands.
func (r *Rotation) keepAccepted(ctx context.Context, s *Step) AbandonOutcome {
	l := r.At(s.Index, s.Account)
	stands := true
	finish := func() error {
		if _, _, err := l.Settle(ctx); err != nil {
			return err
		}
		base, err := l.State().Keyset()
		if err != nil {
			return err
		}
		plan, err := l.planRotation(base, r.options())
		if unread(err) {
			return err
		}
		if err != nil || !plan.Done { // others have changed it since
			stands = false
			return r.closeStep(s)
		}
		if _, err := plan.Run(ctx); err != nil {
			return err
		}
		if err := r.Configure(ctx, *s); err != nil {
			return err
		}
		s.State = StepDone
		return r.Journal.Save(r.Intent)
	}
	err := finish()
	return AbandonOutcome{Stands: stands, Err: err}
}

// abandonSent asks the registry what became of the bytes, and sees to it that they can't stand if
// they don't already.
func (r *Rotation) abandonSent(ctx context.Context, l *Lifecycle, s *Step) AbandonOutcome {
	for range maxOvertaken {
		base, err := r.standing(ctx, l)
		if err != nil {
			return AbandonOutcome{Err: err}
		}
		switch {
		case r.Intent.lists(base):
			s.State = StepAccepted
			if err := r.Journal.Save(r.Intent); err != nil {
				return AbandonOutcome{Err: err}
			}
			return r.keepAccepted(ctx, s)
		case base.Version >= s.Version:
			// Another version of that number stands.
			return AbandonOutcome{Version: r.instead(l, base, s), Err: errors.Join(r.drop(l), r.closeStep(s))}
		}
		_, err = l.supersede(ctx, base, r.With)
		var refusal Refusal
		if err != nil && !errors.As(err, &refusal) {
			return AbandonOutcome{Err: err}
		}
		if overtaken, syncErr := l.overtaken(ctx, base); err != nil && (syncErr != nil || !overtaken) {
			return AbandonOutcome{Err: errors.Join(err, syncErr)}
		}
	}
	return AbandonOutcome{Err: fmt.Errorf("abandoning the rotation at %s: others changed the keyset %d times meanwhile", s.Index, maxOvertaken)}
}

// instead is the version that stands where the abandoned one might have, if this machine made it for
// that purpose: the keys are as they were.
func (r *Rotation) instead(l *Lifecycle, base *SignedKeyset, s *Step) int {
	before, err := l.State().Version(s.Version - 1)
	if err != nil {
		return 0
	}
	after, err := l.State().Version(s.Version)
	if err != nil || !Compare(before, after).Empty() {
		return 0
	}
	return s.Version
}

// standing is what the registry has. Bytes of something else that wait are sent first, among them
// those that an earlier run signed to take the place of the abandoned ones.
func (r *Rotation) standing(ctx context.Context, l *Lifecycle) (*SignedKeyset, error) {
	waits, err := r.waits(l)
	if err != nil { // were they the rotation's, Settle would carry out what is to be abandoned
		return nil, err
	}
	if !waits {
		if _, _, err := l.Settle(ctx); err != nil {
			return nil, err
		}
	}
	base, err := l.Sync(ctx)
	var refusal Refusal
	if !errors.As(err, &refusal) || r.ReadAs == nil {
		return base, err
	}
	// The old key may have lost the right to read with the very bytes whose fate is unknown.
	r.ReadAs(r.Intent.New)
	defer r.ReadAs("")
	if base, againErr := l.Sync(ctx); againErr == nil {
		return base, nil
	}
	return nil, err
}

// supersede submits the version after base with the keys as they are. A managing key signs it, with
// if that is not "".
func (l *Lifecycle) supersede(ctx context.Context, base *SignedKeyset, with string) (*SignedKeyset, error) {
	e, _, err := l.enrolled()
	if err != nil {
		return nil, err
	}
	if with == "" {
		record, err := l.manager(base, e.Key)
		if err != nil {
			return nil, err
		}
		with = record.Name
	}
	signer, err := l.Unlock(ctx, with)
	if err != nil {
		return nil, err
	}
	next, standing, err := l.next(base)
	if err != nil {
		return nil, err
	}
	return l.change(ctx, next, e.clone(), standing, signer)
}

// dropKeys removes the keys that were made for the rotation, as far as nothing needs them.
func (r *Rotation) dropKeys(ctx context.Context) ([]LeftKey, error) {
	var left []LeftKey
	for _, name := range r.Intent.Made {
		l := r.At(r.Intent.Steps[0].Index, r.Intent.Steps[0].Account)
		record, err := l.Keys.Lookup(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return left, err
		}
		key := LeftKey{Record: record}
		if key.Why, err = r.needed(l, record); err != nil {
			return left, err
		}
		if key.Why == "" {
			if err := r.remove(ctx, l.Keys, record); err != nil {
				return left, err
			}
			key.Removed = true
		}
		left = append(left, key)
	}
	return left, nil
}

// needed is why a key must stay; "" if nothing needs it.
func (r *Rotation) needed(l *Lifecycle, record keys.Record) (string, error) {
	id := record.Public.ID()
	if record.Name == r.Intent.New && r.Intent.NewKey != record.Public.String() {
		return "it may have been made by somebody else", nil
	}
	states, err := listStates(l.Home)
	if err != nil {
		return "", err
	}
	for _, s := range states {
		where, err := s.needs(record.Name, id)
		if err != nil {
			return "", err
		}
		if where != "" {
			return "it is trusted, or in use, at " + where, nil
		}
	}
	others, err := r.Journal.Intents()
	if err != nil {
		return "", err
	}
	for _, i := range others {
		if i.ID != r.Intent.ID && (i.New == record.Name || i.Old == record.Name) {
			return "another command that is not complete names it", nil
		}
	}
	return "", nil
}

// needs is the index URL of the registry if the account's keyset, its enrolment or bytes that wait
// name the key; else "".
func (s *State) needs(name string, id keys.ID) (string, error) {
	var keysets []*SignedKeyset
	k, err := s.Keyset()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err == nil {
		keysets = append(keysets, k)
	}
	p, err := s.pending()
	if err != nil {
		return "", err
	}
	if p != nil {
		if k, err = p.keyset(); err != nil {
			return "", err
		}
		keysets = append(keysets, k)
	}
	for _, k := range keysets {
		if _, listed := k.Entry(id); listed {
			return k.Registry, nil
		}
	}
	e, err := s.enrolment()
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil && (e.Key == name || e.ReadKey == name || e.uses(name)) {
		return e.Index, nil
	}
	return "", err
}

// remove deletes a key, and the revocation certificates that were written for it into regkey's own
// folder: they would stand in the way of the next key of that name.
func (r *Rotation) remove(ctx context.Context, store *keys.Store, record keys.Record) error {
	for _, s := range r.Intent.Steps {
		l := r.At(s.Index, s.Account)
		path, err := l.certificatePath(record.Name)
		if err != nil {
			return err
		}
		if l.sameCertificate(path, record.Public, fs.ErrExist) == nil {
			if err := atomicfile.Remove(path); err != nil {
				return err
			}
		}
	}
	err := store.Remove(ctx, record.Name)
	if errors.As(err, new(*keys.ItemsLeftError)) {
		err = nil // what the keychain keeps has become useless
	}
	return err
}
