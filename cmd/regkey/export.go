// regkey export: what other programs and machines need to know, never a secret.

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// The environment of a job that has a key file and no home of regkey's.
const (
	envKeyFile   = "REGKEY_KEY_FILE"
	envRegistry  = "REGKEY_REGISTRY"
	envSubject   = "REGKEY_SUBJECT"
	envChallenge = "REGKEY_CHALLENGE"
)

type exportOptions struct {
	what, registry, key string
	json                bool
}

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

The lines of env are safe to eval in any POSIX shell. The file's path is this machine's: the
job names its own. docs/ci.md has whole examples for CI platforms.

Examples:
   regkey export public --registry lab
   regkey export cargo --registry lab >> ~/.cargo/config.toml
   regkey export env --registry lab --key ci`,
		Flags: []cli.Flag{
			registryFlag(),
			&cli.StringFlag{Name: "key", Usage: "the `KEY` (the one that signs there)"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			what, err := oneArgument(c, "cargo, public or env")
			if err != nil {
				return err
			}
			return a.runExport(c.Context, exportOptions{what, c.String("registry"), c.String("key"), c.Bool("json")})
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
		return a.exportCargo(e.Name, e.Index, o)
	}
	if o.key == "" {
		o.key = e.Key
	}
	if o.key == "" {
		return fmt.Errorf("no key of this machine signs for %s", label(e))
	}
	store := a.store(home)
	record, err := a.key(ctx, store, o.key)
	switch {
	case err != nil:
		return err
	case o.what == "env":
		return a.exportEnv(home, store, e, record, o)
	case o.json:
		return a.printJSON(factsOf(store, record))
	}
	return a.printLine("%v", record.Public)
}

// jobFacts is what a job needs, in JSON.
type jobFacts struct {
	Registry   string            `json:"registry"` // cargo's name; may be empty
	Index      string            `json:"index"`
	Key        string            `json:"key"`
	ID         string            `json:"id"`
	Passphrase bool              `json:"passphrase"` // the job needs REGKEY_PASSPHRASE_FILE, too
	Variables  map[string]string `json:"variables"`
}

func (a *app) exportEnv(home string, store *keys.Store, e *enroll.Enrolment, record keys.Record, o exportOptions) error {
	if err := fileForJob(record); err != nil {
		return err
	}
	passphrase := record.Protection == keys.Passphrase
	variables := map[string]string{envKeyFile: store.Path(record.Name), envRegistry: e.Index}
	if e.Subject != "" {
		variables[envSubject] = e.Subject
	}
	if e.Challenge {
		variables[envChallenge] = "1"
	}
	if passphrase {
		a.say("regkey: the key has a passphrase: the job needs %s too", envPassphraseFile)
	}
	if err := a.adviseJobKey(home, e, record); err != nil {
		return err
	}
	if o.json {
		return a.printJSON(jobFacts{e.Name, e.Index, record.Name, record.Public.ID().String(), passphrase, variables})
	}
	for _, name := range []string{envKeyFile, envRegistry, envSubject, envChallenge} {
		if value, set := variables[name]; set {
			if _, err := fmt.Fprintf(a.stdout, "export %s=%s\n", name, shellQuote(value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// fileForJob refuses a key that has no file which opens on another machine.
func fileForJob(r keys.Record) error {
	own := "make the job a key of its own: \"regkey init ci --none\", then \"regkey enroll --key ci --can publish\""
	switch r.Protection {
	case keys.Hardware:
		return advised(fmt.Errorf("key %s is in a token: no file can be given to a job", r.Name), own)
	case keys.SSHAgent:
		return advised(fmt.Errorf("key %s is in an ssh-agent: no file can be given to a job", r.Name), own)
	case keys.Elsewhere:
		return advised(fmt.Errorf("key %s is kept elsewhere, and may only manage: a job could do nothing with it", r.Name), own)
	case keys.Keychain:
		return advised(fmt.Errorf("the file of key %s opens with this machine's keychain only: a job could do nothing with it", r.Name), own,
			fmt.Sprintf("or let its file open with a passphrase: \"regkey protect %s --passphrase\"", r.Name))
	}
	return nil
}

// adviseJobKey says what is unwise about giving this key to a job.
func (a *app) adviseJobKey(home string, e *enroll.Enrolment, r keys.Record) error {
	if e.Manual {
		return nil // only the registry's website knows
	}
	life, _ := a.lifecycle(home, e.Index, e.Insecure)
	trusted, err := life.State().Keyset()
	if err != nil {
		return err
	}
	entry, listed := trusted.Entry(r.Public.ID())
	switch {
	case !listed:
		a.say("regkey: %s does not trust %s: \"regkey enroll --registry %s --key %s --can publish\"", label(e), r.Name, label(e), r.Name)
	case entry.Can.Has(enroll.Manage):
		a.say("regkey: %s manages the account's keys, so whoever gets hold of the job's file can take the account over: give the job a key that can only publish", r.Name)
	}
	return nil
}

// cargoFacts is what cargo's configuration needs, in JSON.
type cargoFacts struct {
	Registry string   `json:"registry"` // cargo's name; empty if it has none yet
	Index    string   `json:"index"`
	Provider []string `json:"credential-provider"`
}

func (a *app) exportCargo(name, index string, o exportOptions) error {
	if name == "" {
		config, err := a.cargoConfig()
		if err != nil {
			return err
		}
		if r, found := config.RegistryByIndex(index); found {
			name = r.Name
		}
	}
	path, err := a.provider()
	if err != nil {
		return advised(err, "install it with \"go install github.com/cargo-regkey/regkey/cmd/cargo-credential-regkey@latest\"")
	}
	if o.json {
		return a.printJSON(cargoFacts{name, index, []string{path}})
	}
	if name == "" {
		name = "NAME"
		a.say("regkey: cargo has no name for this registry yet: put one in for NAME")
	}
	_, err = fmt.Fprint(a.stdout, cargo.Lines(name, index, []string{path}))
	return err
}

// shellQuote is text as one word of a POSIX shell.
func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
