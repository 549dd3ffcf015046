// regkey enroll: having a registry trust a key.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
)

type enrollOptions struct {
	registry, name, key, account, with string
	can                                enroll.Can
	crates                             []string
	until                              time.Time
	certificate, subject               string
	codeStdin, manual                  bool
	leaveCargo, insecure, yes, json    bool
	afterReset                         bool
	join, noWait                       bool
	keysetCode, file                   string
	code                               keys.Secret // that a person typed already
}

func (a *app) enrollCommand() *cli.Command {
	return &cli.Command{
		Name:  "enroll",
		Usage: "have a registry trust a key",
		Description: `Enrols a key at a registry, and tells cargo to sign for that registry with regkey.

The first key of an account needs an invite code from the registry's operator. The code is
asked for on the terminal, or read from standard input with --code-stdin, and is never
sent: it signs. The first key may do everything, and manages the account's keys. A later
key is signed in by one that manages, and may publish, yank and read unless --can says
otherwise.

On a further machine of yours, enroll shows a short code, and waits until "regkey approve" on
a machine that manages the account has let the key in: for 15 minutes. Run it again, and it
goes on waiting. Where a registry shows keysets only to keys that it knows, "regkey keyset
show" prints a code there that this machine needs: --keyset-code. A key that the account
trusts already, as of a restored home, is simply taken up again.

An account beside the one that is in use here is enrolled with --account; "regkey use" changes
which one cargo signs for. Where a registry says that it has moved from an index URL at which
this machine is enrolled, the enrolment moves along, once you have said yes.

A revocation certificate is made at once: whoever holds it can end the key, and do nothing
else. Keep it where you will find it when this machine is gone.

A key in a token goes along with its attestation, the maker's word for it. If its signatures
want a PIN or a touch, a second key is made that can only read: KEY-read, in a file,
without a passphrase. --key yk2 --with yk puts a second token in, as a spare.

A registry without a key API takes keys on its website: --manual prints what to paste there.

Examples:
   regkey enroll --registry lab --account crates-team
   regkey enroll --registry lab --key ci --can publish --crates 'foo-*' --until 90d
   regkey enroll --registry lab --key yk2 --with yk
   regkey enroll --registry lab --account crates-team --join
   regkey enroll --registry lab --account crates-team --with-file /media/stick/safe.age
   regkey enroll --registry sparse+https://crates.example.com/index/ --name example
   regkey enroll --registry lab --key laptop --account crates-team --code-stdin < code
   regkey enroll --registry other --key laptop --manual --subject alice`,
		Flags: enrollFlags(),
		Action: func(c *cli.Context) error {
			o, err := a.enrollOptions(c)
			if err != nil {
				return err
			}
			if o.codeStdin {
				a.terminal = false // standard input holds the code: nobody can be asked there
			}
			return a.runEnroll(c.Context, o)
		},
	}
}

func enrollFlags() []cli.Flag {
	return []cli.Flag{
		registryFlag(),
		&cli.StringFlag{Name: "name", Usage: "what cargo shall call a registry that is given by its URL: a `NAME`"},
		&cli.StringFlag{Name: "key", Usage: "the `KEY` to be trusted (if there is only one: that one)"},
		&cli.StringFlag{Name: "account", Usage: "the `ACCOUNT` at the registry"},
		&cli.BoolFlag{Name: "code-stdin", Usage: "read the invite code from standard input; counts as --yes"},
		&cli.StringFlag{Name: "with", Usage: "the managing `KEY` that signs a further one in (one that is here)"},
		withFileFlag(),
		&cli.BoolFlag{Name: "join", Usage: "have another machine, which manages the account, let this one in; counts as --yes"},
		&cli.StringFlag{Name: "keyset-code", Usage: "the `CODE` that \"regkey keyset show\" prints on the other machine; counts as --join"},
		&cli.BoolFlag{Name: "no-wait", Usage: "show the code and end; the same command, run again, completes it"},
		&cli.StringFlag{Name: "can", Usage: "what the key may do: a `LIST` of manage,publish,yank,owners,read"},
		&cli.StringFlag{Name: "crates", Usage: "the crates that it may do it to: a `LIST` of names, with * at the end"},
		&cli.StringFlag{Name: "until", Usage: "when the key ends: a `TIME` like 2027-01-31 or 90d"},
		certificateFlag(),
		&cli.BoolFlag{Name: "no-cargo-config", Usage: "leave cargo's configuration alone"},
		&cli.BoolFlag{Name: "insecure-http", Usage: "allow plain http to another machine"},
		&cli.BoolFlag{Name: "manual", Usage: "the registry takes keys on its website only"},
		&cli.StringFlag{Name: "subject", Usage: "with --manual: the `SUBJECT` that the registry wants in tokens"},
		&cli.BoolFlag{Name: "after-reset", Usage: "the operator has reset the account: set the old keyset aside and begin anew"},
		yesFlag(), jsonFlag(),
	}
}

func (a *app) enrollOptions(c *cli.Context) (enrollOptions, error) {
	o := enrollOptions{
		registry: c.String("registry"), name: c.String("name"), key: c.String("key"), account: c.String("account"),
		with: c.String("with"), crates: list(c.String("crates")), certificate: c.String("revocation-file"),
		subject: c.String("subject"), codeStdin: c.Bool("code-stdin"), manual: c.Bool("manual"),
		leaveCargo: c.Bool("no-cargo-config"), insecure: c.Bool("insecure-http"), yes: c.Bool("yes"), json: c.Bool("json"),
		afterReset: c.Bool("after-reset"), join: c.Bool("join"), noWait: c.Bool("no-wait"), file: c.String("with-file"),
	}
	if err := noArguments(c); err != nil {
		return o, err
	}
	var err error
	if o.can, err = enroll.CanOf(list(c.String("can"))...); err != nil {
		return o, usage("reading --can: %w", err)
	}
	if err := enroll.CheckCrates(o.crates); err != nil {
		return o, usage("reading --crates: %w", err)
	}
	if o.until, err = parseUntil(c.String("until"), a.now()); err != nil {
		return o, err
	}
	if o.account != "" {
		if err := enroll.CheckAccount(o.account); err != nil {
			return o, usage("%w", err)
		}
	}
	if text := c.String("keyset-code"); text != "" {
		if o.keysetCode, err = enroll.ParseProposalCode(text); err != nil {
			return o, usage("reading --keyset-code: %w", err)
		}
		o.join = true
	}
	switch {
	case o.join && (o.codeStdin || o.with != "" || o.file != ""):
		return o, usage("--join has another machine sign: --code-stdin, --with and --with-file don't go with it")
	case o.with != "" && o.file != "":
		return o, usage("--with and --with-file: one key signs this one in")
	case o.subject != "" && !o.manual:
		return o, usage("--subject goes with --manual: elsewhere the account says who signs")
	case o.manual && (o.codeStdin || o.with != "" || o.can != 0 || o.crates != nil || !o.until.IsZero() || o.certificate != "" || o.join || o.file != ""):
		return o, usage("with --manual the registry's website decides what a key may do: --code-stdin, --join, --with, --with-file, --can, --crates, --until and --revocation-file don't go with it")
	}
	return o, nil
}

func (a *app) runEnroll(ctx context.Context, o enrollOptions) error {
	t, err := a.target(o.registry, o.name)
	if err != nil {
		return err
	}
	return a.locked(ctx, func(ctx context.Context, home string) error {
		record, err := a.key(ctx, a.store(home), o.key)
		if err != nil {
			return err
		}
		if o.can.Has(enroll.Manage) && !record.MayManage() {
			return usage("--can manage: key %s may not manage an account's keys: %s", record.Name, elsewhere(record))
		}
		if o.manual {
			return a.enrollManually(ctx, home, t, record, o)
		}
		return a.enroll(ctx, home, t, record, o)
	})
}

// enroll makes the trust first and tells cargo last, so that running it again completes it.
func (a *app) enroll(ctx context.Context, home string, t target, record keys.Record, o enrollOptions) error {
	if _, err := a.openWithFile(ctx, a.store(home), o.file); err != nil {
		return err
	}
	old, err := enroll.LookupAccount(home, t.index, o.account)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	o.insecure = o.insecure || old != nil && old.Insecure
	life, client := a.lifecycleAs(home, t.index, o.account, o.insecure)
	discovery, err := client.Discover(ctx)
	if err != nil {
		return err
	}
	life.Former = discovery.Former
	if old == nil {
		if done, err := a.follow(ctx, life, t, o); done || err != nil {
			return err
		}
	}
	if err := a.lookBack(ctx, life, t, old, &o); err != nil {
		return err
	}
	if s := (&stranger{life, discovery, t, record, o}); old == nil || old.Manual || o.afterReset {
		if done, err := a.enrollStranger(ctx, s); done || err != nil {
			return err
		}
		o = s.o
	}
	plan, err := a.planEnrolment(ctx, life, discovery, t, enroll.EnrolOptions{
		Account: o.account, Key: record, With: o.with, Can: o.can, Crates: o.crates, Until: o.until,
		Name: t.name, Challenge: discovery.Challenge, MaxAge: discovery.MaxAge, Insecure: o.insecure, Certificate: o.certificate,
	})
	if err != nil {
		return err
	}
	if err := a.confirmEnrolment(ctx, t, plan, o); err != nil {
		return err
	}
	intent, err := life.Begin(enroll.KindEnrol, plan.Account, record.Name)
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
	}
	err = errors.Join(a.reportEnrolment(t, record, done, outcome, o), cargoErr)
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
	return plan, a.checkPolicy(t.label(), discovery.Hardware, o.Key, o.Can)
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
	if _, err := life.Sync(ctx); err == nil {
		return fmt.Errorf("setting the old keyset aside: %s still shows it, so the account was not reset", t.label())
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
	if plan.Step == enroll.EnrolAdd {
		a.say("signed by %s", plan.With)
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
	return err
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
	if _, statErr := os.Stat(path); err != nil || statErr != nil || !sameDisk(path, home) {
		return
	}
	a.say("regkey: move the revocation certificate away from this disk: it ends the key when this machine is gone, and does nothing else")
}
