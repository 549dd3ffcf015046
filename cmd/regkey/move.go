// regkey enroll at a registry that has moved: this machine's enrolments follow.

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
)

// movedFacts is one account that has moved, in JSON.
type movedFacts struct {
	Registry string       `json:"registry"`
	Index    string       `json:"index"`
	From     string       `json:"from"`
	Account  string       `json:"account"`
	Step     string       `json:"step"` // moved
	Key      string       `json:"key"`
	Version  int          `json:"version"`
	Hash     string       `json:"hash"`
	Cargo    cargoOutcome `json:"cargo"`
}

// leftBehind reports whether a move of the account to where e is was stopped before what it moved was set aside.
func leftBehind(all []*enroll.Enrolment, e *enroll.Enrolment) bool {
	return slices.ContainsFunc(all, func(old *enroll.Enrolment) bool {
		return !old.Manual && old.Account == e.Account && slices.Contains(e.Former, old.Index)
	})
}

// hasLeftBehind is leftBehind for one enrolment, if there is one.
func hasLeftBehind(home string, e *enroll.Enrolment) bool {
	all, err := enroll.ListEnrolments(home)
	return err == nil && e != nil && leftBehind(all, e)
}

// mayFollow reports whether an enrolment of this machine may have moved to where it is to be enrolled now.
func mayFollow(home string, t target) bool {
	all, err := enroll.ListEnrolments(home)
	return err == nil && slices.ContainsFunc(all, func(e *enroll.Enrolment) bool { return !e.Manual && e.Index != t.index })
}

// unfinishedMoves are lines like those of [app.unfinishedLines].
func unfinishedMoves(home string) (lines []string) {
	all, _ := enroll.ListEnrolments(home) // what can't be read is said elsewhere
	for _, e := range all {
		if !e.Manual && leftBehind(all, e) {
			lines = append(lines, fmt.Sprintf("the move of %s to %s is not complete: \"regkey enroll --registry %s\" goes on", e.Account, e.Index, label(e)))
		}
	}
	return lines
}

// halfMoved is the error of a move that another run has to complete.
func halfMoved(home string, err error) error {
	if len(unfinishedMoves(home)) == 0 {
		return err
	}
	return &enroll.LeftError{Err: err}
}

// follow moves the enrolments at an index URL from before, if the registry says that it has one where
// this machine is enrolled. It reports whether there was something to move.
func (a *app) follow(ctx context.Context, life *enroll.Lifecycle, t target, o enrollOptions) (done bool, err error) {
	plans, err := a.planMoves(ctx, life, o)
	if err != nil || len(plans) == 0 {
		return false, err
	}
	if slices.ContainsFunc(plans, func(p *enroll.MovePlan) bool { return !p.Done }) {
		if err := a.confirmMoves(ctx, t, plans, o); err != nil {
			return true, err
		}
	}
	for _, plan := range plans {
		if err := plan.Move(ctx); err != nil {
			return true, halfMoved(life.Home, err)
		}
	}
	outcome, cargoErr := a.configureCargo(t, o.leaveCargo)
	return true, errors.Join(a.reportMoves(t, plans, outcome, o), cargoErr)
}

// planMoves verifies what can be moved: the account in use first, as the first that moves is in use
// at the new index.
func (a *app) planMoves(ctx context.Context, life *enroll.Lifecycle, o enrollOptions) ([]*enroll.MovePlan, error) {
	all, err := enroll.ListEnrolments(life.Home)
	if err != nil {
		return nil, err
	}
	var plans []*enroll.MovePlan
	for _, e := range all {
		if e.Manual || !slices.Contains(life.Former, e.Index) || o.account != "" && o.account != e.Account {
			continue
		}
		if err := a.stillThere(ctx, life.Home, life.Index, e); err != nil {
			return nil, err
		}
		own, _ := a.lifecycleAs(life.Home, life.Index, e.Account, o.insecure || e.Insecure)
		own.Former = life.Former
		a.joinsWith = e.KeyFor("read")
		plan, err := own.PlanMove(ctx, e.Index)
		a.joinsWith = ""
		if err != nil {
			return nil, err
		}
		if used, err := enroll.LookupEnrolment(life.Home, e.Index); err == nil && used.Account == e.Account {
			plans = append([]*enroll.MovePlan{plan}, plans...)
		} else {
			plans = append(plans, plan)
		}
	}
	return plans, nil
}

// askFormer is how long the former address of a registry is asked for. After a move it may never answer.
const askFormer = 5 * time.Second

// stillThere refuses a move from a registry that still answers as itself: whoever claims to continue it may
// have a copy of its public keysets, and nothing else.
func (a *app) stillThere(ctx context.Context, home, to string, e *enroll.Enrolment) error {
	ctx, cancel := context.WithTimeout(ctx, askFormer)
	defer cancel()
	_, former := a.lifecycleOf(home, e)
	if _, err := former.Discover(ctx); err != nil {
		return nil // it is gone, or says so itself
	}
	return advised(&enroll.DistrustError{
		Registry: to, Detail: "the registry claims to continue " + e.Index,
		Expected: "that this one says so too, or answers no more", Came: "the answer that it is still itself",
	}, "nothing was moved: ask the operator of "+e.Index,
		"if it is true, \"regkey keyset pins --reset --registry "+e.Index+"\" sets aside what this machine knows there")
}

func (a *app) confirmMoves(ctx context.Context, t target, plans []*enroll.MovePlan, o enrollOptions) error {
	if o.yes || o.join {
		return nil
	}
	for _, p := range plans {
		a.say("registry  %s says that it has moved, and shows the very keyset that this machine knows", t.label())
		a.say("from      %s", p.From)
		a.say("to        %s", p.To)
		a.say("account   %s, keyset version %d (%v)", p.Account, p.Version, p.Hash)
		a.say("key       %s", p.Key)
	}
	a.say("anybody can show a copy of a keyset: move only if you know from the registry's operator that it is there now")
	return a.confirm(ctx, "Move the enrolment there?")
}

func (a *app) reportMoves(t target, plans []*enroll.MovePlan, c cargoOutcome, o enrollOptions) error {
	var err error
	for _, p := range plans {
		if o.json {
			err = errors.Join(err, a.printJSON(movedFacts{t.name, p.To, p.From, p.Account, "moved", p.Key, p.Version, p.Hash.String(), c}))
			continue
		}
		err = errors.Join(err, a.printFacts(
			fact{"moved", p.Account + " to " + t.label()}, fact{"from", p.From}, fact{"index", p.To}, fact{"key", p.Key},
			fact{"keyset", fmt.Sprintf("version %d", p.Version)}, fact{"cargo", c.describe()},
		))
	}
	return err
}
