// regkey hardware: tokens as such, what they hold and how they are protected.

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/keys"
)

func (a *app) hardwareCommand() *cli.Command {
	return &cli.Command{
		Name:  "hardware",
		Usage: "look after YubiKeys and other PIV tokens",
		Description: `Shows tokens and prepares them. Keys are made on them with "regkey init NAME --hardware".

Examples:
   regkey hardware list
   regkey hardware setup`,
		Subcommands: []*cli.Command{a.hardwareListCommand(), a.hardwareSetupCommand(), a.hardwareAttestCommand(), a.hardwareUnblockCommand()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage("unknown command hardware %.40q", c.Args().First())
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func (a *app) hardwareListCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "show the tokens that are plugged in",
		Description: `Shows each token that is plugged in: model, serial number, firmware, how many tries PIN and
PUK have left, whether they are still the factory's, and what its slots hold. It asks for no
PIN and changes nothing.

Examples:
   regkey hardware list
   regkey hardware list --json`,
		Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return a.runHardwareList(c.Context, c.Bool("json"))
		},
	}
}

// tokenFacts is a token in JSON.
type tokenFacts struct {
	Reader    string        `json:"reader"`
	Serial    uint32        `json:"serial,omitzero"`
	Firmware  string        `json:"firmware,omitzero"`
	Form      string        `json:"form,omitzero"`
	PINTries  int           `json:"pin-tries"` // -1: the token doesn't tell
	PUKTries  int           `json:"puk-tries"`
	Defaults  defaultsFacts `json:"factory-defaults"`
	Algorithm []string      `json:"algorithms"` // of the keys that regkey could make on it
	Slots     []slotFacts   `json:"slots"`      // those that hold something
	Error     string        `json:"error,omitzero"`
	err       error
}

// defaultsFacts says "yes", "no" or "unknown".
type defaultsFacts struct {
	PIN           hardware.Answer `json:"pin"`
	PUK           hardware.Answer `json:"puk"`
	ManagementKey hardware.Answer `json:"management-key"`
}

type slotFacts struct {
	Slot        string `json:"slot"`
	Key         string `json:"key,omitzero"` // its name on this machine
	ID          string `json:"id,omitzero"`
	Algorithm   string `json:"algorithm"`
	PIN         string `json:"pin,omitzero"`
	Touch       string `json:"touch,omitzero"`
	Origin      string `json:"origin"`
	Certificate string `json:"certificate,omitzero"` // the subject of the one beside the key
}

func (a *app) runHardwareList(ctx context.Context, json bool) error {
	tokens, err := a.listTokens(ctx)
	if err != nil {
		return err
	}
	if json {
		return a.printJSON(struct {
			Tokens []tokenFacts `json:"tokens"`
		}{tokens})
	}
	if len(tokens) == 0 {
		return a.printLine("no PIV token is plugged in")
	}
	for i, t := range tokens {
		if i > 0 {
			err = errors.Join(err, a.printLine(""))
		}
		err = errors.Join(err, a.printToken(t))
	}
	return err
}

// listTokens are all tokens that are plugged in, with the names that their keys have here.
func (a *app) listTokens(ctx context.Context) ([]tokenFacts, error) {
	if err := a.cantReach(); err != nil {
		return nil, err
	}
	a.releaseTokens(ctx)
	list, err := hardware.List(ctx)
	if err != nil {
		return nil, err
	}
	names := a.keyNames()
	tokens := []tokenFacts{}
	for _, info := range list {
		tokens = append(tokens, factsOfToken(info, names))
	}
	return tokens, nil
}

// keyNames are the names of this machine's keys in tokens. A record that can't be read is somebody
// else's trouble.
func (a *app) keyNames() map[keys.PublicKey]string {
	names := map[keys.PublicKey]string{}
	home, err := a.home()
	if err != nil {
		return names
	}
	records, _ := a.store(home).List()
	for _, r := range records {
		if r.Protection == keys.Hardware {
			names[r.Public] = r.Name
		}
	}
	return names
}

func factsOfToken(info hardware.Info, names map[keys.PublicKey]string) tokenFacts {
	t := tokenFacts{
		Reader: info.Reader, Serial: info.Serial, PINTries: info.PINTries, PUKTries: info.PUKTries,
		Form: info.FormFactor.String(), Algorithm: []string{}, Slots: []slotFacts{}, err: info.Err,
		Defaults: defaultsFacts{info.DefaultPIN, info.DefaultPUK, info.DefaultManagementKey},
	}
	if !info.Firmware.IsZero() {
		t.Firmware = info.Firmware.String()
	}
	if info.Firmware.AtLeast(5, 7, 0) {
		t.Algorithm = append(t.Algorithm, keys.Ed25519.String())
	}
	if info.Firmware.AtLeast(4, 3, 0) {
		t.Algorithm = append(t.Algorithm, keys.P384.String())
	}
	if info.Err != nil {
		t.Error = info.Err.Error()
	}
	for _, s := range info.Slots {
		if s.Occupied {
			t.Slots = append(t.Slots, factsOfSlot(s, names))
		}
	}
	return t
}

func factsOfSlot(s hardware.SlotInfo, names map[keys.PublicKey]string) slotFacts {
	f := slotFacts{
		Slot: s.Slot.String(), Algorithm: s.Algorithm, PIN: string(s.PIN), Touch: string(s.Touch),
		Origin: s.Origin, Certificate: s.CertificateSubject,
	}
	if !s.Public.IsZero() {
		f.Key, f.ID = names[s.Public], s.Public.ID().String()
	}
	return f
}

func (a *app) printToken(t tokenFacts) error {
	title := "token"
	if t.Serial != 0 {
		title = fmt.Sprintf("YubiKey %d", t.Serial)
	}
	if t.err != nil {
		err := a.printFacts(fact{title, t.Reader}, fact{"problem", t.Error})
		for _, line := range hints(t.err) {
			err = errors.Join(err, a.printLine("    %s", line))
		}
		return err
	}
	err := a.printFacts(
		fact{title, strings.TrimPrefix(t.Form+", firmware "+t.Firmware, ", ")}, fact{"reader", t.Reader},
		fact{"makes", strings.Join(t.Algorithm, ", ") + " keys"},
		fact{"PIN", protection(t.PINTries, t.Defaults.PIN)}, fact{"PUK", protection(t.PUKTries, t.Defaults.PUK)},
		fact{"management key", map[hardware.Answer]string{
			hardware.Yes: "the factory's: \"regkey hardware setup\" replaces it", hardware.No: "its own", hardware.Unknown: "unknown whether the factory's",
		}[t.Defaults.ManagementKey]},
	)
	if len(t.Slots) == 0 {
		return errors.Join(err, a.printLine("all slots are empty"))
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SLOT\tKEY\tALGORITHM\tPIN\tTOUCH\tORIGIN\tCERTIFICATE")
	for _, s := range t.Slots {
		row(w, s.Slot, s.Key, s.Algorithm, s.PIN, s.Touch, s.Origin, cargo.Printable(s.Certificate))
	}
	return errors.Join(err, w.Flush())
}

// protection tells of a PIN or PUK.
func protection(left int, original hardware.Answer) string {
	text := "the token doesn't tell how many tries are left"
	switch {
	case left == 0:
		text = "blocked"
	case left > 0:
		text = triesLeft(left)
	}
	switch original {
	case hardware.Yes:
		return text + ", still the factory's: \"regkey hardware setup\" changes it"
	case hardware.Unknown:
		return text + "; unknown whether still the factory's"
	}
	return text
}
