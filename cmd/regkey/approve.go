// regkey approve: letting another machine's key in.

package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/hardware/attestation"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
)

type approveOptions struct {
	code, registry, account, file, roots, label string
	yes, json                                   bool
}

func (a *app) approveCommand() *cli.Command {
	return &cli.Command{
		Name:      "approve",
		Usage:     "let another machine of yours in",
		ArgsUsage: "CODE",
		Description: `Signs in the key of another machine, where "regkey enroll" shows the CODE. It is shown in full
who asks for what, and nothing is signed before a yes. The code is computed anew from what the
registry sends, so it can't put another key in its place.

A key that manages signs: one of this machine, or with --with-file one that is kept elsewhere.
Without --registry every account of this machine is asked for the code. --label gives the key
a name here. A proposal waits for 15 minutes. It can only add a key, or two: a key in a token
brings one that reads for it.

Examples:
   regkey approve xj4b-np4p-ahh6-uqkb-idpf
   regkey approve xj4b-np4p-ahh6-uqkb-idpf --registry lab --yes
   regkey approve xj4b-np4p-ahh6-uqkb-idpf --registry lab --with-file /media/stick/safe.age`,
		Flags: []cli.Flag{
			registryFlag(), accountFlag(), withFileFlag(),
			&cli.StringFlag{Name: "label", Usage: "what this machine is to call the key: a `NAME`"},
			&cli.StringFlag{Name: "roots", Usage: "believe attestations by the certificates in the file `PATH` (PEM) too"},
			yesFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			o := approveOptions{
				strings.Join(c.Args().Slice(), " "), c.String("registry"), c.String("account"), c.String("with-file"), c.String("roots"), c.String("label"), c.Bool("yes"), c.Bool("json"),
			}
			if o.code == "" {
				return usage(`CODE is missing: "regkey enroll" shows it on the machine that asks`)
			}
			var err error
			if o.code, err = enroll.ParseProposalCode(o.code); err != nil {
				return usage("%w", err)
			}
			if err := enroll.CheckLabel(o.label); err != nil {
				return usage("reading --label: %w", err)
			}
			return a.runApprove(c.Context, o)
		},
	}
}

func (a *app) runApprove(ctx context.Context, o approveOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) error {
		if _, err := a.openWithFile(ctx, a.store(home), o.file); err != nil {
			return err
		}
		e, life, plan, err := a.findProposal(ctx, home, o)
		if err != nil {
			return err
		}
		roots, err := extraRoots(o.roots)
		if err != nil {
			return err
		}
		asked := a.askedOf(plan, roots)
		if !plan.Done && !o.yes {
			a.showProposal(e, plan, asked)
			if err := a.confirm(ctx, "Let this key in?"); err != nil {
				return err
			}
		}
		a.purpose = fmt.Sprintf("let %v in at %s", asked[0].ID, label(e))
		done, err := plan.Run(ctx)
		if err != nil {
			return err
		}
		return errors.Join(a.reportApproval(e, plan, done, asked, o), a.labelApproved(life, e, asked, o))
	})
}

// findProposal fetches the proposal from the account that is meant. Where nothing says which, every
// account of this machine is asked for it: only one can know the code.
func (a *app) findProposal(ctx context.Context, home string, o approveOptions) (*enroll.Enrolment, *enroll.Lifecycle, *enroll.ProposalPlan, error) {
	all, err := enroll.ListEnrolments(home)
	if err != nil {
		return nil, nil, nil, err
	}
	if o.registry != "" || o.account != "" || len(all) < 2 {
		e, err := a.enrolmentAs(ctx, home, o.registry, o.account)
		if err != nil {
			return nil, nil, nil, err
		}
		if all = slices.DeleteFunc(all, func(other *enroll.Enrolment) bool { return other.Index != e.Index }); o.account != "" || len(all) < 2 {
			all = []*enroll.Enrolment{e}
		}
	}
	var failures error
	for _, e := range all {
		if e.Manual && len(all) > 1 {
			continue
		}
		life, _ := a.lifecycleOf(home, e)
		plan, err := life.FetchProposal(ctx, o.code)
		if err == nil {
			return e, life, plan, nil
		}
		if refused, ok := errors.AsType[*registryclient.Error](err); !ok || refused.Code != "proposal-unknown" {
			if len(all) > 1 {
				err = fmt.Errorf("looking at %s: %w", where(e, all), err)
			}
			failures = errors.Join(failures, err)
		} else if failures == nil || len(all) == 1 {
			failures = err
		}
	}
	return nil, nil, nil, failures
}

// labelApproved writes down what the key is called here, and says how where nobody did.
func (a *app) labelApproved(life *enroll.Lifecycle, e *enroll.Enrolment, asked []askedFacts, o approveOptions) error {
	id, err := keys.ParseID(asked[0].ID)
	if err != nil {
		return nil // approved long ago
	}
	switch {
	case o.label != "":
		return life.Label(id, o.label)
	case e.Labels[id.String()] == "":
		a.advise("regkey: \"regkey keyset edit %v --label NAME\" gives it a name on this machine", id)
	}
	return nil
}

// askedFacts is one key that asks to be let in.
type askedFacts struct {
	ID        string         `json:"id"`
	Algorithm string         `json:"algorithm"`
	Can       []string       `json:"can"`
	Crates    []string       `json:"crates,omitzero"`
	Until     string         `json:"until,omitzero"`
	Hardware  *attestedFacts `json:"hardware,omitzero"` // verified here; none: a software key, as far as anybody can tell
	Doubt     string         `json:"doubt,omitzero"`    // why the attestation that came along is not believed
}

// attestedFacts is what a token's maker vouches for.
type attestedFacts struct {
	Serial   uint32 `json:"serial"`
	Firmware string `json:"firmware"`
	Slot     string `json:"slot"`
	PIN      string `json:"pin"`
	Touch    string `json:"touch"`
}

// askedOf are the keys that the proposal adds, the one that does most first.
func (a *app) askedOf(plan *enroll.ProposalPlan, roots []*x509.Certificate) []askedFacts {
	var asked []askedFacts
	for _, e := range plan.Change.Added {
		f := askedFacts{
			ID: e.Key.ID().String(), Algorithm: e.Key.Algorithm().String(), Can: e.Can.Names(), Crates: e.Crates, Until: moment(e.Until),
		}
		f.Hardware, f.Doubt = a.attested(plan.Attestations, roots, e.Key)
		if e.Can == enroll.Read {
			asked = append(asked, f)
		} else {
			asked = append([]askedFacts{f}, asked...)
		}
	}
	if len(asked) == 0 { // approved long ago, in a version that this machine has no copy of
		asked = []askedFacts{{ID: plan.Code}}
	}
	return asked
}

// attested verifies the attestation of the key among chains, if there is one.
func (a *app) attested(chains [][][]byte, roots []*x509.Certificate, key keys.PublicKey) (facts *attestedFacts, doubt string) {
	for _, chain := range chains {
		if len(chain) == 0 {
			continue
		}
		if claim, err := attestation.Read(chain[0]); err != nil || claim.Public != key {
			continue
		}
		f, err := attestation.Verify(chain, roots, a.now())
		if errors.Is(err, attestation.ErrUntrusted) {
			return nil, "its attestation leads to no maker that is trusted here: --roots PATH names the certificates of others"
		}
		if err != nil {
			return nil, err.Error()
		}
		return &attestedFacts{f.Serial, f.Firmware.String(), f.Slot.String(), string(f.PIN), string(f.Touch)}, ""
	}
	return nil, ""
}

// origin says in a sentence where the key is.
func (f askedFacts) origin() string {
	switch h := f.Hardware; {
	case h != nil:
		return fmt.Sprintf("in YubiKey %d, slot %s, firmware %s, PIN %s, touch %s: its maker vouches for that", h.Serial, h.Slot, h.Firmware, h.PIN, h.Touch)
	case f.Doubt != "":
		return "a software key as far as anybody can tell: it claims to be in a token, but " + f.Doubt
	}
	return "a software key as far as anybody can tell"
}

// showProposal says who asks for what: all of it.
func (a *app) showProposal(e *enroll.Enrolment, plan *enroll.ProposalPlan, asked []askedFacts) {
	a.say("registry   %s", label(e))
	a.say("index      %s", e.Index)
	a.say("account    %s, whose keyset would become version %d", plan.Account, plan.Change.Version)
	a.say("asked      %s, and waits until %s", moment(plan.Change.Issued), moment(plan.Expires))
	for i, f := range asked {
		if i > 0 {
			a.say("and along with it:")
		}
		a.say("key        %s", f.ID)
		a.say("algorithm  %s", f.Algorithm)
		a.say("kept       %s", f.origin())
		a.say("may        %s", strings.Join(f.Can, ","))
		a.say("crates     %s", every(f.Crates))
		a.say("until      %s", orNever(f.Until))
		if text := unboundedNames(f.Can, f.Crates); text != "" {
			a.say("note       %s", text)
		}
	}
	for _, gone := range plan.Change.Removed {
		a.say("leaves out %v, which has ended", gone.Key.ID())
	}
	a.say("signed by  %s", plan.With)
}

// every names crate patterns.
func every(crates []string) string {
	if len(crates) == 0 {
		return "every crate"
	}
	return strings.Join(crates, ",")
}

func orNever(until string) string {
	if until == "" {
		return "no end"
	}
	return until
}

// approvalFacts is the outcome in JSON.
type approvalFacts struct {
	Registry string       `json:"registry"`
	Index    string       `json:"index"`
	Account  string       `json:"account"`
	Code     string       `json:"code"`
	Keys     []askedFacts `json:"keys"`
	With     string       `json:"with,omitzero"`
	Version  int          `json:"version"`
	Already  bool         `json:"already"`
}

func (a *app) reportApproval(e *enroll.Enrolment, plan *enroll.ProposalPlan, done *enroll.Approved, asked []askedFacts, o approveOptions) error {
	if o.json {
		return a.printJSON(approvalFacts{e.Name, e.Index, done.Account, plan.Code, asked, plan.With, done.Version, plan.Done})
	}
	what := "approved"
	if plan.Done {
		what = "approved already"
	}
	facts := []fact{{what, asked[0].ID + " at " + label(e)}, {"account", done.Account}}
	if may := strings.Join(asked[0].Can, ","); may != "" {
		facts = append(facts, fact{"may", may}, fact{"crates", strings.Join(asked[0].Crates, ",")}, fact{"until", asked[0].Until})
	}
	for _, f := range asked[1:] {
		facts = append(facts, fact{"along with it", f.ID + ", which may " + strings.Join(f.Can, ",")})
	}
	err := a.printFacts(append(facts, fact{"keyset", fmt.Sprintf("version %d", done.Version)})...)
	for _, f := range asked {
		if text := unboundedNames(f.Can, f.Crates); text != "" && o.yes {
			a.say("regkey: note: %s", text)
		}
	}
	return err
}
