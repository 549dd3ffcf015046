// invite, accounts, reset, freeze: who may have keys here.

package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registry/storage"
)

func (a *app) inviteCommand() *cli.Command {
	return &cli.Command{
		Name: "invite", Usage: "make a one-time code by which an account enrols its first key", ArgsUsage: "ACCOUNT",
		Description: `Prints the code alone on standard output. The registry keeps only its public half, so it can't be shown again; a new
code for the same account ends the one before. Give it to the account's owner by a way that nobody else reads.

   regkey-registry invite crates-team
   regkey-registry invite crates-team --expires 1h`,
		Flags: []cli.Flag{
			dataFlag(),
			&cli.DurationFlag{Name: "expires", Value: 72 * time.Hour, Usage: "how `LONG` the code is good"},
		},
		Action: func(c *cli.Context) error {
			if err := arguments(c, "ACCOUNT"); err != nil {
				return err
			}
			return a.operate(c, func(ctx context.Context, o *registry.Operator) error {
				code, invite, err := o.Invite(ctx, c.Args().First(), c.Duration("expires"))
				if err != nil {
					return err
				}
				a.say("one-time code for account %s, good until %s:", invite.Account, invite.Expires.UTC().Format(time.RFC3339))
				// The one place where a secret is printed: it is what the command is for.
				_, err = fmt.Fprintf(a.stdout, "%s\n", code.Reveal())
				return err
			})
		},
	}
}

// accountReport is one account in the output of accounts --json.
type accountReport struct {
	Account string   `json:"account"`
	State   string   `json:"state"` // "active", "frozen", "closed", "invited", "no keys"
	Version int      `json:"keyset"`
	Keys    int      `json:"keys"`
	Crates  []string `json:"crates"`
	Created string   `json:"created"`
	Resets  int      `json:"resets"`
}

func (a *app) accountsCommand() *cli.Command {
	return &cli.Command{
		Name: "accounts", Usage: "list the accounts, their state and crates",
		Description: "   regkey-registry accounts --json",
		Flags:       []cli.Flag{dataFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			return a.operate(c, func(ctx context.Context, o *registry.Operator) error {
				reports, err := a.reportAccounts(ctx, o.Storage)
				if err != nil {
					return err
				}
				if c.Bool("json") {
					return a.printJSON(reports)
				}
				return a.table("ACCOUNT\tSTATE\tKEYSET\tKEYS\tCRATES\tCREATED", len(reports), func(i int) string {
					r := reports[i]
					return fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%s", r.Account, r.State, r.Version, r.Keys, len(r.Crates), r.Created)
				})
			})
		},
	}
}

func (a *app) reportAccounts(ctx context.Context, db *storage.DB) ([]accountReport, error) {
	accounts, err := db.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	reports := make([]accountReport, 0, len(accounts))
	for _, account := range accounts {
		keys, err := db.Keys(ctx, account.Name)
		if err != nil {
			return nil, err
		}
		crates, err := db.OwnedBy(ctx, account.Name)
		if err != nil {
			return nil, err
		}
		invite, err := db.Invite(ctx, account.Name)
		r := accountReport{
			Account: account.Name, Version: account.Version, Crates: crates, Resets: account.Epoch - 1,
			Created: account.Created.Format(time.RFC3339), State: a.accountState(account, err == nil && a.now().Before(invite.Expires)),
		}
		for _, k := range keys {
			if k.Listed && k.Revoked.IsZero() && (k.Until.IsZero() || a.now().Before(k.Until)) {
				r.Keys++
			}
		}
		reports = append(reports, r)
	}
	return reports, nil
}

func (a *app) accountState(account storage.Account, invited bool) string {
	switch {
	case account.Closed:
		return "closed"
	case account.Frozen:
		return "frozen"
	case account.Version > 0:
		return "active"
	case invited:
		return "invited"
	}
	return "no keys"
}

// table prints rows in columns that line up.
func (a *app) table(head string, rows int, row func(i int) string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, head)
	for i := range rows {
		_, _ = fmt.Fprintln(w, row(i))
	}
	return w.Flush()
}

func (a *app) resetCommand() *cli.Command {
	return &cli.Command{
		Name: "reset", Usage: "end all keys of an account at once", ArgsUsage: "ACCOUNT",
		Description: `For an account that has lost its managing keys, or had one stolen. Its open code ends too; its crates stay its own. After
it, invite makes a code that begins a new chain of keysets; clients that know the old chain stop and say so.

   regkey-registry reset crates-team --yes`,
		Flags: []cli.Flag{dataFlag(), yesFlag()},
		Action: func(c *cli.Context) error {
			if err := arguments(c, "ACCOUNT"); err != nil {
				return err
			}
			name := c.Args().First()
			if err := confirmed(c, "end every key of account %s, so that nothing is published with them any more", name); err != nil {
				return err
			}
			return a.operate(c, func(ctx context.Context, o *registry.Operator) error {
				if err := o.Reset(ctx, name); err != nil {
					return err
				}
				a.say("all keys of account %s have ended; `regkey-registry invite %s` lets its owner begin anew", name, name)
				return nil
			})
		},
	}
}

func (a *app) freezeCommand() *cli.Command {
	return &cli.Command{
		Name: "freeze", Usage: "stop every change by an account, or lift that", ArgsUsage: "ACCOUNT",
		Description: `A frozen account publishes, yanks and changes owners no more, and its keyset stays as it is. Its crates can be read, and its keys can be
revoked. Nothing is lost: --undo lifts the freeze.

   regkey-registry freeze crates-team
   regkey-registry freeze crates-team --undo`,
		Flags: []cli.Flag{dataFlag(), &cli.BoolFlag{Name: "undo", Usage: "lift the freeze"}},
		Action: func(c *cli.Context) error {
			if err := arguments(c, "ACCOUNT"); err != nil {
				return err
			}
			return a.operate(c, func(ctx context.Context, o *registry.Operator) error {
				name, frozen := c.Args().First(), !c.Bool("undo")
				if err := o.Freeze(ctx, name, frozen); err != nil {
					return err
				}
				if frozen {
					a.say("account %s is frozen: it can't publish, yank, change owners or its keyset; revocations are still taken", name)
				} else {
					a.say("account %s is not frozen", name)
				}
				return nil
			})
		},
	}
}
