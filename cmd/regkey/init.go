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

Examples:
   regkey init laptop
   regkey init ci --no-passphrase
   regkey init work --algorithm p384`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "algorithm", Value: "ed25519", Usage: "the kind of key: `ALGORITHM` ed25519 or p384"},
			&cli.BoolFlag{Name: "no-passphrase", Usage: "leave the key unprotected: only the file's mode guards it"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			name, err := oneArgument(c, "NAME")
			if err != nil {
				return err
			}
			algorithm, err := keys.ParseAlgorithm(c.String("algorithm"))
			if err != nil {
				return usage("%w", err)
			}
			return a.runInit(c.Context, initOptions{name, algorithm, c.Bool("no-passphrase"), c.Bool("json")})
		},
	}
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
	err := a.printFacts(
		fact{"key", f.Name + " (" + f.Algorithm + ", passphrase: " + map[bool]string{true: "none", false: "yes"}[o.noPassphrase] + ")"},
		fact{"public", f.Public}, fact{"id", f.ID}, fact{"file", f.File},
	)
	a.advise(`next: "regkey enroll --registry NAME --key %s" has a registry trust it`, f.Name)
	return err
}

func keyExists(store *keys.Store, name string) error {
	return advised(&existsError{name, store.Path(name)},
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
