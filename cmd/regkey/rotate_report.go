// What rotations over several registries say: the plan before, and what became of it.

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// rotationsFacts is a plan or an outcome in JSON.
type rotationsFacts struct {
	Old        string      `json:"old"`
	OldID      string      `json:"old-id,omitzero"`
	New        string      `json:"new"`
	NewID      string      `json:"new-id,omitzero"` // none before the key is made
	Begun      string      `json:"begun,omitzero"`
	DryRun     bool        `json:"dry-run"`
	Complete   bool        `json:"complete"` // nothing is left for --resume
	Registries []stepFacts `json:"registries"`
	Left       []leftFacts `json:"keys-left,omitzero"` // of keys that came in for what was given up
}

// stepFacts is one registry of it.
type stepFacts struct {
	Registry    string   `json:"registry"`
	Index       string   `json:"index"`
	Account     string   `json:"account,omitzero"`
	State       string   `json:"state"`          // planned, signed, sent, accepted, done, abandoned; or by-hand
	May         []string `json:"may,omitzero"`   // what the new key may do
	Until       string   `json:"until,omitzero"` // the old key's end, with an overlap
	SignedBy    string   `json:"signed-by,omitzero"`
	Waits       bool     `json:"waits"` // signed already: those bytes are sent
	Stands      bool     `json:"stands"`
	Version     int      `json:"version,omitzero"`
	Certificate string   `json:"certificate,omitzero"`
	Read        string   `json:"read,omitzero"`
	Steps       []string `json:"steps,omitzero"` // by hand
	Error       string   `json:"error,omitzero"`
}

// leftFacts is what became of a key.
type leftFacts struct {
	Key     string `json:"key"`
	Removed bool   `json:"removed"`
	Why     string `json:"why,omitzero"`
}

func (r *rotation) facts(registries []stepFacts) rotationsFacts {
	f := rotationsFacts{
		Old: r.Intent.Old, New: r.Intent.New, DryRun: r.o.dryRun, Complete: !r.isOpen(), Registries: registries, Begun: moment(r.Intent.Begun),
	}
	store := r.a.store(r.home)
	if record, err := store.Lookup(r.Intent.Old); err == nil && !record.Public.IsZero() {
		f.OldID = record.Public.ID().String()
	}
	if record, err := store.Lookup(r.Intent.New); err == nil && !record.Public.IsZero() {
		f.NewID = record.Public.ID().String()
	}
	return f
}

func (r *rotation) stepFacts(s enroll.Step, err error) stepFacts {
	f := stepFacts{Registry: r.place(s.Index, s.Account).e.Name, Index: s.Index, Account: s.Account, State: string(s.State), Version: s.Version}
	if err != nil {
		f.Error = err.Error()
	}
	return f
}

// handSteps are what a person has to do at a registry whose keys are on its website.
func (r *rotation) handSteps(e *enroll.Enrolment) []string {
	steps := []string{
		"paste the public key of " + r.Intent.New + " on the website of " + label(e),
		"run " + manualCommand(e, r.Intent.New),
		"remove the old key there",
	}
	if record, err := r.a.store(r.home).Lookup(r.Intent.New); err == nil && !record.Public.IsZero() {
		steps[0] += ": " + record.Public.String()
	}
	return steps
}

func (r *rotation) manualFacts() []stepFacts {
	var all []stepFacts
	for _, e := range r.manual {
		all = append(all, stepFacts{Registry: e.Name, Index: e.Index, Account: e.Account, State: "by-hand", Steps: r.handSteps(e)})
	}
	return all
}

// planFacts is what a look found at one registry.
func (r *rotation) planFacts(p enroll.StepPlan) stepFacts {
	f := r.stepFacts(p.Step, p.Err)
	f.Waits = p.Waits
	if p.Plan != nil {
		f.May, f.Until, f.SignedBy, f.Stands = p.Plan.Entry.Can.Names(), moment(p.Plan.Until), p.Plan.With, p.Plan.Done
	}
	return f
}

// planRow is the same for people.
func (r *rotation) planRow(p enroll.StepPlan) []string {
	cells := []string{r.label(p.Step), p.Step.Account, "", "", ""}
	switch {
	case p.Step.Closed():
		cells[4] = string(p.Step.State) + " already"
	case p.Plan != nil && p.Plan.Done:
		cells[4] = "accepted already; the rest is done here"
	case p.Waits:
		cells[4] = "signed already: sent as it is"
	case p.Err != nil:
		cells[4] = p.Err.Error()
	default:
		cells[2], cells[3], cells[4] = p.Plan.Entry.Can.String(), "goes at once", "signed by "+p.Plan.With
		if !p.Plan.Until.IsZero() {
			cells[3] = "publishes until " + moment(p.Plan.Until)
		}
	}
	return cells
}

func (r *rotation) writePlans(w *tabwriter.Writer, plans []enroll.StepPlan) {
	row(w, "REGISTRY", "ACCOUNT", r.Intent.New+" MAY", r.Intent.Old, "HOW")
	for _, p := range plans {
		row(w, r.planRow(p)...)
	}
	for _, e := range r.manual {
		row(w, label(e), e.Account, "", "", "by hand, on its website")
	}
	_ = w.Flush()
}

// sayPlans shows the plan to whoever is asked about it.
func (r *rotation) sayPlans(plans []enroll.StepPlan) {
	r.writePlans(tabwriter.NewWriter(r.a.stderr, 0, 0, 2, ' ', 0), plans)
}

// reportPlans is the result of --dry-run.
func (r *rotation) reportPlans(plans []enroll.StepPlan) error {
	var failed error
	var all []stepFacts
	for _, p := range plans {
		all = append(all, r.planFacts(p))
		if p.Err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", r.label(p.Step), p.Err))
		}
	}
	if r.o.json {
		return errors.Join(r.a.printJSON(r.facts(append(all, r.manualFacts()...))), failed)
	}
	r.writePlans(tabwriter.NewWriter(r.a.stdout, 0, 0, 2, ' ', 0), plans)
	return failed
}

// report says what became of each registry, and what is left.
func (r *rotation) report(outcomes []enroll.StepOutcome) error {
	var err error
	if r.o.json {
		err = r.reportJSON(outcomes)
	} else {
		err = r.reportText(outcomes)
	}
	return errors.Join(err, r.failures(outcomes))
}

func (r *rotation) reportJSON(outcomes []enroll.StepOutcome) error {
	var all []stepFacts
	for _, o := range outcomes {
		f := r.stepFacts(o.Step, o.Err)
		if o.Done != nil {
			f.Stands, f.Until, f.Certificate, f.Read = true, moment(o.Done.Until), o.Done.Certificate, o.Done.Read
		}
		all = append(all, f)
	}
	return r.a.printJSON(r.facts(append(all, r.manualFacts()...)))
}

func (r *rotation) reportText(outcomes []enroll.StepOutcome) error {
	var facts []fact
	certificates, open := "", r.isOpen()
	for _, o := range outcomes {
		what, text := "rotated", r.label(o.Step)+" to "+r.Intent.New
		switch {
		case o.Done != nil:
			text += fmt.Sprintf(", keyset version %d", o.Done.Version)
			if !o.Done.Until.IsZero() {
				text += ", " + r.Intent.Old + " publishes until " + moment(o.Done.Until)
			}
			certificates = o.Done.Certificate
		case o.Step.State == enroll.StepDone:
			text += " already"
		case o.Step.State == enroll.StepAbandoned:
			what, text = "not rotated", r.label(o.Step)+": nothing is left to do there"
		case !open: // it was stopped before the first signature, and is not in the journal any more
			what, text = "not rotated", r.label(o.Step)+": nothing was changed there"
		default:
			what, text = "left", r.label(o.Step)+", "+string(o.Step.State)
		}
		facts = append(facts, fact{what, text})
	}
	err := r.a.printFacts(facts...)
	for _, e := range r.manual {
		for n, step := range r.handSteps(e) {
			err = errors.Join(err, r.a.printLine("%s, by hand, %d. %s", label(e), n+1, step))
		}
	}
	r.a.adviseCertificate(certificates)
	return err
}

// A leftError says that something which was begun is not complete.
type leftError struct{ what string }

func (e *leftError) Error() string { return e.what }

// orLeft is a failure, and that something is left where that is so. nil stays nil.
func (r *rotation) orLeft(failed error) error {
	if failed == nil || !r.isOpen() {
		return failed
	}
	return errors.Join(failed, &leftError{unfinished(r.Intent, "")})
}

// An unchangedError says that a run which failed has left everything as it was.
type unchangedError struct {
	err  error
	what string
}

func (e *unchangedError) Error() string { return e.err.Error() }
func (e *unchangedError) Unwrap() error { return e.err }

// orUnchanged is a failure, and that nothing was changed where that is so: nothing of the rotation is in the
// journal, and no registry has taken it. nil stays nil.
func (r *rotation) orUnchanged(failed error, outcomes []enroll.StepOutcome) error {
	accepted := slices.ContainsFunc(outcomes, func(o enroll.StepOutcome) bool { return o.Done != nil || o.Step.State != enroll.StepPlanned })
	waits := errors.As(failed, new(*enroll.LeftError))
	if failed == nil || accepted || waits || r.settled || r.isOpen() {
		return failed
	}
	if len(r.unused()) > 0 {
		return &unchangedError{failed, "this command changed nothing at any registry"}
	}
	return &unchangedError{failed, "this command changed nothing"}
}

// failures is the error of a run: what went wrong where, and that something is left.
func (r *rotation) failures(outcomes []enroll.StepOutcome) error {
	var failed error
	for _, o := range outcomes {
		if o.Err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", r.label(o.Step), o.Err))
		}
	}
	failed = errors.Join(append([]error{failed}, r.byHand...)...)
	switch {
	case r.isOpen():
		return errors.Join(failed, advised(&leftError{unfinished(r.Intent, "")}, "what is done stands; the rest waits for the registries that failed"))
	case failed == nil && len(r.manual) > 0:
		return errByHand
	}
	return r.orUnchanged(failed, outcomes)
}

// sayAbandonment shows what giving up means, before it does.
func (r *rotation) sayAbandonment() {
	w := tabwriter.NewWriter(r.a.stderr, 0, 0, 2, ' ', 0)
	row(w, "REGISTRY", "ACCOUNT", "STATE", "WHAT BECOMES OF IT")
	for _, p := range r.PlanAbandon() {
		what := "nothing was signed: dropped"
		switch {
		case p.Stands:
			what = "the registry trusts " + r.Intent.New + ": that stays"
		case p.Sent:
			what = "what was sent is replaced by a version with the keys as they were, unless it stands"
		case p.Step.State == enroll.StepSigned:
			what = "what was signed never left this machine: dropped"
		}
		row(w, r.label(p.Step), p.Step.Account, string(p.Step.State), what)
	}
	_ = w.Flush()
}

func (r *rotation) reportAbandonment(outcomes []enroll.AbandonOutcome, left []enroll.LeftKey) error {
	var steps []stepFacts
	var facts []fact
	var runs []enroll.StepOutcome
	for _, o := range outcomes {
		f := r.stepFacts(o.Step, o.Err)
		f.Stands, f.Version = o.Stands, o.Version
		steps = append(steps, f)
		runs = append(runs, enroll.StepOutcome{Step: o.Step, Err: o.Err})
		switch {
		case o.Err != nil:
			facts = append(facts, fact{"left", r.label(o.Step) + ", " + string(o.Step.State)})
		case o.Stands:
			facts = append(facts, fact{"stands", r.label(o.Step) + " trusts " + r.Intent.New + ", and not " + r.Intent.Old + " as before: that can't be undone from here"})
		case o.Version > 0:
			facts = append(facts, fact{"given up", fmt.Sprintf("%s, by keyset version %d with the keys as they were", r.label(o.Step), o.Version)})
		default:
			facts = append(facts, fact{"given up", r.label(o.Step)})
		}
	}
	all := r.facts(steps)
	for _, k := range left {
		all.Left = append(all.Left, leftFacts{k.Record.Name, k.Removed, r.why(k)})
		facts = append(facts, r.leftFact(k))
	}
	var err error
	if r.o.json {
		err = r.a.printJSON(all)
	} else {
		err = r.a.printFacts(facts...)
	}
	return errors.Join(err, r.failures(runs))
}

func (r *rotation) leftFact(k enroll.LeftKey) fact {
	if why := r.why(k); k.Removed && why != "" {
		return fact{"removed", k.Record.Name + "; " + why}
	} else if !k.Removed {
		return fact{"kept", k.Record.Name + ": " + why}
	}
	return fact{"removed", k.Record.Name}
}

// why is what there is to say of a key besides whether it was removed.
func (r *rotation) why(k enroll.LeftKey) string {
	if t := k.Record.Token; k.Removed && k.Record.Protection == keys.Hardware && t != nil {
		return fmt.Sprintf("the key stays on YubiKey %d in slot %s: \"regkey init NAME --hardware --serial %d --slot %s --force\" overwrites it", t.Serial, t.Slot, t.Serial, t.Slot)
	}
	return k.Why
}

// overtaken asks whether to go on where another machine has changed the keys meanwhile. A yes that was
// given before counts only if the change is about other keys than those of the rotation.
func (r *rotation) overtaken(ctx context.Context, o *enroll.Overtaken) error {
	a := r.a
	r.sayChange(o)
	o.Told = true
	if r.o.yes && !o.Same {
		return nil
	}
	if !a.terminal && o.Same {
		return advised(fmt.Errorf("rotating %s at %s: that change is about a key of this rotation, so the yes that was given before does not count", r.Intent.Old, r.label(o.Step)),
			"look at it: \"regkey rotate --dry-run\" and what this was asked before; then give the same command again")
	}
	return a.confirm(ctx, "Go on, upon what stands now?")
}

// sayChange tells what another machine has changed, unless that was told when it was noticed.
func (r *rotation) sayChange(o *enroll.Overtaken) {
	p := r.place(o.Step.Index, o.Step.Account)
	r.a.say("regkey: another machine has changed the keys at %s meanwhile, with version %d", r.label(o.Step), o.Change.Version)
	if p.told >= o.Change.Version {
		return
	}
	names := namesIn(p.life.Keys, p.e)
	for _, line := range names.lines(names.version(o.Change), nil) {
		r.a.say("        %s", line)
	}
}
