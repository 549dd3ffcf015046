// regkey keyset: what an account trusts, shown and verified.

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
)

func (a *app) keysetCommand() *cli.Command {
	return &cli.Command{
		Name:  "keyset",
		Usage: "show, verify and edit what an account trusts",
		Description: `An account's keyset lists the keys that a registry trusts for it. Each version is signed, and
names the one before.

Examples:
   regkey keyset show --registry lab
   regkey keyset verify --registry lab
   regkey keyset edit ci --can publish --crates 'foo-*' --until 90d`,
		Subcommands: []*cli.Command{a.keysetShowCommand(), a.keysetVerifyCommand(), a.keysetEditCommand(), a.keysetPinsCommand()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage("unknown command keyset %.40q", c.Args().First())
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

type keysetShowOptions struct {
	registry, account   string
	offline, note, json bool
}

func (a *app) keysetShowCommand() *cli.Command {
	return &cli.Command{
		Name:  "show",
		Usage: "show the keyset that stands, and its code",
		Description: `Fetches the account's keyset, verifies that it follows what this machine has verified before,
and shows it. Its code names exactly this text: a further machine that shows the same code was
shown the same keyset, and needs it where the registry shows keysets only to keys that it
knows ("regkey enroll --keyset-code").

Examples:
   regkey keyset show --registry lab
   regkey keyset show --registry lab --json
   regkey keyset show --registry lab --note > lab.note`,
		Flags: []cli.Flag{
			registryFlag(), accountFlag(),
			&cli.BoolFlag{Name: "offline", Usage: "show what this machine has verified last, and ask nobody"},
			&cli.BoolFlag{Name: "note", Usage: "print the signed text itself"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			o := keysetShowOptions{c.String("registry"), c.String("account"), c.Bool("offline"), c.Bool("note"), c.Bool("json")}
			if o.note && o.json {
				return usage("--note and --json: one of them")
			}
			return a.runKeysetShow(c.Context, o)
		},
	}
}

// keysetFacts is a keyset in JSON.
type keysetFacts struct {
	Registry    string       `json:"registry"`
	Index       string       `json:"index"`
	Account     string       `json:"account"`
	Version     int          `json:"version"`
	Issued      string       `json:"issued"`
	Hash        string       `json:"hash"`
	Code        string       `json:"code"`
	Signers     []string     `json:"signers"`
	Keys        []entryFacts `json:"keys"`
	Revoked     []string     `json:"revoked"`
	Revocations []endFacts   `json:"revocations"` // all that this machine knows
	Closed      bool         `json:"closed"`
}

func (a *app) runKeysetShow(ctx context.Context, o keysetShowOptions) error {
	show := func(ctx context.Context, home string) error {
		e, err := a.enrolmentAs(ctx, home, o.registry, o.account)
		if err != nil {
			return err
		}
		if e.Manual {
			return enroll.ErrManual
		}
		life, _ := a.lifecycleOf(home, e)
		if !o.offline {
			if _, err := life.Sync(ctx); err != nil {
				return err
			}
		}
		return a.reportKeyset(life, e, o)
	}
	if !o.offline {
		return a.locked(ctx, show)
	}
	home, err := a.home()
	if err != nil {
		return err
	}
	return show(ctx, home)
}

func (a *app) reportKeyset(life *enroll.Lifecycle, e *enroll.Enrolment, o keysetShowOptions) error {
	k, err := life.State().Keyset()
	if err != nil {
		return err
	}
	if o.note {
		_, err := a.stdout.Write(k.Note)
		return err
	}
	revocations, err := life.State().Revocations()
	if err != nil {
		return err
	}
	names := namesIn(life.Keys, e)
	f := keysetFacts{
		Registry: e.Name, Index: e.Index, Account: e.Account, Version: k.Version, Issued: moment(k.Issued), Hash: k.Hash().String(),
		Code: enroll.ProposalCode(k.Text), Signers: ids(k.Signers()), Keys: []entryFacts{}, Revoked: append([]string{}, ids(k.Revoked)...),
		Revocations: []endFacts{}, Closed: k.Closed,
	}
	for _, entry := range k.Keys {
		f.Keys = append(f.Keys, names.entry(entry))
	}
	for _, r := range revocations {
		f.Revocations = append(f.Revocations, endFacts{r.Key.String(), string(r.Reason), r.Signer().String()})
	}
	if o.json {
		return a.printJSON(f)
	}
	return a.printKeyset(names, f)
}

// signers names who signed; see [keyNames.signers].
func (f keysetFacts) signers(names keyNames) string {
	v := versionFacts{Version: f.Version, Signers: f.Signers}
	for _, e := range f.Keys {
		v.enrolled = append(v.enrolled, e.ID)
	}
	return names.signers(v)
}

func (a *app) printKeyset(names keyNames, f keysetFacts) error {
	closed := ""
	if f.Closed {
		closed = "the account has ended"
	}
	err := a.printFacts(
		fact{"account", f.Account}, fact{"index", f.Index}, fact{"version", fmt.Sprintf("%d of %s", f.Version, f.Issued)}, fact{"closed", closed},
		fact{"signed by", f.signers(names)}, fact{"hash", f.Hash}, fact{"code", f.Code},
	)
	err = errors.Join(err, a.printLine(""))
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	row(w, "KEY", "MAY", "CRATES", "UNTIL", "ID")
	ended := map[string]bool{}
	for _, r := range f.Revocations {
		ended[r.ID] = true
	}
	for _, e := range f.Keys {
		may := strings.Join(e.Can, ",")
		if ended[e.ID] {
			may = "nothing: revoked"
		}
		row(w, e.called(), may, every(e.Crates), orNever(e.Until), e.ID)
	}
	err = errors.Join(err, w.Flush())
	for _, id := range f.Revoked {
		err = errors.Join(err, a.printLine("revoked  %s", names.full(id)))
	}
	for _, e := range f.Keys {
		if text := e.unbounded(); text != "" && !ended[e.ID] {
			err = errors.Join(err, a.printLine("note: %s: %s", names.full(e.ID), text))
		}
	}
	return err
}

func (a *app) keysetVerifyCommand() *cli.Command {
	return &cli.Command{
		Name:  "verify",
		Usage: "verify every version of the keyset from the first one on",
		Description: `Fetches all versions of the account's keyset, verifies each signature and each step from one
to the next, and holds the result against what this machine has verified before. A registry
that contradicts that ends the command with exit code 7, and a sentence that says what was
expected and what came.

Examples:
   regkey keyset verify --registry lab
   regkey keyset verify --registry lab --json`,
		Flags: []cli.Flag{registryFlag(), accountFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return a.runKeysetVerify(c.Context, c.String("registry"), c.String("account"), c.Bool("json"))
		},
	}
}

// verifiedFacts is what was verified, in JSON.
type verifiedFacts struct {
	Registry    string `json:"registry"`
	Index       string `json:"index"`
	Account     string `json:"account"`
	Versions    int    `json:"versions"`   // all of them, from the first one on
	Signatures  int    `json:"signatures"` // that they bear
	Revocations int    `json:"revocations"`
	Hash        string `json:"hash"` // of the last version
	Code        string `json:"code"`
	Pinned      int    `json:"pinned"` // the version that this machine had verified before
}

func (a *app) runKeysetVerify(ctx context.Context, registry, account string, asJSON bool) error {
	return a.locked(ctx, func(ctx context.Context, home string) error {
		e, err := a.enrolmentAs(ctx, home, registry, account)
		if err != nil {
			return err
		}
		if e.Manual {
			return enroll.ErrManual
		}
		life, _ := a.lifecycleOf(home, e)
		pinned, err := life.State().Keyset()
		if err != nil {
			return err
		}
		changes, err := life.History(ctx)
		if err != nil {
			return err
		}
		k, err := life.State().Keyset()
		if err != nil {
			return err
		}
		revocations, err := life.State().Revocations()
		if err != nil {
			return err
		}
		f := verifiedFacts{
			Registry: e.Name, Index: e.Index, Account: e.Account, Versions: len(changes), Revocations: len(revocations),
			Hash: k.Hash().String(), Code: enroll.ProposalCode(k.Text), Pinned: pinned.Version,
		}
		for _, c := range changes {
			f.Signatures += len(c.Signers)
		}
		if asJSON {
			return a.printJSON(f)
		}
		return a.printFacts(
			fact{"verified", f.Account + " at " + label(e)},
			fact{"versions", fmt.Sprintf("1 to %d, with %s", f.Versions, count(f.Signatures, "signature"))},
			fact{"pinned", fmt.Sprintf("version %d was verified before, and is among them", f.Pinned)},
			fact{"revocations", fmt.Sprint(f.Revocations)}, fact{"hash", f.Hash}, fact{"code", f.Code},
		)
	})
}
