// regkey init: making a key.

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/keys"
)

type initOptions struct {
	name      string // empty: asked for
	algorithm keys.Algorithm
	protect   keys.Protection // "": asked for
	json      bool

	hardware, adopt bool
	given           map[string]string // the flags that say how the key is made on a token, for the journal
	place           tokenPlace

	backup         bool
	file, registry string // with backup
	yes            bool

	sshAgent bool
	sshKey   string // empty: the only one, or asked for
}

// initHelp is what "regkey init --help" explains.
const initHelp = `Makes a key pair and keeps it in regkey's folder. The secret half never leaves this
machine; registries get the public half. NAME is how you call the key here, like the
name of this computer. An existing key is never overwritten.

How the key is protected is asked for, unless a flag says it: by the operating system's
keychain, which opens it while you are logged in; by a passphrase, which is asked for on the
terminal, or read from the file that REGKEY_PASSPHRASE_FILE names; or by nothing, so that
anyone who can read the file can publish as you. "regkey protect" changes it later.

With --hardware the key is made on a YubiKey or another PIV token, and never leaves it:
Ed25519 from firmware 5.7 on, else P-384. Only what is public is kept here. The token's PIN
is asked for on the terminal, or read from the file that REGKEY_PIN_FILE names. --adopt
takes up a key that another tool made on the token.

With --ssh-agent nothing is made: a key of the running ssh-agent, Ed25519 or P-384, signs for
registries too. It stays in the agent, and may not manage an account's keys.

With --backup the key is one that can only manage accounts: for the day when the others are
gone. It is written to --file, or printed as text and as a QR code, encrypted with a
passphrase that "age -d" takes too, and enrolled wherever this machine manages. Nothing secret
of it stays here. --with-file has it sign later: with enroll, also on a machine that has
nothing else, and on one that is enrolled with rotate, revoke, approve and others.

Examples:
   regkey init laptop
   regkey init safe --backup --file /media/stick/safe.age
   regkey init laptop --keychain
   regkey init ci --none
   regkey init work --algorithm p384
   regkey init yk --hardware
   regkey init yk --hardware --serial 12345678 --slot 82 --touch always
   regkey init yk --hardware --adopt --slot 9a
   regkey init shell --ssh-agent`

func (a *app) initCommand() *cli.Command {
	return &cli.Command{
		Name:        "init",
		Usage:       "make a key",
		ArgsUsage:   "NAME",
		Description: initHelp,
		Flags:       initFlags(),
		Action: func(c *cli.Context) error {
			name, err := oneArgument(c, "NAME")
			if err != nil {
				return err
			}
			o := initOptions{
				name: name, json: c.Bool("json"), hardware: c.Bool("hardware"), adopt: c.Bool("adopt"),
				sshAgent: c.Bool("ssh-agent"), sshKey: c.String("ssh-key"),
				backup: c.Bool("backup"), file: c.String("file"), registry: c.String("registry"), yes: c.Bool("yes"),
			}
			if err := o.parse(c); err != nil {
				return err
			}
			return a.runInit(c.Context, o)
		},
	}
}

func initFlags() []cli.Flag {
	return slices.Concat(
		[]cli.Flag{&cli.StringFlag{Name: "algorithm", Usage: "the kind of key: `ALGORITHM` ed25519 or p384 (ed25519, or what the token can do)"}},
		protectionFlags("the key"),
		[]cli.Flag{&cli.BoolFlag{Name: "hardware", Usage: "make the key on a token"}},
		tokenPlaceFlags(),
		[]cli.Flag{
			&cli.BoolFlag{Name: "adopt", Usage: "take up the key that the token has in --slot"},
			&cli.BoolFlag{Name: "force", Usage: "overwrite what the slot holds, once its name is typed out"},
			&cli.StringFlag{Name: "overwrite-slot", Usage: "the same without a terminal: the `SLOT` again"},
			&cli.BoolFlag{Name: "ssh-agent", Usage: "use a key of the running ssh-agent"},
			&cli.StringFlag{Name: "ssh-key", Usage: "which of them: an `ID`, its SHA256 fingerprint or its comment"},
			&cli.BoolFlag{Name: "backup", Usage: "make a key that can only manage accounts, to be kept elsewhere"},
			&cli.StringFlag{Name: "file", Usage: "with --backup: where to write it, a `PATH` (printed)"},
			&cli.StringFlag{Name: "registry", Usage: "with --backup: enrol it at the `REGISTRY` alone (wherever this machine manages)"},
			&cli.BoolFlag{Name: "yes", Usage: "with --backup: go ahead without asking"},
			jsonFlag(),
		},
	)
}

// parse reads what depends on where the key is made.
func (o *initOptions) parse(c *cli.Context) (err error) {
	if o.protect, err = parseProtection(c); err != nil {
		return err
	}
	switch {
	case o.backup && (o.hardware || o.sshAgent || o.protect != ""):
		return usage("--backup makes a key that is encrypted with a passphrase and kept elsewhere: --hardware, --ssh-agent, --keychain, --passphrase and --none don't go with it")
	case o.backup && o.json && o.file == "":
		return usage("--json needs --file with --backup: standard output is the backup itself")
	case !o.backup && (o.file != "" || o.registry != "" || o.yes):
		return usage("--file, --registry and --yes go with --backup")
	case o.hardware && o.sshAgent:
		return usage("--hardware and --ssh-agent: a key can't be in both")
	case o.protect != "" && (o.hardware || o.sshAgent):
		return usage("--keychain, --passphrase and --none are about keys in files: a token has a PIN, and --pin says when it is asked for; an ssh-agent guards its keys itself")
	case o.sshKey != "" && !o.sshAgent:
		return usage("--ssh-key goes with --ssh-agent")
	case o.sshAgent && c.IsSet("algorithm"):
		return usage("--algorithm doesn't go with --ssh-agent: the agent's key is what it is")
	case o.hardware:
		return o.parseHardware(c)
	}
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

func (o *initOptions) parseHardware(c *cli.Context) (err error) {
	if o.place, err = parseTokenPlace(c); err != nil {
		return err
	}
	o.place.force, o.given = c.Bool("force"), given(c, "algorithm", "serial", "slot", "touch", "pin")
	switch {
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
	if o.backup {
		return a.runBackup(ctx, o)
	}
	return a.locked(ctx, func(ctx context.Context, home string) error {
		store := a.store(home)
		// Nobody is to think of a passphrase for a key that can't be made.
		if _, err := store.Lookup(o.name); err == nil {
			return keyExists(store, o.name)
		}
		if o.sshAgent {
			return a.runInitSSHAgent(ctx, store, o)
		}
		record, err := a.makeKey(ctx, store, newKey(o.name, o.protect), o.algorithm)
		if errors.Is(err, fs.ErrExist) {
			return keyExists(store, o.name)
		}
		if err != nil {
			return err
		}
		return a.reportInit(factsOf(store, record), o)
	})
}

// makeKey generates and stores a key, protected as w says or a person chooses.
func (a *app) makeKey(ctx context.Context, store *keys.Store, w lockWish, algorithm keys.Algorithm) (record keys.Record, err error) {
	key, err := keys.Generate(algorithm)
	if err != nil {
		return keys.Record{}, err
	}
	typed, err := a.withLock(ctx, w, func(lock keys.Lock) (err error) {
		record, err = store.Create(ctx, keys.Record{Name: w.name, Created: a.now()}, key, lock)
		return err
	})
	if err != nil {
		return keys.Record{}, err
	}
	if typed && w.keep {
		a.keepKey(ctx, w.name, key)
	}
	a.opened(w.name, key)
	return record, nil
}

func (a *app) reportInit(f keyFacts, o initOptions) error {
	if o.json {
		return a.printJSON(f)
	}
	err := a.printKey("key", f)
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
	host, _, _ = strings.Cut(host, ".")
	if name := nameFrom(host); name != "" {
		return name
	}
	return "laptop"
}

// nameFrom makes a key's name of a text; "" if nothing is left of it.
func nameFrom(text string) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, strings.ToLower(text)), "-_")
	if keys.CheckName(name) != nil {
		return ""
	}
	return name
}
