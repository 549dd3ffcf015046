// regkey enroll where another machine lets the key in: the code that it shows, and the wait for it.

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
)

// pollEvery is the pause between two questions whether a proposal was approved.
const pollEvery = 2 * time.Second

// propose has the key ask to be let in; and says what to do on the other machine. earlier is what it
// asked before in this run, if it did.
func (a *app) propose(ctx context.Context, s *stranger, earlier *enroll.Waiting) (*enroll.Waiting, error) {
	p, err := a.proposal(ctx, s)
	if err != nil {
		return nil, err
	}
	a.purpose = "ask to be let in at " + s.t.label()
	w, err := s.life.Propose(ctx, p)
	if err != nil {
		return nil, err
	}
	if earlier != nil && earlier.Code == w.Code {
		return w, nil // the registry had forgotten it
	}
	if earlier != nil {
		a.say("regkey: the account's keys have changed meanwhile: the code above serves no more, and this one takes its place")
	}
	if !s.o.noWait {
		a.say("regkey: on a machine that manages %s, run until %s:", w.Account, w.Expires.Local().Format("15:04"))
		a.say("")
		a.say("    %s", approveCommand(s, w))
		a.say("")
		a.say("        it shows who asks for what; the key that asks is %v", s.key.Public.ID())
	}
	if w.FirstUse {
		a.say("        nothing but %s vouches for the keyset that this machine was shown; \"regkey keyset show\" there prints the same code: %s", s.t.label(), w.Base)
	}
	if !s.o.noWait {
		a.advise("        this waits for it; after Ctrl-C the same command goes on")
	}
	return w, nil
}

// approveCommand is what is to be run on the other machine.
func approveCommand(s *stranger, w *enroll.Waiting) string {
	return fmt.Sprintf("regkey approve %s --registry %s", w.Code, s.t.label())
}

// proposal is what is asked for. A key in a token that is to sign here brings one that reads for it.
func (a *app) proposal(ctx context.Context, s *stranger) (enroll.ProposeOptions, error) {
	p := enroll.ProposeOptions{
		JoinOptions: s.joinOptions(s.key), Can: s.o.can, Crates: s.o.crates, Until: s.o.until, Certificate: s.o.certificate,
	}
	if can := cmp.Or(p.Can, enroll.CanByDefault); !s.key.WantsReader() || !can.Has(enroll.Read) || !s.life.WouldSign(s.key.Name) {
		return p, nil
	}
	read, err := a.readerKey(ctx, s.life, s.key.Name)
	p.Read = read
	return p, err
}

// enrollByApproval asks another machine to let the key in, and waits for it as long as the proposal
// does.
func (a *app) enrollByApproval(ctx context.Context, s *stranger) (*enroll.Joined, *enroll.Waiting, error) {
	if err := a.checkPolicy(s.t.label(), s.discovery, s.key, cmp.Or(s.o.can, enroll.CanByDefault)); err != nil {
		return nil, nil, err
	}
	if s.life.State().Proposing() == "" {
		if err := a.confirmJoin(ctx, s, "Have another machine of yours let this key in?", s.o.asks()...); err != nil {
			return nil, nil, err
		}
	}
	joined, waiting, err := a.awaitApproval(ctx, s)
	return joined, waiting, s.life.Left(err)
}

// asks is what the key is to be allowed.
func (o enrollOptions) asks() []fact {
	can := cmp.Or(o.can, enroll.CanByDefault)
	facts := []fact{{"may", can.String()}, {"crates", every(o.crates)}, {"until", orNever(moment(o.until))}}
	if text := unbounded(can, o.crates); text != "" {
		facts = append(facts, fact{"note", text})
	}
	return facts
}

// awaitApproval asks, and looks again and again for what came of it. The lock of the home folder is held
// only while something is asked or written.
func (a *app) awaitApproval(ctx context.Context, s *stranger) (joined *enroll.Joined, waiting *enroll.Waiting, err error) {
	deadline := a.now().Add(time.Hour) // until the registry says when
	for {
		j, waits, err := s.life.CheckApproval(ctx, s.key)
		if err != nil || j != nil {
			return j, nil, err
		}
		if !waits || waiting == nil {
			w, err := a.propose(ctx, s, waiting)
			if errors.Is(err, enroll.ErrTrusted) {
				j, err := a.join(ctx, s, s.key)
				return j, nil, err
			}
			if err != nil {
				return nil, nil, err
			}
			if waiting == nil || waiting.Code != w.Code {
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
		if err := a.released(ctx, pollEvery); errors.Is(err, errCancelled) {
			a.advise("regkey: the code serves until %s, and the same command goes on waiting for it", deadline.Local().Format("15:04"))
			return nil, nil, err
		} else if err != nil {
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
	run := approveCommand(s, w)
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
