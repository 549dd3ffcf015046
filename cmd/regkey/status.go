// regkey status: which keys are trusted where, and what wants attention.

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/cargo"
)

type statusOptions struct{ online, check, json bool }

func (a *app) statusCommand() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show which keys are trusted where",
		Description: `Shows the keys of this machine and the registries that trust them: what each key may do
there, since when, and until when. It warns of what wants attention: a revocation certificate
that lies on the same disk as its key, a token left over from before, a change that was
signed and not yet sent, a key that is trusted no more, or a key of this machine that ends
within 14 days, unless a rotation has replaced it.

It shows what this machine knows and asks nobody. With --online it fetches what the
registries have, and verifies that it follows from that. With --check it exits with 6 where
something can't wait for ever: for cron, which mails what is printed.

Examples:
   regkey status
   regkey status --online --json
   regkey status --check > /dev/null || mail -s "see to your keys" me`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "online", Usage: "ask the registries"},
			&cli.BoolFlag{Name: "check", Usage: "exit with 6 where something wants attention"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return a.runStatus(c.Context, statusOptions{c.Bool("online"), c.Bool("check"), c.Bool("json")})
		},
	}
}

func (a *app) runStatus(ctx context.Context, o statusOptions) error {
	if !o.online {
		home, err := a.home()
		if err != nil {
			return err
		}
		return a.reportStatus(a.survey(home), nil, o)
	}
	return a.locked(ctx, func(ctx context.Context, home string) error {
		asked, onlineErr := a.askRegistries(ctx, home)
		if ctx.Err() != nil {
			return errCancelled
		}
		s := a.survey(home)
		s.add(asked)
		return a.reportStatus(s, onlineErr, o)
	})
}

// reportStatus prints what was found, also where something could not be read or asked: that comes
// after.
func (a *app) reportStatus(s *survey, onlineErr error, o statusOptions) error {
	err := errors.Join(s.err, onlineErr)
	if o.check && err == nil && s.Attention {
		err = errAttention
	}
	if o.json {
		return errors.Join(a.printJSON(s), err)
	}
	return errors.Join(a.printStatus(s), err)
}

func (a *app) printStatus(s *survey) error {
	if len(s.Keys) == 0 && len(s.Registries) == 0 && len(s.Unfinished) == 0 {
		if s.err != nil {
			return nil
		}
		return a.printLine("no keys yet: \"regkey init NAME\" makes one")
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "KEY\tKIND\tREGISTRY\tSTATE\tMAY\tSINCE\tUNTIL")
	enrolled := map[string]bool{}
	for _, r := range s.Registries {
		for _, k := range r.Keys {
			enrolled[k.ID] = true
			row(w, k.called(), s.kind(k), r.place, k.State, k.may(), k.Since, k.Until)
		}
	}
	for _, k := range s.Keys {
		if !enrolled[k.ID] {
			row(w, k.Name, k.kind(), "-", "not enrolled", "", "", "")
		}
	}
	err := w.Flush()
	for _, line := range s.Unfinished {
		err = errors.Join(err, a.printLine("%s", line))
	}
	for _, r := range s.Registries {
		err = errors.Join(err, a.printRegistry(r))
	}
	return err
}

// row writes one line of the table; nothing in it can steer the terminal or shift a column.
func row(w *tabwriter.Writer, cells ...string) {
	for i, cell := range cells {
		if cells[i] = cargo.Printable(cell); cell == "" {
			cells[i] = "-"
		}
	}
	_, _ = fmt.Fprintln(w, strings.Join(cells, "\t"))
}

func (a *app) printRegistry(r *registrySurvey) error {
	err := a.printLine("")
	err = errors.Join(err, a.printLine("%s: %s", r.label(), r.Index))
	signs := "nothing signs here"
	if r.Key != "" {
		signs = "signs with " + r.Key
	}
	switch {
	case r.Manual:
		err = errors.Join(err, a.printLine("   keys are managed on its website, %s", signs))
	case r.Version == 0:
		err = errors.Join(err, a.printLine("   account %s, whose keyset can't be read here, %s", r.Account, signs))
	default:
		err = errors.Join(err, a.printLine("   account %s, keyset version %d of %s, %s", r.Account, r.Version, r.Issued, signs))
	}
	for _, op := range operations {
		if name := r.Uses[op]; name != "" {
			err = errors.Join(err, a.printLine("   %s is signed with %s", op, name))
		}
	}
	if !r.InUse && !r.Manual {
		which := "another"
		if r.unused {
			which = "no"
		}
		err = errors.Join(err, a.printLine("   cargo signs for %s account there: \"regkey use --registry %s --account %s\" changes that", which, r.label(), r.Account))
	}
	for _, warning := range r.Warnings {
		err = errors.Join(err, a.printLine("   warning: %s", warning))
	}
	for _, note := range r.Notes {
		err = errors.Join(err, a.printLine("   note: %s", note))
	}
	return err
}

func (r *registrySurvey) label() string {
	if r.Name == "" {
		return r.Index
	}
	return r.Name
}

// shown names a key: by its name here, or by the beginning of its id if it is elsewhere.
func (k *trustedKey) shown() string {
	if name := cmp.Or(k.Name, k.Label); name != "" {
		return name
	}
	return k.ID[:min(len(k.ID), 16)] + "…"
}

// called is shown, with the label where a key of this machine has one, too.
func (k *trustedKey) called() string {
	if k.Name == "" || k.Label == "" || k.Label == k.Name {
		return k.shown()
	}
	return k.Name + " (" + k.Label + ")"
}

func (k *trustedKey) may() string {
	may := strings.Join(k.Can, ",")
	if len(k.Crates) > 0 {
		may += " (" + strings.Join(k.Crates, ",") + ")"
	}
	return may
}

// kind is what a key is, in a column of the table.
func (f keyFacts) kind() string {
	kind := f.Algorithm + ", " + map[string]string{
		"none": "unprotected", "passphrase": "passphrase", "keychain": "keychain", "ssh-agent": "ssh-agent", "elsewhere": "kept elsewhere",
	}[f.Protection]
	if f.Token != nil {
		kind = fmt.Sprintf("%s, YubiKey %d slot %s", f.Algorithm, f.Token.Serial, f.Token.Slot)
	}
	if f.Origin != "" {
		kind += ", from elsewhere"
	}
	return kind
}

func (s *survey) kind(k *trustedKey) string {
	for _, f := range s.Keys {
		if f.ID == k.ID {
			return f.kind()
		}
	}
	return "elsewhere"
}
