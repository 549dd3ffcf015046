// regkey enroll on a machine that is not the account's first: another one lets its key in, or the key
// is trusted already.

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
)

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
	case s.o.join && !a.terminal:
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

// enrollFurther has another machine let in a further key of one that is enrolled, where no key manages: a
// spare, or one in place of a key that was ended from elsewhere.
func (a *app) enrollFurther(ctx context.Context, s *stranger, e *enroll.Enrolment) error {
	s.o.account = e.Account
	joined, waiting, err := a.enrollByApproval(ctx, s)
	if err != nil {
		return err
	}
	if waiting != nil {
		return a.reportWaiting(s, waiting)
	}
	return a.reportJoined(s, joined)
}

// enrollWithFile has this machine meet the account by a key that is kept elsewhere, which then signs
// the machine's own key in.
func (a *app) enrollWithFile(ctx context.Context, s *stranger) error {
	record, err := s.life.Keys.Lookup(a.manager)
	if err != nil {
		return err
	}
	if err := a.confirmJoin(ctx, s, "Enrol this key there?", append(s.o.asks(), fact{"signed by", a.manager})...); err != nil {
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
	if !s.o.join {
		code, err := a.optionalSecret(ctx, "Invite code (leave it empty if another machine of yours manages this account):", "--code-stdin or --join")
		if err != nil {
			return 0, err
		}
		if !code.IsZero() {
			s.o.code = code
			return byCode, nil
		}
	}
	return a.askKeysetCode(ctx, s)
}

// askKeysetCode asks for what another machine shows of the keyset.
func (a *app) askKeysetCode(ctx context.Context, s *stranger) (_ way, err error) {
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

// reportJoined tells cargo, and what was done.
func (a *app) reportJoined(s *stranger, j *enroll.Joined) error {
	outcome, cargoErr := a.configureCargo(s.t, s.o.leaveCargo)
	done := &enroll.Enrolled{
		Step: stepJoined, Account: j.Account, Key: j.Key, Can: j.Entry.Can, Version: j.Version, Certificate: j.Certificate, Read: j.Read,
	}
	o := s.o
	o.crates = j.Entry.Crates // of a key that is trusted already nobody has said them here
	err := a.reportEnrolment(s.t, s.key, done, outcome, o)
	if j.FirstUse && !j.Already {
		a.say("regkey: trusted on first use: version %d, %v; \"regkey keyset show\" on another machine of yours shows the same", j.Version, j.Hash)
	}
	return errors.Join(err, cargoErr)
}

// stepJoined is how an enrolment is reported that somebody else has signed.
const stepJoined enroll.EnrolStep = "joined"
