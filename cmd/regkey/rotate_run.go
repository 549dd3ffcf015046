// Rotations and the journal: what is begun, what it needs of this program, and going on with it.

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
)

// A rotation is one run over the registries of an intent.
type rotation struct {
	*enroll.Rotation
	a       *app
	home    string
	o       rotateOptions
	places  map[string]*place
	settled bool                // what another command had signed was sent before
	byHand  []error             // what a person has to do to cargo's configuration
	manual  []*enroll.Enrolment // registries that take keys on their website
}

// A place is an account at a registry.
type place struct {
	e      *enroll.Enrolment
	life   *enroll.Lifecycle
	client *registryclient.Client
	told   int // the newest version of which a person was told
}

func (a *app) newRotation(home string, i *enroll.Intent, o rotateOptions) *rotation {
	r := &rotation{a: a, home: home, o: o, places: map[string]*place{}}
	r.Rotation = &enroll.Rotation{
		Journal: enroll.OpenJournal(home), Intent: i, With: o.with, Certificate: o.certificate,
		At:        func(index, account string) *enroll.Lifecycle { return r.place(index, account).life },
		Bring:     r.bring,
		Configure: r.configure,
		Overtaken: r.overtaken,
		ReadAs:    func(name string) { a.readsAs = name },
	}
	return r
}

// place opens an account's state. One that is not enrolled any more is left to the lifecycle to say.
func (r *rotation) place(index, account string) *place {
	if p, found := r.places[index+"\n"+account]; found {
		return p
	}
	e, err := enroll.LookupAccount(r.home, index, account)
	if err != nil {
		e = &enroll.Enrolment{Index: index, Account: account}
	}
	p := &place{e: e}
	p.life, p.client = r.a.lifecycleOf(r.home, e)
	tell := p.life.Noticed
	p.life.Noticed = func(changes []enroll.Change) {
		tell(changes)
		p.told = changes[len(changes)-1].Version
	}
	r.places[index+"\n"+account] = p
	return p
}

// label is how a person knows a step's registry, and the account if it is not the only one there.
func (r *rotation) label(s enroll.Step) string {
	name := label(r.place(s.Index, s.Account).e)
	for _, other := range r.Intent.Steps {
		if other.Index == s.Index && other.Account != s.Account {
			return name + " as " + s.Account
		}
	}
	return name
}

// look asks the registries. What another command has signed, and nobody heard of since, is sent
// before, unless nothing is to change.
func (r *rotation) look(ctx context.Context) []enroll.StepPlan {
	for _, s := range r.Intent.Steps {
		if life := r.place(s.Index, s.Account).life; !r.o.dryRun && r.Intent.ID == "" && life.State().Pending() {
			r.settled = true
			_, _, _ = life.Settle(ctx) // what stands says how that went, or why nobody can tell
		}
	}
	return r.Look(ctx)
}

// run writes the intent down, if that has not been done, and carries it out. The error says that
// nothing could be done at all.
func (r *rotation) run(ctx context.Context, plans []enroll.StepPlan) ([]enroll.StepOutcome, error) {
	if r.Intent.ID == "" {
		if err := r.Begin(plans); err != nil {
			return nil, err
		}
	}
	outcomes, err := r.Run(ctx, plans)
	if err != nil {
		return nil, r.orLeft(err)
	}
	r.sayOvertaken(outcomes)
	r.sayUnused(outcomes)
	return outcomes, nil
}

// sayUnused tells of a key that was made and that nothing trusts, where nothing in the journal does.
func (r *rotation) sayUnused(outcomes []enroll.StepOutcome) {
	if r.isOpen() || slices.ContainsFunc(outcomes, func(o enroll.StepOutcome) bool { return o.Step.State == enroll.StepDone }) {
		return
	}
	use := "the same command takes it up"
	if slices.ContainsFunc(outcomes, func(o enroll.StepOutcome) bool { return errors.Is(o.Err, enroll.ErrNotTrusted) }) {
		use = "\"regkey enroll\" with --key and --join asks a machine that manages to let it in"
	}
	for _, name := range r.unused() {
		r.a.say("regkey: key %s was made, and no registry trusts it yet: %s", name, use)
	}
}

// unused are the keys that were made for the rotation.
func (r *rotation) unused() []string {
	return slices.DeleteFunc(slices.Clone(r.Intent.Made), func(name string) bool {
		_, err := r.a.store(r.home).Lookup(name)
		return err != nil
	})
}

// sayOvertaken tells what other machines have done where that left nothing to replace.
func (r *rotation) sayOvertaken(outcomes []enroll.StepOutcome) {
	for _, o := range outcomes {
		if overtaken := new(enroll.OvertakenError); errors.As(o.Err, &overtaken) {
			r.sayChange(&overtaken.Overtaken)
		}
	}
}

// isOpen reports whether the journal still has the intent.
func (r *rotation) isOpen() bool {
	all, _ := r.Journal.Intents()
	return slices.ContainsFunc(all, func(i *enroll.Intent) bool { return i.ID == r.Intent.ID })
}

// bring makes what comes in at one registry.
func (r *rotation) bring(ctx context.Context, s enroll.Step, plan *enroll.RotatePlan) error {
	p := r.place(s.Index, s.Account)
	r.a.purpose = fmt.Sprintf("replace %s by %s at %s", plan.Old, plan.New, r.label(s))
	return r.a.prepareRotation(ctx, p.e, p.life, p.client, plan, r.o, r)
}

// configure sees to it that cargo starts the right provider, where its line for the registry names
// one of regkey's. Other lines are the user's own.
func (r *rotation) configure(_ context.Context, s enroll.Step) error {
	e := r.place(s.Index, s.Account).e
	if e.Name == "" {
		return nil
	}
	config, err := r.a.cargoConfig()
	if err != nil {
		return err
	}
	if own, err := config.Registry(e.Name); err != nil || own.Index != e.Index || !namesProvider(config, e.Index) {
		return nil // nothing of ours is there; "regkey status" says what stands against it
	}
	_, err = r.a.configureCargo(target{e.Index, e.Name, config}, false)
	if errors.Is(err, errByHand) {
		r.byHand = append(r.byHand, err)
		return nil
	}
	return err
}

// namesProvider reports whether cargo would start regkey's provider, wherever that is, for the
// registry.
func namesProvider(config *cargo.Config, index string) bool {
	providers, err := config.Providers(index)
	return err == nil && len(providers) == 1 && len(providers[0].Command) > 0 && filepath.Base(providers[0].Command[0]) == providerName()
}

// intent is a rotation that is yet to begin.
func (a *app) intent(home string, o rotateOptions, at []*enroll.Enrolment) (*enroll.Intent, error) {
	i := &enroll.Intent{Kind: enroll.KindRotate, Begun: a.now(), Old: o.old, New: o.new, Overlap: o.overlap, All: o.all, Given: o.given}
	var trusted []*enroll.SignedKeyset
	for _, e := range at {
		i.Steps = append(i.Steps, enroll.Step{Index: e.Index, Account: e.Account, State: enroll.StepPlanned})
		k, err := enroll.OpenState(home, e.Index, e.Account).Keyset()
		if err != nil {
			return nil, err
		}
		trusted = append(trusted, k)
	}
	if err := checkNotBackup(a.store(home), o); err != nil {
		return nil, err
	}
	if i.New == i.Old {
		return nil, usage("--to %s: that is the key that goes", i.New)
	}
	if i.New != "" {
		return i, nil
	}
	var err error
	i.New, err = nextName(a.store(home), trusted, i.Old)
	return i, err
}

// checkNotBackup refuses to have a key that is kept elsewhere followed by one that is made here.
func checkNotBackup(store *keys.Store, o rotateOptions) error {
	old, err := store.Lookup(o.old)
	if err != nil || old.Protection != keys.Elsewhere {
		return nil // what is wrong with the key is said where it is needed
	}
	if _, err := store.Lookup(o.new); o.new != "" && err == nil {
		return nil
	}
	return advised(fmt.Errorf("rotating %s: it is a backup, kept elsewhere, and its successor would lie on this machine", o.old),
		"make another backup, on a machine that manages: \"regkey init NAME --backup\"",
		fmt.Sprintf("then take this one out: \"regkey keyset edit %s --retire\", or \"regkey revoke %s\" if its file was lost", o.old, o.old))
}

// rotations are those that are not complete.
func (a *app) rotations(home string) ([]*enroll.Intent, error) {
	all, err := enroll.OpenJournal(home).Intents()
	return slices.DeleteFunc(all, func(i *enroll.Intent) bool { return i.Kind != enroll.KindRotate }), err
}

// begun is the rotation in the journal that this command began; nil if there is none. One that
// another command began, and that concerns the same registries or keys, is an error. With --all and no
// key named, one of every registry is this command's: the keys that sign by now may be others than then.
func (a *app) begun(home string, o rotateOptions, at ...*enroll.Enrolment) (*enroll.Intent, error) {
	all, err := a.rotations(home)
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		meets := o.old != "" && i.Old == o.old || o.new != "" && i.New == o.new || o.old == "" && o.all && i.All
		for _, e := range at {
			meets = meets || i.Step(e.Index, e.Account) != nil
		}
		if !meets {
			continue
		}
		same := !i.Abandoned && i.All == o.all && (o.all || i.Step(at[0].Index, at[0].Account) != nil) &&
			(o.old == "" || o.old == i.Old) && (o.new == "" || o.new == i.New) && (o.overlap == 0 || o.overlap == i.Overlap)
		if !same {
			return nil, &leftError{unfinished(i, "")}
		}
		return i, nil
	}
	return nil, nil
}

// goOn is what the command that began the intent was given, with o's word on how to talk.
func (a *app) goOn(i *enroll.Intent, o rotateOptions) (rotateOptions, error) {
	set := flag.NewFlagSet("rotate", flag.ContinueOnError)
	for _, f := range a.rotateFlags() {
		if err := f.Apply(set); err != nil {
			return o, err
		}
	}
	c := cli.NewContext(nil, set, nil)
	for name, value := range i.Given {
		if !slices.Contains(givenFlags, name) {
			return o, fmt.Errorf("reading journal: a rotation was never given --%s", name)
		}
		if err := c.Set(name, value); err != nil {
			return o, fmt.Errorf("reading journal: %w", err)
		}
	}
	before, err := readRotateOptions(c)
	if err != nil {
		return o, fmt.Errorf("reading journal: %w", err)
	}
	before.registry, before.old, before.new, before.overlap, before.all = o.registry, i.Old, i.New, i.Overlap, i.All
	before.yes, before.json, before.dryRun = o.yes, o.json, o.dryRun
	return before, nil
}

// unfinished is the one line that every command says of an intent that is not complete. name is how
// a person knows its first registry; "": as its index URL.
func unfinished(i *enroll.Intent, name string) string {
	if name == "" && len(i.Steps) > 0 {
		name = i.Steps[0].Index
	}
	switch {
	case i.Kind == enroll.KindMake:
		return unfinishedMaking(i)
	case i.Kind == enroll.KindRotate && i.Abandoned:
		return fmt.Sprintf("a rotation of %s, begun at %s, is being given up: \"regkey rotate --abandon\" goes on", i.Old, moment(i.Begun))
	case i.Kind == enroll.KindRotate:
		return fmt.Sprintf("a rotation of %s, begun at %s, is not complete: \"regkey rotate --resume\" or \"--abandon\"", i.Old, moment(i.Begun))
	case i.Kind == enroll.KindRevoke:
		return fmt.Sprintf("the end of %s, begun at %s, is not complete: \"%s\" goes on", i.Old, moment(i.Begun), revokeAgain(i, name))
	}
	account := ""
	if len(i.Steps) > 0 {
		account = i.Steps[0].Account
	}
	return fmt.Sprintf("an enrolment of %s, begun at %s, is not complete: \"%s\" goes on", i.New, moment(i.Begun), enrolAgain(name, account, i.New))
}

// revokeAgain is the command that goes on with a revocation, for the same reason as before.
func revokeAgain(i *enroll.Intent, name string) string {
	command := fmt.Sprintf("regkey revoke --registry %s %s", name, i.Old)
	if reason := i.Given["reason"]; reason != "" {
		command += " --reason " + reason
	}
	if i.Given["force-last"] == "true" {
		command += " --force-last"
	}
	return command
}

// enrolAgain is the command that goes on with an enrolment. It names the account: without it the key would go to the
// one that is in use there, or nobody would know which one is meant.
func enrolAgain(name, account, key string) string {
	return fmt.Sprintf("regkey enroll --registry %s --account %s --key %s", name, account, key)
}

// unfinishedLines are those lines, of everything in the journal; what can't be read is one too.
func (a *app) unfinishedLines(home string) []string {
	all, err := enroll.OpenJournal(home).Intents()
	var lines []string
	for _, i := range all {
		if i.Idle() {
			continue
		}
		name := ""
		if len(i.Steps) > 0 {
			if e, err := enroll.LookupAccount(home, i.Steps[0].Index, i.Steps[0].Account); err == nil {
				name = e.Name
			}
		}
		lines = append(lines, unfinished(i, name))
	}
	if err != nil {
		lines = append(lines, strings.Split(err.Error(), "\n")...)
	}
	return append(lines, unfinishedMoves(home)...)
}

// quiet are the commands that say nothing of the journal: programs start them, or they say it
// themselves.
var quiet = []string{"", "rotate", "status", "token", "challenge", "agent", "version", "help"}

// noticeUnfinished says, before a command begins, what an earlier one has left.
func (a *app) noticeUnfinished(c *cli.Context) error {
	home, err := a.home()
	if err != nil || slices.Contains(quiet, c.Args().First()) {
		return nil
	}
	for _, line := range a.leftLines(home, c.Args().First()) {
		a.say("regkey: %s", line)
	}
	return nil
}

// leftLines are all lines of what earlier commands have left, as the command says them.
func (a *app) leftLines(home, command string) []string {
	return append(a.unfinishedLines(home), waitingLines(home, command)...)
}

// waitingLines are those of what is signed and waits, and is in no intent of the journal.
func waitingLines(home, command string) (lines []string) {
	for _, l := range enroll.ListLeft(home) {
		name := cmp.Or(l.Name, l.Index)
		switch {
		case l.Key == "":
			lines = append(lines, fmt.Sprintf("a change of the keys of %s at %s is signed, and its answer is not known: \"regkey sync --registry %s --account %s\" asks for it", l.Account, name, name, l.Account))
		case command != "enroll": // which goes on with it
			lines = append(lines, fmt.Sprintf("key %s waits to be let in as %s at %s: \"%s\" asks how that went", l.Key, l.Account, name, enrolAgain(name, l.Account, l.Key)))
		}
	}
	return lines
}
