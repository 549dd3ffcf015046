// regkey enroll: having a registry trust a key.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
)

func (a *app) runEnroll(ctx context.Context, o enrollOptions) error {
	t, err := a.target(o.registry, o.name)
	if err != nil {
		return err
	}
	return a.locked(ctx, func(ctx context.Context, home string) error {
		var record keys.Record
		if o.key != "" || o.manual || !mayFollow(home, t) {
			if record, err = a.keyToEnroll(ctx, home, o); err != nil {
				return err
			}
		}
		if o.manual {
			return a.enrollManually(ctx, home, t, record, o)
		}
		return a.enroll(ctx, home, t, record, o)
	})
}

// keyToEnroll is the key that was named, or the only one, or one that a person chooses.
func (a *app) keyToEnroll(ctx context.Context, home string, o enrollOptions) (keys.Record, error) {
	record, err := a.key(ctx, a.store(home), o.key)
	if err == nil && o.can.Has(enroll.Manage) && !record.MayManage() {
		err = usage("--can manage: key %s may not manage an account's keys: %s", record.Name, elsewhere(record))
	}
	return record, err
}

// keyOr is record, or [app.keyToEnroll] if there is none yet.
func (a *app) keyOr(ctx context.Context, home string, record keys.Record, o enrollOptions) (keys.Record, error) {
	if record.Name != "" {
		return record, nil
	}
	return a.keyToEnroll(ctx, home, o)
}

// enroll makes the trust first and tells cargo last, so that running it again completes it. Without a record the key
// is chosen once it is known that the registry is not one that has moved, whose enrolment has its key already.
func (a *app) enroll(ctx context.Context, home string, t target, record keys.Record, o enrollOptions) error {
	if _, err := a.openWithFile(ctx, a.store(home), o.file); err != nil {
		return err
	}
	old, err := enroll.LookupAccount(home, t.index, o.account)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	o.complete(old)
	life, client := a.lifecycleAs(home, t.index, o.account, o.insecure)
	discovery, err := client.Discover(ctx)
	if err != nil {
		return life.Left(err)
	}
	life.Former = discovery.Former
	if old == nil || hasLeftBehind(home, old) {
		if done, err := a.follow(ctx, life, t, o); done || err != nil {
			return err
		}
	}
	if record, err = a.keyOr(ctx, home, record, o); err != nil {
		return err
	}
	if err := a.lookBack(ctx, life, t, old, &o); err != nil {
		return err
	}
	s := &stranger{life, discovery, t, record, o}
	known := old != nil && !old.Manual && !o.afterReset
	switch {
	case !known:
		if done, err := a.enrollStranger(ctx, s); done || err != nil {
			return err
		}
		o = s.o
	case o.join || life.State().Proposing() != "":
		return a.enrollFurther(ctx, s, old)
	}
	plan, err := a.planEnrolment(ctx, life, discovery, t, enroll.EnrolOptions{
		Account: o.account, Key: record, With: o.with, Can: o.can, Crates: o.crates, Until: o.until,
		Name: t.name, Challenge: discovery.Challenge, MaxAge: discovery.MaxAge, Insecure: o.insecure, Certificate: o.certificate,
	})
	if errors.As(err, new(*enroll.NoManagerError)) && known && a.manager == "" && o.with == "" && a.terminal {
		return a.enrollFurther(ctx, s, old)
	}
	if err != nil {
		return err
	}
	return a.carryOutEnrolment(ctx, life, t, plan, o)
}

// complete takes from an enrolment of before, which may be nil, what was not said anew.
func (o *enrollOptions) complete(old *enroll.Enrolment) {
	if old == nil {
		return
	}
	o.insecure = o.insecure || old.Insecure
	if o.afterReset && o.account == "" {
		o.account = old.Account // which nothing names any more once it is set aside
	}
}

// carryOutEnrolment asks for a yes, makes the trust, and has cargo sign.
func (a *app) carryOutEnrolment(ctx context.Context, life *enroll.Lifecycle, t target, plan *enroll.EnrolPlan, o enrollOptions) error {
	if err := a.confirmEnrolment(ctx, t, plan, o); err != nil {
		return err
	}
	intent, err := life.Begin(enroll.KindEnrol, plan.Account, plan.Key.Name)
	if err != nil {
		return err
	}
	done, err := a.runEnrolment(ctx, life, t, plan, o)
	if err != nil {
		return life.EndIntent(intent, err)
	}
	outcome, cargoErr := a.configureCargo(t, o.leaveCargo)
	if cargoErr == nil || errors.Is(cargoErr, errByHand) {
		cargoErr = errors.Join(cargoErr, life.EndIntent(intent, nil))
	} else {
		cargoErr = &enroll.LeftError{Err: cargoErr}
	}
	err = errors.Join(a.reportEnrolment(t, plan.Key, done, outcome, o), cargoErr)
	a.suggestBackup(life, done)
	return err
}

// lookBack brings what stands here from earlier up to date, and completes o where nothing does.
func (a *app) lookBack(ctx context.Context, life *enroll.Lifecycle, t target, old *enroll.Enrolment, o *enrollOptions) (err error) {
	if o.afterReset && old != nil && !old.Manual {
		if err := a.setAside(ctx, life, t, *o); err != nil {
			return err
		}
		old = nil
	}
	if err := a.hearOfReader(ctx, life, old); err != nil {
		return err
	}
	if o.account == "" && (old == nil || old.Manual) && !life.State().Pending() {
		o.account, err = a.text(ctx, "Account at "+t.label(), "", "--account", enroll.CheckAccount)
	}
	return err
}

// planEnrolment finds out what enrolling means now, and whether the registry would have it.
func (a *app) planEnrolment(
	ctx context.Context, life *enroll.Lifecycle, discovery *registryclient.Discovery, t target, o enroll.EnrolOptions,
) (*enroll.EnrolPlan, error) {
	plan, err := life.PlanEnrolment(ctx, o)
	if err != nil || plan.Step == enroll.EnrolDone {
		return plan, err
	}
	if err := a.checkFirst(plan, t, o.Key); err != nil {
		return nil, err
	}
	if plan.Step == enroll.EnrolFirst && !slices.Contains(discovery.Bootstrap, "code") {
		return nil, fmt.Errorf("enrolling at %s: it takes no invite codes, and regkey knows no other way to begin there", t.label())
	}
	return plan, a.checkPolicy(t.label(), discovery, o.Key, o.Can)
}

// checkFirst refuses, as the first key of an account, one that may not manage it.
func (a *app) checkFirst(plan *enroll.EnrolPlan, t target, r keys.Record) error {
	if plan.Step != enroll.EnrolFirst || r.MayManage() {
		return nil
	}
	return advised(fmt.Errorf("the first key of an account manages it, and key %s may not manage: %s", r.Name, elsewhere(r)),
		"make a key here first, \"regkey init NAME\", and enrol that with the invite code;",
		fmt.Sprintf("then \"regkey enroll --registry %s --key %s\" has it sign this one in", t.label(), r.Name))
}

// elsewhere is why a key may not manage an account's keys.
func elsewhere(r keys.Record) string {
	if r.Protection == keys.SSHAgent {
		return "it lives in an ssh-agent, and signs for whoever reaches that"
	}
	return "it was made elsewhere, and copies of it may still be there"
}

// runEnrolment asks for the code, makes the key that only reads where one is wanted, and carries
// the plan out.
func (a *app) runEnrolment(
	ctx context.Context, life *enroll.Lifecycle, t target, plan *enroll.EnrolPlan, o enrollOptions,
) (*enroll.Enrolled, error) {
	code, err := a.code(ctx, plan, o)
	if err != nil {
		return nil, err
	}
	a.purpose = "enrol " + plan.Key.Name + " at " + t.label()
	wantsReader, err := plan.WantsReader()
	if err != nil {
		return nil, err
	}
	if wantsReader {
		if plan.Read, err = a.readerKey(ctx, life, plan.Key.Name); err != nil {
			return nil, err
		}
	}
	done, err := plan.Run(ctx, code)
	if refused, ok := errors.AsType[*registryclient.Error](err); ok && refused.Code == "keyset-conflict" && plan.Step == enroll.EnrolFirst {
		return nil, advised(err, "the account has keys already: enrol this one on a machine that has a key that manages it, or ask the operator to reset the account")
	}
	return done, err
}

// setAside lets a new chain begin where the registry no longer shows the one that this machine has
// verified.
func (a *app) setAside(ctx context.Context, life *enroll.Lifecycle, t target, o enrollOptions) error {
	_, err := life.Sync(ctx)
	switch {
	case err == nil:
		return fmt.Errorf("setting the old keyset aside: %s still shows it, so the account was not reset", t.label())
	case ctx.Err() != nil, errors.Is(err, errCancelled):
		return err // somebody changed his mind, about what was asked for reading
	case errors.As(err, new(*registryclient.NetworkError)), errors.As(err, new(*registryclient.StatusError)), errors.As(err, new(*registryclient.StrayError)):
		return err // it could not be asked
	}
	if !o.yes && !o.codeStdin {
		a.say("the keyset that this machine has verified at %s would be set aside, and trust begin anew", t.label())
		if err := a.confirm(ctx, "Has the operator told you that the account was reset?"); err != nil {
			return err
		}
	}
	return life.State().SetAside(a.now())
}

// confirmEnrolment shows the index URL before anything is signed.
func (a *app) confirmEnrolment(ctx context.Context, t target, plan *enroll.EnrolPlan, o enrollOptions) error {
	if plan.Step == enroll.EnrolDone || o.yes || o.codeStdin {
		return nil
	}
	if !a.terminal && plan.Step == enroll.EnrolFirst {
		return &missingError{"the invite code", "--code-stdin"}
	}
	can := plan.Can
	switch {
	case can == 0 && plan.Step == enroll.EnrolFirst:
		can = enroll.CanEverything
	case can == 0:
		can = enroll.CanByDefault
	}
	a.say("registry  %s", t.label())
	a.say("index     %s", t.index)
	a.say("account   %s", plan.Account)
	a.say("key       %s (%v)", plan.Key.Name, plan.Key.Public.ID())
	a.say("may       %v", can)
	if len(plan.Crates) > 0 {
		a.say("crates    %s", every(plan.Crates))
	}
	if !plan.Until.IsZero() {
		a.say("until     %s", moment(plan.Until))
	}
	if plan.Step == enroll.EnrolAdd {
		a.say("signed by %s", plan.With)
	}
	if text := unbounded(can, plan.Crates); text != "" {
		a.say("note      %s", text)
	}
	return a.confirm(ctx, "Enrol this key there?")
}

// code is the invite code, where the plan needs one.
func (a *app) code(ctx context.Context, plan *enroll.EnrolPlan, o enrollOptions) (keys.Secret, error) {
	switch {
	case plan.Step != enroll.EnrolFirst:
		return keys.Secret{}, nil
	case o.codeStdin:
		return a.codeFromStdin()
	case !o.code.IsZero():
		return o.code, nil
	case !a.terminal:
		return keys.Secret{}, &missingError{"the invite code", "--code-stdin"}
	}
	return a.secret(ctx, "Invite code of "+plan.Account+":", "--code-stdin")
}

// enrolmentFacts is the outcome in JSON.
type enrolmentFacts struct {
	Registry    string       `json:"registry"` // cargo's name; may be empty
	Index       string       `json:"index"`
	Account     string       `json:"account"`
	Step        string       `json:"step"` // first, add, done
	Key         string       `json:"key"`
	ID          string       `json:"id"`
	Can         []string     `json:"can"`
	Version     int          `json:"version"`
	Certificate string       `json:"certificate,omitzero"`
	Read        string       `json:"read,omitzero"` // the key that reads here, if another one does
	Cargo       cargoOutcome `json:"cargo"`
}

func (a *app) reportEnrolment(t target, record keys.Record, done *enroll.Enrolled, c cargoOutcome, o enrollOptions) error {
	if o.json {
		return a.printJSON(enrolmentFacts{
			Registry: t.name, Index: t.index, Account: done.Account, Step: string(done.Step), Key: record.Name,
			ID: done.Key.String(), Can: done.Can.Names(), Version: done.Version, Certificate: done.Certificate, Read: done.Read, Cargo: c,
		})
	}
	what := "enrolled"
	if done.Step == enroll.EnrolDone {
		what = "enrolled already"
	}
	err := a.printFacts(
		fact{what, record.Name + " at " + t.label()},
		fact{"index", t.index}, fact{"account", done.Account}, fact{"may", done.Can.String()}, fact{"id", done.Key.String()},
		fact{"reads with", done.Read},
		fact{"keyset", fmt.Sprintf("version %d", done.Version)},
		fact{"revocation certificate", done.Certificate}, fact{"cargo", c.describe()},
	)
	a.adviseCertificate(done.Certificate)
	if text := unbounded(done.Can, o.crates); text != "" && done.Step != enroll.EnrolDone {
		a.say("regkey: note: %s", text)
	}
	a.sayInUse(t, done.Account)
	return err
}

// sayInUse tells where cargo goes on signing for another account of this machine there.
func (a *app) sayInUse(t target, account string) {
	home, err := a.home()
	if err != nil {
		return
	}
	if used, err := enroll.LookupEnrolment(home, t.index); err == nil && used.Account != account {
		a.say("regkey: cargo goes on signing for the account %s there; \"regkey use --registry %s --account %s\" changes that", used.Account, t.label(), account)
	}
}

// describe says in a word what became of cargo's configuration; "" if it was left alone.
func (c cargoOutcome) describe() string {
	switch {
	case c.File == "":
		return ""
	case c.Changed:
		return "set up in " + c.File
	}
	return "was set up in " + c.File
}

// adviseCertificate asks to move a certificate that would be lost together with its key.
func (a *app) adviseCertificate(path string) {
	home, err := a.home()
	if _, statErr := atomicfile.Stat(path); err != nil || statErr != nil || !sameDisk(path, home) {
		return
	}
	a.say("regkey: move the revocation certificate away from this disk: it ends the key when this machine is gone, and does nothing else")
}
