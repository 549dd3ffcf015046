// regkey enroll on a machine that is not the account's first: another one lets its key in, or the key
// is trusted already.

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
)

// pollEvery is the pause between two questions whether a proposal was approved.
const pollEvery = 2 * time.Second

// A stranger is a machine that is not enrolled as the account yet.
type stranger struct {
	life      *enroll.Lifecycle
	discovery *registryclient.Discovery
	t         target
	key       keys.Record
	o         enrollOptions
}

// The ways into an account.
type way int

const (
	byCode     way = iota // an invite code begins the keyset
	byApproval            // another machine lets the key in
	byTrust               // the keyset lists the key already
)

// wayIn finds out how this machine gets into the account: the registry shows whether there is a
// keyset, and flags or a person say the rest. o gets what a person answers.
func (a *app) wayIn(ctx context.Context, s *stranger) (way, error) {
	switch {
	case s.o.codeStdin || s.life.State().Pending():
		return byCode, nil
	case s.life.State().Proposing() != "":
		return byApproval, nil
	case s.o.keysetCode != "":
		return a.wayByKeyset(ctx, s)
	}
	note, err := a.glance(ctx, s)
	var refusal enroll.Refusal
	switch {
	case err == nil:
		return a.wayByNote(s, note)
	case !errors.As(err, &refusal) && !s.discovery.AuthRequired:
		return 0, err
	case !s.discovery.AuthRequired && s.o.join:
		return 0, advised(fmt.Errorf("%s has no keyset of the account %s that another machine could let this one into", s.t.label(), s.o.account),
			"check the account's name; its first key comes in with an invite code, without --join")
	case !s.discovery.AuthRequired:
		return byCode, nil
	case s.o.join:
		return 0, &missingError{"the code of the keyset", `--keyset-code CODE: "regkey keyset show" prints it on the other machine`}
	case !a.terminal:
		return byCode, nil
	}
	return a.askWay(ctx, s)
}

// glance is the keyset as the registry shows it, unverified. Where it shows keysets only to keys that
// it knows, this one may be among them.
func (a *app) glance(ctx context.Context, s *stranger) ([]byte, error) {
	if !s.key.WantsReader() {
		a.joinsWith = s.key.Name
		defer func() { a.joinsWith = "" }()
	}
	note, _, err := s.life.Registry.Latest(ctx, s.o.account)
	return note, err
}

// enrollStranger enrols a machine that the account does not know, unless an invite code has to do
// that: then it is not done.
func (a *app) enrollStranger(ctx context.Context, s *stranger) (done bool, err error) {
	if a.manager != "" && !s.life.State().Pending() {
		return false, a.enrollWithFile(ctx, s)
	}
	way, err := a.wayIn(ctx, s)
	if err != nil || way == byCode {
		return false, err
	}
	var joined *enroll.Joined
	if way == byTrust {
		joined, err = a.enrollTrusted(ctx, s)
	} else {
		var waiting *enroll.Waiting
		joined, waiting, err = a.enrollByApproval(ctx, s)
		if err == nil && waiting != nil {
			return true, a.reportWaiting(s, waiting)
		}
	}
	if err != nil {
		return true, err
	}
	return true, a.reportJoined(s, joined)
}

// enrollWithFile has this machine meet the account by a key that is kept elsewhere, which then signs
// the machine's own key in.
func (a *app) enrollWithFile(ctx context.Context, s *stranger) error {
	record, err := s.life.Keys.Lookup(a.manager)
	if err != nil {
		return err
	}
	if err := a.confirmJoin(ctx, s, "Enrol this key there?", fact{"signed by", a.manager}); err != nil {
		return err
	}
	j, err := a.join(ctx, s, record)
	if err != nil {
		return err
	}
	s.o.yes = true
	if j.FirstUse && !j.Already {
		a.say("regkey: trusted on first use: version %d, %v", j.Version, j.Hash)
	}
	return nil
}

// wayByNote looks for the key in a keyset, of which nothing is verified yet.
func (a *app) wayByNote(s *stranger, note []byte) (way, error) {
	k, err := s.life.ReadKeyset(s.o.account, note)
	if err != nil {
		return 0, err
	}
	if _, listed := k.Entry(s.key.Public.ID()); listed {
		return byTrust, nil
	}
	return byApproval, nil
}

// wayByKeyset looks into the keyset that another machine's code names.
func (a *app) wayByKeyset(ctx context.Context, s *stranger) (way, error) {
	note, _, err := s.life.Registry.KeysetByCode(ctx, s.o.account, s.o.keysetCode)
	if err != nil {
		return 0, advised(fmt.Errorf("fetching the keyset %s of %s: %w", s.o.keysetCode, s.o.account, err),
			`have the other machine show the code of the keyset that stands now: "regkey keyset show"`)
	}
	return a.wayByNote(s, note)
}

// askWay asks where the registry shows nothing to a machine that it does not know.
func (a *app) askWay(ctx context.Context, s *stranger) (way, error) {
	code, err := a.optionalSecret(ctx, "Invite code (leave it empty if another machine of yours manages this account):", "--code-stdin or --join")
	if err != nil {
		return 0, err
	}
	if !code.IsZero() {
		s.o.code = code
		return byCode, nil
	}
	a.say("regkey: %s shows keysets only to keys that it knows; \"regkey keyset show\" on the other machine prints a code for this one", s.t.label())
	s.o.keysetCode, err = a.text(ctx, "Code of the keyset", "", "--keyset-code", func(text string) error {
		_, err := enroll.ParseProposalCode(text)
		return err
	})
	if err != nil {
		return 0, err
	}
	return a.wayByKeyset(ctx, s)
}

// join enrols a key that the account trusts already: of a home that was restored, or of a backup.
func (a *app) join(ctx context.Context, s *stranger, key keys.Record) (*enroll.Joined, error) {
	before := a.joinsWith
	a.joinsWith = key.Name
	defer func() { a.joinsWith = before }()
	return s.life.Join(ctx, s.joinOptions(key))
}

func (s *stranger) joinOptions(key keys.Record) enroll.JoinOptions {
	return enroll.JoinOptions{
		Account: s.o.account, Key: key, Keyset: s.o.keysetCode,
		Name: s.t.name, Challenge: s.discovery.Challenge, MaxAge: s.discovery.MaxAge, Insecure: s.o.insecure,
	}
}

// confirmJoin shows the index URL before anything of it is believed.
func (a *app) confirmJoin(ctx context.Context, s *stranger, question string, facts ...fact) error {
	if s.o.yes || s.o.join {
		return nil
	}
	a.say("registry  %s", s.t.label())
	a.say("index     %s", s.t.index)
	a.say("account   %s, which has a keyset already", s.o.account)
	a.say("key       %s (%v)", s.key.Name, s.key.Public.ID())
	for _, f := range facts {
		a.say("%-9s %s", f.name, f.value)
	}
	if !a.terminal && a.manager == "" {
		return advised(&missingError{"a yes", "--join"}, "give --join: the account has a keyset already, and its first machine has to let this one in",
			"or --code-stdin, if you have an invite code")
	}
	return a.confirm(ctx, question)
}

// enrollTrusted is what enrolling means for a key that is in the keyset already.
func (a *app) enrollTrusted(ctx context.Context, s *stranger) (*enroll.Joined, error) {
	if err := a.confirmJoin(ctx, s, "The account trusts this key. Enrol this machine there?"); err != nil {
		return nil, err
	}
	return a.join(ctx, s, s.key)
}

// propose has the key ask to be let in, once; and says what to do on the other machine.
func (a *app) propose(ctx context.Context, s *stranger) (*enroll.Waiting, error) {
	p, err := a.proposal(ctx, s)
	if err != nil {
		return nil, err
	}
	a.purpose = "ask to be let in at " + s.t.label()
	w, err := s.life.Propose(ctx, p)
	if err != nil {
		return nil, err
	}
	a.say("regkey: on a machine that manages %s, run until %s:", w.Account, w.Expires.Local().Format("15:04"))
	a.say("")
	a.say("    regkey approve %s --registry %s", w.Code, s.t.label())
	a.say("")
	a.say("        it shows who asks for what; the key that asks is %v", s.key.Public.ID())
	if w.FirstUse {
		a.say("        nothing but %s vouches for the keyset that this machine was shown; \"regkey keyset show\" there prints the same code: %s", s.t.label(), w.Base)
	}
	return w, nil
}

// proposal is what is asked for. A key in a token brings one that reads for it.
func (a *app) proposal(ctx context.Context, s *stranger) (enroll.ProposeOptions, error) {
	p := enroll.ProposeOptions{
		JoinOptions: s.joinOptions(s.key), Can: s.o.can, Crates: s.o.crates, Until: s.o.until, Certificate: s.o.certificate,
	}
	if can := cmp.Or(p.Can, enroll.CanByDefault); !s.key.WantsReader() || !can.Has(enroll.Read) {
		return p, nil
	}
	read, err := a.readerKey(ctx, s.life, s.key.Name)
	p.Read = read
	return p, err
}

// enrollByApproval asks another machine to let the key in, and waits for it as long as the proposal
// does. The lock of the home folder is held only while something is asked or written.
func (a *app) enrollByApproval(ctx context.Context, s *stranger) (joined *enroll.Joined, waiting *enroll.Waiting, err error) {
	if err := a.checkPolicy(s.t.label(), s.discovery.Hardware, s.key, cmp.Or(s.o.can, enroll.CanByDefault)); err != nil {
		return nil, nil, err
	}
	if s.life.State().Proposing() == "" {
		err := a.confirmJoin(ctx, s, "Have another machine of yours let this key in?",
			fact{"may", cmp.Or(s.o.can, enroll.CanByDefault).String()}, fact{"crates", every(s.o.crates)}, fact{"until", orNever(moment(s.o.until))})
		if err != nil {
			return nil, nil, err
		}
	}
	deadline := a.now().Add(time.Hour) // until the registry says when
	for {
		j, waits, err := s.life.CheckApproval(ctx, s.key)
		if err != nil || j != nil {
			return j, nil, err
		}
		if !waits || waiting == nil {
			w, err := a.propose(ctx, s)
			if errors.Is(err, enroll.ErrTrusted) {
				j, err := a.join(ctx, s, s.key)
				return j, nil, err
			}
			if err != nil {
				return nil, nil, err
			}
			if waiting == nil {
				deadline = w.Expires
			}
			waiting = w
		}
		if s.o.noWait {
			return nil, waiting, nil
		}
		if !a.now().Before(deadline) {
			return nil, nil, advised(fmt.Errorf("nobody has let the key %s in at %s in time", s.key.Name, s.t.label()),
				"run the same command again, and approve the code that it shows then")
		}
		if err := a.released(ctx, pollEvery); err != nil {
			return nil, nil, err
		}
	}
}

// waitingFacts is what is left to do, in JSON.
type waitingFacts struct {
	Registry string `json:"registry"`
	Index    string `json:"index"`
	Account  string `json:"account"`
	Step     string `json:"step"` // waiting
	Key      string `json:"key"`
	ID       string `json:"id"`
	Code     string `json:"code"`
	Expires  string `json:"expires"`
	Keyset   string `json:"keyset"` // the code of the keyset that it builds upon
	Run      string `json:"run"`    // on the other machine
}

// reportWaiting ends a run that does not wait.
func (a *app) reportWaiting(s *stranger, w *enroll.Waiting) error {
	run := fmt.Sprintf("regkey approve %s --registry %s", w.Code, s.t.label())
	f := waitingFacts{
		Registry: s.t.name, Index: s.t.index, Account: w.Account, Step: "waiting", Key: s.key.Name, ID: s.key.Public.ID().String(),
		Code: w.Code, Expires: moment(w.Expires), Keyset: w.Base, Run: run,
	}
	var err error
	if s.o.json {
		err = a.printJSON(f)
	} else {
		err = a.printFacts(fact{"waiting", s.key.Name + " at " + s.t.label()}, fact{"code", f.Code}, fact{"until", f.Expires},
			fact{"run there", f.Run}, fact{"then", "run the same command here again"})
	}
	return errors.Join(err, errByHand)
}

// reportJoined tells cargo, and what was done.
func (a *app) reportJoined(s *stranger, j *enroll.Joined) error {
	outcome, cargoErr := a.configureCargo(s.t, s.o.leaveCargo)
	done := &enroll.Enrolled{
		Step: stepJoined, Account: j.Account, Key: j.Key, Can: j.Entry.Can, Version: j.Version, Certificate: j.Certificate, Read: j.Read,
	}
	err := a.reportEnrolment(s.t, s.key, done, outcome, s.o)
	if j.FirstUse && !j.Already {
		a.say("regkey: trusted on first use: version %d, %v; \"regkey keyset show\" on another machine of yours shows the same", j.Version, j.Hash)
	}
	return errors.Join(err, cargoErr)
}

// stepJoined is how an enrolment is reported that somebody else has signed.
const stepJoined enroll.EnrolStep = "joined"
