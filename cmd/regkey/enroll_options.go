// What regkey enroll is told on its command line.

package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

type enrollOptions struct {
	registry, name, key, account, with string
	can                                enroll.Can
	crates                             []string
	until                              time.Time
	certificate, subject               string
	codeStdin, manual                  bool
	leaveCargo, insecure, yes, json    bool
	afterReset                         bool
	join, noWait                       bool
	keysetCode, file                   string
	code                               keys.Secret // that a person typed already
}

// enrollHelp is what "regkey enroll --help" explains.
const enrollHelp = `Enrols a key at a registry, and tells cargo to sign for that registry with regkey.

The first key of an account needs an invite code from the registry's operator. The code is
asked for on the terminal, or read from standard input with --code-stdin, and is never
sent: it signs. The first key may do everything, and manages the account's keys. A later
key is signed in by one that manages, and may publish, yank and read unless --can says
otherwise. A key that manages can widen its own line: --crates keeps it from mistakes,
and does not bind whoever has the key.

On a further machine of yours, enroll shows a short code, and waits until "regkey approve" on
a machine that manages the account has let the key in: for 15 minutes. Run it again, and it
goes on waiting. Where a registry shows keysets only to keys that it knows, "regkey keyset
show" prints a code there that this machine needs: --keyset-code. A key that the account
trusts already, as of a restored home, is simply taken up again. A machine that is enrolled
and does not manage gets a further key in the same way: --join.

An account beside the one that is in use here is enrolled with --account; "regkey use" changes
which one cargo signs for. Where a registry says that it has moved from an index URL at which
this machine is enrolled, the enrolment moves along, once you have said yes.

A revocation certificate is made at once: whoever holds it can end the key, and do nothing
else. Keep it where you will find it when this machine is gone.

A key in a token goes along with its attestation, the maker's word for it. If its signatures
want a PIN or a touch, a second key is made that can only read: KEY-read, in a file,
without a passphrase. --key yk2 --with yk puts a second token in, as a spare.

A registry without a key API takes keys on its website: --manual prints what to paste there.

Examples:
   regkey enroll --registry lab --account crates-team
   regkey enroll --registry lab --key ci --can publish --crates 'foo-*' --until 90d
   regkey enroll --registry lab --key yk2 --with yk
   regkey enroll --registry lab --account crates-team --join
   regkey enroll --registry lab --account crates-team --with-file /media/stick/safe.age
   regkey enroll --registry sparse+https://crates.example.com/index/ --name example
   regkey enroll --registry lab --key laptop --account crates-team --code-stdin < code
   regkey enroll --registry other --key laptop --manual --subject alice`

func (a *app) enrollCommand() *cli.Command {
	return &cli.Command{
		Name:        "enroll",
		Usage:       "have a registry trust a key",
		Description: enrollHelp,
		Flags:       enrollFlags(),
		Action: func(c *cli.Context) error {
			o, err := a.enrollOptions(c)
			if err != nil {
				return err
			}
			if o.codeStdin {
				a.terminal = false // standard input holds the code: nobody can be asked there
			}
			return a.runEnroll(c.Context, o)
		},
	}
}

func enrollFlags() []cli.Flag {
	return []cli.Flag{
		registryFlag(),
		&cli.StringFlag{Name: "name", Usage: "what cargo shall call a registry that is given by its URL: a `NAME`"},
		&cli.StringFlag{Name: "key", Usage: "the `KEY` to be trusted (if there is only one: that one)"},
		&cli.StringFlag{Name: "account", Usage: "the `ACCOUNT` at the registry"},
		&cli.BoolFlag{Name: "code-stdin", Usage: "read the invite code from standard input; counts as --yes"},
		&cli.StringFlag{Name: "with", Usage: "the managing `KEY` that signs a further one in (one that is here)"},
		withFileFlag(),
		&cli.BoolFlag{Name: "join", Usage: "have another machine, which manages the account, let this one in; counts as --yes"},
		&cli.StringFlag{Name: "keyset-code", Usage: "the `CODE` that \"regkey keyset show\" prints on the other machine; counts as --join"},
		&cli.BoolFlag{Name: "no-wait", Usage: "show the code and end; the same command, run again, completes it"},
		&cli.StringFlag{Name: "can", Usage: "what the key may do: a `LIST` of manage,publish,yank,owners,read"},
		&cli.StringFlag{Name: "crates", Usage: "the crates that it may do it to: a `LIST` of names, with * at the end"},
		&cli.StringFlag{Name: "until", Usage: "when the key ends: a `TIME` like 2027-01-31 or 90d"},
		certificateFlag(),
		&cli.BoolFlag{Name: "no-cargo-config", Usage: "leave cargo's configuration alone"},
		&cli.BoolFlag{Name: "insecure-http", Usage: "allow plain http to another machine"},
		&cli.BoolFlag{Name: "manual", Usage: "the registry takes keys on its website only"},
		&cli.StringFlag{Name: "subject", Usage: "with --manual: the `SUBJECT` that the registry wants in tokens"},
		&cli.BoolFlag{Name: "after-reset", Usage: "the operator has reset the account: set the old keyset aside and begin anew"},
		yesFlag(), jsonFlag(),
	}
}

func (a *app) enrollOptions(c *cli.Context) (enrollOptions, error) {
	o := enrollOptions{
		registry: c.String("registry"), name: c.String("name"), key: c.String("key"), account: c.String("account"),
		with: c.String("with"), crates: list(c.String("crates")), certificate: c.String("revocation-file"),
		subject: c.String("subject"), codeStdin: c.Bool("code-stdin"), manual: c.Bool("manual"),
		leaveCargo: c.Bool("no-cargo-config"), insecure: c.Bool("insecure-http"), yes: c.Bool("yes"), json: c.Bool("json"),
		afterReset: c.Bool("after-reset"), join: c.Bool("join"), noWait: c.Bool("no-wait"), file: c.String("with-file"),
	}
	if err := noArguments(c); err != nil {
		return o, err
	}
	var err error
	if o.can, err = enroll.CanOf(list(c.String("can"))...); err != nil {
		return o, usage("reading --can: %w", err)
	}
	if err := enroll.CheckCrates(o.crates); err != nil {
		return o, usage("reading --crates: %w", err)
	}
	if o.until, err = parseUntil(c.String("until"), a.now()); err != nil {
		return o, err
	}
	if o.account != "" {
		if err := enroll.CheckAccount(o.account); err != nil {
			return o, usage("%w", err)
		}
	}
	if text := c.String("keyset-code"); text != "" {
		if o.keysetCode, err = enroll.ParseProposalCode(text); err != nil {
			return o, usage("reading --keyset-code: %w", err)
		}
		o.join = true
	}
	switch {
	case o.join && (o.codeStdin || o.with != "" || o.file != ""):
		return o, usage("--join has another machine sign: --code-stdin, --with and --with-file don't go with it")
	case o.with != "" && o.file != "":
		return o, usage("--with and --with-file: one key signs this one in")
	case o.subject != "" && !o.manual:
		return o, usage("--subject goes with --manual: elsewhere the account says who signs")
	case o.manual && (o.codeStdin || o.with != "" || o.can != 0 || o.crates != nil || !o.until.IsZero() || o.certificate != "" || o.join || o.file != ""):
		return o, usage("with --manual the registry's website decides what a key may do: --code-stdin, --join, --with, --with-file, --can, --crates, --until and --revocation-file don't go with it")
	}
	return o, nil
}
