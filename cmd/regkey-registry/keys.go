// keys, published, delete: what keys there are, what each has done, and undoing the worst of it.

package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registry/storage"
)

// keyReport is one key in the output of keys --json.
type keyReport struct {
	Account string   `json:"account"`
	Key     string   `json:"key"`
	State   string   `json:"state"` // "active", "revoked", "expired", "dropped"
	Can     []string `json:"can"`
	Crates  []string `json:"crates,omitempty"`
	Since   string   `json:"since"`
	Until   string   `json:"until,omitempty"`
	Reason  string   `json:"reason,omitempty"`

	Hardware *hardwareReport `json:"hardware,omitzero"` // only of a key that was attested
}

// hardwareReport is the token that a key was made in.
type hardwareReport struct {
	Serial   uint32 `json:"serial"`
	Firmware string `json:"firmware"`
	Slot     string `json:"slot"`
	PIN      string `json:"pin"`
	Touch    string `json:"touch"`
	Form     string `json:"form,omitempty"`
}

// String is one cell of a table.
func (h *hardwareReport) String() string {
	if h == nil {
		return "-"
	}
	return fmt.Sprintf("%d slot %s firmware %s pin %s touch %s", h.Serial, h.Slot, h.Firmware, h.PIN, h.Touch)
}

func (a *app) keysCommand() *cli.Command {
	return &cli.Command{
		Name: "keys", Usage: "list keys, those that have ended included", ArgsUsage: "[ACCOUNT]",
		Description: "   regkey-registry keys crates-team --json",
		Flags:       []cli.Flag{dataFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return usage("unexpected argument %.40q", c.Args().Get(1))
			}
			return a.operate(c, func(ctx context.Context, o *registry.Operator) error {
				reports, err := a.reportKeys(ctx, o.Storage, c.Args().First())
				if err != nil {
					return err
				}
				if c.Bool("json") {
					return a.printJSON(reports)
				}
				return a.table("ACCOUNT\tKEY\tSTATE\tCAN\tSINCE\tHARDWARE", len(reports), func(i int) string {
					r := reports[i]
					return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%v", r.Account, r.Key, r.State, strings.Join(r.Can, ","), r.Since, r.Hardware)
				})
			})
		},
	}
}

func (a *app) reportKeys(ctx context.Context, db *storage.DB, account string) ([]keyReport, error) {
	all, err := db.Keys(ctx, account)
	if err != nil {
		return nil, err
	}
	reports := make([]keyReport, 0, len(all))
	for _, k := range all {
		r := keyReport{
			Account: k.Account, Key: k.Public.ID().String(), State: a.keyState(k), Can: strings.Split(k.Can, ","),
			Crates: k.Crates, Since: k.Since.Format(time.RFC3339), Reason: k.Reason,
		}
		if !k.Until.IsZero() {
			r.Until = k.Until.Format(time.RFC3339)
		}
		if k.Hardware != nil {
			shown := hardwareReport(*k.Hardware)
			r.Hardware = &shown
		}
		reports = append(reports, r)
	}
	return reports, nil
}

func (a *app) keyState(k storage.Key) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked"
	case !k.Listed:
		return "dropped"
	case !k.Until.IsZero() && a.now().After(k.Until):
		return "expired"
	}
	return "active"
}

// publishedReport is one version in the output of published --json.
type publishedReport struct {
	Crate    string `json:"crate"`
	Version  string `json:"version"`
	Account  string `json:"account"`
	At       string `json:"published"`
	Checksum string `json:"checksum"`
	Yanked   bool   `json:"yanked"`
	Deleted  bool   `json:"deleted"`
}

func (a *app) publishedCommand() *cli.Command {
	return &cli.Command{
		Name: "published", Usage: "list what one key has published", ArgsUsage: "KEY",
		Description: `For a key that was revoked as compromised: what came from it since it was.

   regkey-registry published k4.pid.… --since 2026-11-20T00:00:00Z`,
		Flags: []cli.Flag{dataFlag(), jsonFlag(), &cli.TimestampFlag{Name: "since", Layout: time.RFC3339, Usage: "only from this `TIME` on (RFC 3339)"}},
		Action: func(c *cli.Context) error {
			if err := arguments(c, "KEY"); err != nil {
				return err
			}
			id, err := keys.ParseID(c.Args().First())
			if err != nil {
				return usage("%w", err)
			}
			return a.operate(c, func(ctx context.Context, o *registry.Operator) error {
				var since time.Time // the same question as GET …/keys/{id}/published
				if c.Timestamp("since") != nil {
					since = *c.Timestamp("since")
				}
				versions, err := o.Storage.PublishedBy(ctx, id.String(), since, 0, math.MaxInt32)
				if err != nil {
					return err
				}
				reports := reportPublished(versions)
				if c.Bool("json") {
					return a.printJSON(reports)
				}
				return a.table("CRATE\tVERSION\tACCOUNT\tPUBLISHED\tSTATE", len(reports), func(i int) string {
					r := reports[i]
					state := map[bool]string{true: "yanked", false: "listed"}[r.Yanked]
					if r.Deleted {
						state = "deleted"
					}
					return fmt.Sprintf("%s\t%s\t%s\t%s\t%s", r.Crate, r.Version, r.Account, r.At, state)
				})
			})
		},
	}
}

func reportPublished(versions []storage.Published) []publishedReport {
	reports := []publishedReport{}
	for _, v := range versions {
		reports = append(reports, publishedReport{
			Crate: v.Name, Version: v.Version, Account: v.Account, At: v.Published.Format(time.RFC3339),
			Checksum: v.Checksum, Yanked: v.Yanked, Deleted: !v.Deleted.IsZero(),
		})
	}
	return reports
}

func (a *app) deleteCommand() *cli.Command {
	return &cli.Command{
		Name: "delete", Usage: "delete a malicious version", ArgsUsage: "CRATE VERSION",
		Description: `Takes the version out of index and downloads, and deletes its file. Name and version are never used again. Builds that have it in
their Cargo.lock fail: where that is not wanted, its owner yanks it instead.

   regkey-registry delete evil-crate 1.0.3 --yes`,
		Flags: []cli.Flag{dataFlag(), yesFlag()},
		Action: func(c *cli.Context) error {
			if err := arguments(c, "CRATE", "VERSION"); err != nil {
				return err
			}
			name, version := c.Args().Get(0), c.Args().Get(1)
			if err := confirmed(c, "delete version %s of crate %s for good", version, name); err != nil {
				return err
			}
			return a.operate(c, func(ctx context.Context, o *registry.Operator) error {
				if err := o.Delete(ctx, name, version); err != nil {
					return err
				}
				a.say("version %s of crate %s is deleted, and will not be used again", version, name)
				return nil
			})
		},
	}
}
