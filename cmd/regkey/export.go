// regkey export: what other programs and machines need to know, never a secret.

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/keys"
)

type exportOptions struct{ what, registry, key string }

func (a *app) exportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "print cargo's lines, a public key, or a job's environment",
		ArgsUsage: "cargo|public|env",
		Description: `Prints on stdout:

   cargo    the lines that cargo's configuration needs for the registry
   public   the public key, to paste where a registry asks for one
   env      shell lines for a job that has the key's file and no regkey folder:
            where the file is, and the registry's index URL; never the key itself

Examples:
   regkey export public --registry lab
   regkey export cargo --registry lab >> ~/.cargo/config.toml
   regkey export env --registry lab --key ci`,
		Flags: []cli.Flag{
			registryFlag(),
			&cli.StringFlag{Name: "key", Usage: "the `KEY` (the one that signs there)"},
		},
		Action: func(c *cli.Context) error {
			what, err := oneArgument(c, "cargo, public or env")
			if err != nil {
				return err
			}
			return a.runExport(c.Context, exportOptions{what, c.String("registry"), c.String("key")})
		},
	}
}

func (a *app) runExport(ctx context.Context, o exportOptions) error {
	if o.what != "cargo" && o.what != "public" && o.what != "env" {
		return usage("what to export is missing: cargo, public or env")
	}
	home, err := a.home()
	if err != nil {
		return err
	}
	e, err := a.enrolment(ctx, home, o.registry)
	if err != nil {
		return err
	}
	if o.what == "cargo" {
		return a.exportCargo(e.Name, e.Index)
	}
	if o.key == "" {
		o.key = e.Key
	}
	if o.key == "" {
		return fmt.Errorf("no key of this machine signs for %s", label(e))
	}
	store := a.store(home)
	record, err := a.key(ctx, store, o.key)
	if err != nil {
		return err
	}
	if o.what == "public" {
		return a.printLine("%v", record.Public)
	}
	if record.Protection == keys.Hardware {
		return advised(fmt.Errorf("key %s is in a token: no file can be given to a job", record.Name),
			"make the job a key of its own: \"regkey init ci --no-passphrase\", then \"regkey enroll --key ci --can publish\"")
	}
	lines := []string{"export REGKEY_KEY_FILE=" + shellQuote(store.Path(record.Name)), "export REGKEY_REGISTRY=" + shellQuote(e.Index)}
	if e.Subject != "" {
		lines = append(lines, "export REGKEY_SUBJECT="+shellQuote(e.Subject))
	}
	if e.Challenge {
		lines = append(lines, "export REGKEY_CHALLENGE=1")
	}
	if record.Protection == keys.Passphrase {
		a.say("regkey: the key has a passphrase: the job needs %s too", envPassphraseFile)
	}
	_, err = fmt.Fprintln(a.stdout, strings.Join(lines, "\n"))
	return err
}

func (a *app) exportCargo(name, index string) error {
	if name == "" {
		config, err := a.cargoConfig()
		if err != nil {
			return err
		}
		if r, found := config.RegistryByIndex(index); found {
			name = r.Name
		} else {
			name = "NAME"
			a.say("regkey: cargo has no name for this registry yet: put one in for NAME")
		}
	}
	path, err := a.provider()
	if err != nil {
		return advised(err, "install it with \"go install github.com/cargo-regkey/regkey/cmd/cargo-credential-regkey@latest\"")
	}
	_, err = fmt.Fprint(a.stdout, cargo.Lines(name, index, []string{path}))
	return err
}

// shellQuote is text as one word of a POSIX shell.
func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
