// regkey init: making a key.

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/keys"
)

type initOptions struct {
	name         string // empty: asked for
	algorithm    keys.Algorithm
	noPassphrase bool
	json         bool

	hardware, adopt bool
	place           tokenPlace
}

func (a *app) initCommand() *cli.Command {
	return &cli.Command{
		Name:      "init",
		Usage:     "make a key",
		ArgsUsage: "NAME",
		Description: `Makes a key pair and keeps it in regkey's folder. The secret half never leaves this
machine; registries get the public half. NAME is how you call the key here, like the
name of this computer. An existing key is never overwritten.

The key is protected by a passphrase, which is asked for on the terminal, or read from
the file that REGKEY_PASSPHRASE_FILE names.

With --hardware the key is made on a YubiKey or another PIV token, and never leaves it:
Ed25519 from firmware 5.7 on, else P-384. Only what is public is kept here. The token's PIN
is asked for on the terminal, or read from the file that REGKEY_PIN_FILE names. --adopt
takes up a key that another tool made on the token.

Examples:
   regkey init laptop
   regkey init ci --no-passphrase
   regkey init work --algorithm p384
   regkey init yk --hardware
   regkey init yk --hardware --serial 12345678 --slot 82 --touch always
   regkey init yk --hardware --adopt --slot 9a`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "algorithm", Usage: "the kind of key: `ALGORITHM` ed25519 or p384 (ed25519, or what the token can do)"},
			&cli.BoolFlag{Name: "no-passphrase", Usage: "leave the key unprotected: only the file's mode guards it"},
			&cli.BoolFlag{Name: "hardware", Usage: "make the key on a token"},
		}, append(tokenPlaceFlags(),
			&cli.BoolFlag{Name: "adopt", Usage: "take up the key that the token has in --slot"},
			&cli.BoolFlag{Name: "force", Usage: "overwrite what the slot holds, once its name is typed out"},
			&cli.StringFlag{Name: "overwrite-slot", Usage: "the same without a terminal: the `SLOT` again"},
			jsonFlag(),
		)...),
		Action: func(c *cli.Context) error {
			name, err := oneArgument(c, "NAME")
			if err != nil {
				return err
			}
			o := initOptions{
				name: name, noPassphrase: c.Bool("no-passphrase"), json: c.Bool("json"),
				hardware: c.Bool("hardware"), adopt: c.Bool("adopt"),
			}
			if err := o.parse(c); err != nil {
				return err
			}
			return a.runInit(c.Context, o)
		},
	}
}

// parse reads what depends on where the key is made.
func (o *initOptions) parse(c *cli.Context) (err error) {
	if !o.hardware {
		for _, name := range []string{"serial", "slot", "touch", "pin", "adopt", "force", "overwrite-slot"} {
			if c.IsSet(name) {
				return usage("--%s goes with --hardware", name)
			}
		}
		o.algorithm = keys.Ed25519
		if text := c.String("algorithm"); text != "" {
			if o.algorithm, err = keys.ParseAlgorithm(text); err != nil {
				return usage("%w", err)
			}
		}
		return nil
	}
	if o.place, err = parseTokenPlace(c); err != nil {
		return err
	}
	o.place.force = c.Bool("force")
	switch {
	case o.noPassphrase:
		return usage("--no-passphrase doesn't go with --hardware: a token has a PIN, and --pin says when it is asked for")
	case o.adopt && o.place.slot == 0:
		return &usageError{errAdoptSlot}
	case o.adopt && (c.IsSet("touch") || c.IsSet("pin") || c.IsSet("algorithm") || c.IsSet("force") || c.IsSet("overwrite-slot")):
		return usage("a key that is taken up is as it was made: --algorithm, --touch, --pin and --force don't go with --adopt")
	case (o.place.force || o.place.overwrite != 0) && o.place.slot == 0:
		return usage("--force needs --slot: without it the first free slot is taken")
	}
	return nil
}

func (a *app) runInit(ctx context.Context, o initOptions) error {
	if o.name == "" {
		name, err := a.text(ctx, "Name of the new key", suggestedName(), "NAME: regkey init NAME", keys.CheckName)
		if err != nil {
			return err
		}
		o.name = name
	}
	if err := keys.CheckName(o.name); err != nil {
		return usage("%w", err)
	}
	if o.hardware {
		return a.runInitHardware(ctx, o)
	}
	return a.locked(ctx, func(ctx context.Context, home string) error {
		store := a.store(home)
		// Nobody is to think of a passphrase for a key that can't be made.
		if _, err := store.Lookup(o.name); err == nil {
			return keyExists(store, o.name)
		}
		var passphrase keys.Secret
		if !o.noPassphrase {
			var err error
			if passphrase, err = a.newPassphrase(ctx, o.name); err != nil {
				return err
			}
		}
		record, err := a.makeKey(store, o.name, o.algorithm, passphrase)
		if errors.Is(err, fs.ErrExist) {
			return keyExists(store, o.name)
		}
		if err != nil {
			return err
		}
		return a.reportInit(factsOf(store, record), o)
	})
}

func (a *app) reportInit(f keyFacts, o initOptions) error {
	if o.json {
		return a.printJSON(f)
	}
	protected := "passphrase: " + map[bool]string{true: "none", false: "yes"}[o.noPassphrase]
	if f.Token != nil {
		protected = f.Token.describe()
	}
	err := a.printFacts(
		fact{"key", f.Name + " (" + f.Algorithm + ", " + protected + ")"},
		fact{"public", f.Public}, fact{"id", f.ID}, fact{"file", f.File},
	)
	a.advise(`next: "regkey enroll --registry NAME --key %s" has a registry trust it`, f.Name)
	return err
}

func keyExists(store *keys.Store, name string) error {
	path := store.Path(name)
	if record, err := store.Lookup(name); err == nil {
		path = factsOf(store, record).File
	}
	return advised(&existsError{name, path},
		"it was not touched; choose another name, or go on with it: \"regkey enroll --registry NAME --key "+name+"\"")
}

// An existsError says that a key of that name is there.
type existsError struct{ name, path string }

func (e *existsError) Error() string { return "there is a key " + e.name + " already, in " + e.path }
func (e *existsError) Unwrap() error { return fs.ErrExist }

// suggestedName is this computer's name, as far as it can name a key; else "laptop".
func suggestedName() string {
	host, _ := os.Hostname()
	host, _, _ = strings.Cut(strings.ToLower(host), ".")
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, host), "-_")
	if keys.CheckName(name) != nil {
		return "laptop"
	}
	return name
}
