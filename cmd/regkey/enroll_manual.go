// Registries without a key API: what regkey does, and what it tells a person to do.

package main

import (
	"context"
	"errors"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// manualFacts is the outcome of a command at such a registry, in JSON.
type manualFacts struct {
	Registry string       `json:"registry"`
	Index    string       `json:"index"`
	Manual   bool         `json:"manual"`
	Key      string       `json:"key"`
	ID       string       `json:"id"`
	Public   string       `json:"public"`
	Subject  string       `json:"subject,omitzero"`
	Steps    []string     `json:"steps"` // what is left to do by hand
	Cargo    cargoOutcome `json:"cargo,omitzero"`
}

func (a *app) enrollManually(ctx context.Context, home string, t target, record keys.Record, o enrollOptions) error {
	if a.terminal && !o.yes {
		a.say("registry  %s", t.label())
		a.say("index     %s", t.index)
		a.say("key       %s (%v)", record.Name, record.Public.ID())
		if err := a.confirm(ctx, "Let cargo sign with this key there?"); err != nil {
			return err
		}
	}
	life, _ := a.lifecycle(home, t.index, o.insecure)
	e, err := life.EnrolManually(enroll.EnrolOptions{Account: o.account, Key: record, Name: t.name, Insecure: o.insecure}, o.subject)
	if err != nil {
		return err
	}
	c, cargoErr := a.configureCargo(t, o.leaveCargo)
	steps := []string{"paste the public key on the registry's website, where it takes keys for your account"}
	if e.Subject != "" {
		steps = append(steps, "see that the website shows the subject "+e.Subject+" for it")
	}
	facts := manualFacts{t.name, t.index, true, record.Name, record.Public.ID().String(), record.Public.String(), e.Subject, steps, c}
	return errors.Join(a.reportManual("enrolled", facts, o.json), cargoErr)
}

func (a *app) reportManual(what string, f manualFacts, json bool) error {
	if json {
		return a.printJSON(f)
	}
	name := f.Registry
	if name == "" {
		name = f.Index
	}
	err := a.printFacts(
		fact{what, f.Key + " at " + name}, fact{"index", f.Index}, fact{"public key", f.Public}, fact{"key id (kid)", f.ID},
		fact{"subject (sub)", f.Subject}, fact{"cargo", f.Cargo.describe()},
	)
	for i, step := range f.Steps {
		err = errors.Join(err, a.printLine("%d. %s", i+1, step))
	}
	return err
}

// manualCommand is the command that records a key once it is pasted.
func manualCommand(e *enroll.Enrolment, key string) string {
	command := "regkey enroll --registry " + label(e) + " --key " + key + " --manual"
	if e.Subject != "" {
		command += " --subject " + e.Subject
	}
	return command
}
