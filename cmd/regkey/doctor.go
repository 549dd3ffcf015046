// regkey doctor: the whole chain, from cargo to the card, each link with what to do about it.

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/enroll"
)

type doctorOptions struct{ online, json bool }

func (a *app) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "look at the whole chain, from cargo to the card",
		Description: `Looks at everything that "cargo publish" goes through: cargo, the credential provider, cargo's
configuration for each registry, keys and what guards their files, what this machine has
verified of each registry, the keychain and the ssh-agent where a key needs them, regkey's
own agent, and for keys in tokens the smart card service, the token, its slot and its PIN. It
says of each whether it is in order, and if not what to do. It asks for no PIN and changes
nothing; registries are asked only with --online, which also compares clocks.

It ends with exit code 1 if something is not in order, and with 7 if a registry contradicts
what this machine knows of it.

Examples:
   regkey doctor
   regkey doctor --online --json`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "online", Usage: "ask the registries, too"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return a.runDoctor(c.Context, doctorOptions{c.Bool("online"), c.Bool("json")})
		},
	}
}

// The states of a check.
const (
	checkOK      = "ok"
	checkProblem = "problem"
	checkSkipped = "skipped" // it can't be told
)

// A check is one link of the chain, in JSON.
type check struct {
	Link   string   `json:"link"`           // "cargo", "provider", "configuration", "key", "enrolment", "registry", "keyset", "clock", "keychain", "ssh-agent", "agent", "service", "token", "slot", "pin", "firmware"
	About  string   `json:"about,omitzero"` // which registry, key or token
	State  string   `json:"state"`
	Detail string   `json:"detail"`
	Remedy []string `json:"remedy,omitzero"`
}

// A diagnosis collects checks in the order of the chain.
type diagnosis struct {
	checks     []check
	distrusted bool // a registry contradicts what this machine has verified
	enrolments []*enroll.Enrolment
}

// about names a registry, and the account where this machine is enrolled there as several.
func (d *diagnosis) about(e *enroll.Enrolment) string { return where(e, d.enrolments) }

func (d *diagnosis) ok(link, about, detail string, values ...any) {
	d.checks = append(d.checks, check{link, about, checkOK, fmt.Sprintf(detail, values...), nil})
}

func (d *diagnosis) skip(link, about, detail string, remedy ...string) {
	d.checks = append(d.checks, check{link, about, checkSkipped, detail, remedy})
}

func (d *diagnosis) problem(link, about, detail string, remedy ...string) {
	d.checks = append(d.checks, check{link, about, checkProblem, detail, remedy})
}

// fault is a problem that an error tells, with the advice that the error would have brought.
func (d *diagnosis) fault(link, about string, err error) {
	d.distrusted = d.distrusted || errors.As(err, new(*enroll.DistrustError))
	d.problem(link, about, strings.ReplaceAll(err.Error(), "\n", "; "), hints(err)...)
}

func (d *diagnosis) problems() (n int) {
	for _, c := range d.checks {
		if c.State == checkProblem {
			n++
		}
	}
	return n
}

// A problemsError says how many links of the chain are not in order; they stand on stdout.
type problemsError struct {
	problems, checks int
	distrusted       bool // a registry is among them that is not believed
}

func (e *problemsError) Error() string {
	if e.problems == 1 {
		return fmt.Sprintf("1 of %d links is not in order, as printed", e.checks)
	}
	return fmt.Sprintf("%d of %d links are not in order, as printed", e.problems, e.checks)
}

func (a *app) runDoctor(ctx context.Context, o doctorOptions) error {
	home, err := a.home()
	if err != nil {
		return err
	}
	d := &diagnosis{}
	a.checkCargo(ctx, d)
	a.checkProvider(d)
	records := a.checkKeys(d, home)
	enrolments, err := enroll.ListEnrolments(home)
	if err != nil {
		d.fault("enrolment", "", err)
	}
	d.enrolments = enrolments
	if err == nil && len(enrolments) == 0 {
		d.skip("enrolment", "", "this machine is enrolled nowhere", `"regkey enroll --registry NAME" begins`)
	}
	for _, e := range enrolments {
		a.checkConfiguration(d, e)
		a.checkEnrolment(d, home, e, records)
		if o.online {
			a.checkOnline(ctx, d, home, e)
		}
	}
	a.checkKeychain(ctx, d, records)
	a.checkSSHAgent(ctx, d, records)
	a.checkAgent(ctx, d, home)
	a.checkHardware(ctx, d, records)
	if ctx.Err() != nil {
		return errCancelled
	}
	return a.reportDiagnosis(d, o)
}

func (a *app) reportDiagnosis(d *diagnosis, o doctorOptions) error {
	var err error
	if o.json {
		err = a.printJSON(struct {
			Checks   []check `json:"checks"`
			Problems int     `json:"problems"`
		}{d.checks, d.problems()})
	} else {
		err = a.printDiagnosis(d)
	}
	if n := d.problems(); n > 0 {
		err = errors.Join(err, &problemsError{n, len(d.checks), d.distrusted})
	}
	return err
}

func (a *app) printDiagnosis(d *diagnosis) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, c := range d.checks {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", c.State, cargo.Printable(strings.TrimSpace(c.Link+" "+c.About)), cargo.Printable(c.Detail))
		for _, line := range c.Remedy {
			_, _ = fmt.Fprintf(w, "\t\t→ %s\n", cargo.Printable(line))
		}
	}
	return w.Flush()
}
