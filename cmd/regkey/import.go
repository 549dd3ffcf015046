// regkey import: taking in a key that was made elsewhere.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/keys"
)

type importOptions struct {
	file    string // "-": standard input
	name    string // empty: from the file's
	ssh     bool
	protect keys.Protection // "": asked for
	json    bool
}

func (a *app) importCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "take in a key that was made elsewhere",
		ArgsUsage: "FILE",
		Description: `Stores a copy of a private key that another program or machine has made: PASERK text
("k4.secret.…" or "k3.secret.…"), open or encrypted by age with a passphrase; or with --ssh an
OpenSSH private key, Ed25519 or ECDSA on P-384. FILE is - for standard input. The key is
called as its file is, unless --name says otherwise. A key that is here already is not
touched.

How the copy is protected is asked for, unless a flag says it, as "regkey init" does. What
opens FILE is asked for on the terminal, or read from the file that REGKEY_PASSPHRASE_FILE
names; the new passphrase from that of REGKEY_NEW_PASSPHRASE_FILE.

A key that has been elsewhere may not manage an account's keys: "regkey init" makes one that
may. FILE stays as it is.

Examples:
   regkey import ci.key --keychain
   regkey import --ssh ~/.ssh/id_ed25519 --name work
   regkey import - --name ci --none < ci.key`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "ssh", Usage: "FILE is an OpenSSH private key"},
			&cli.StringFlag{Name: "name", Usage: "what the key is called here: a `NAME` (as the file is)"},
		}, append(protectionFlags("the copy"), jsonFlag())...),
		Action: func(c *cli.Context) error {
			file, err := oneArgument(c, "FILE")
			if err != nil {
				return err
			}
			to, err := parseProtection(c)
			if err != nil {
				return err
			}
			return a.runImport(c.Context, importOptions{file, c.String("name"), c.Bool("ssh"), to, c.Bool("json")})
		},
	}
}

func (a *app) runImport(ctx context.Context, o importOptions) error {
	if o.file == "" {
		return usage("which file is missing: regkey import FILE, or - for standard input")
	}
	text, err := a.readForeignKey(ctx, o)
	if err != nil {
		return err
	}
	if o.file == "-" && !a.terminal {
		defer a.takeTerminal()()
	}
	if o.name, err = a.importName(ctx, o); err != nil {
		return err
	}
	return a.locked(ctx, func(ctx context.Context, home string) error {
		return a.importKey(ctx, a.store(home), text, o)
	})
}

func (a *app) importKey(ctx context.Context, store *keys.Store, text keys.Secret, o importOptions) error {
	// An import that was killed may have left the key alone: it is completed, as nothing says yet that the
	// key has been elsewhere.
	half := store.Unrecorded(o.name)
	if _, err := store.Lookup(o.name); err == nil && !half {
		return keyExists(store, o.name)
	}
	key, err := a.openForeignKey(ctx, text, o)
	if err != nil {
		return err
	}
	if same, err := store.Find(key.Public().ID()); err == nil && !(half && same.Name == o.name) {
		return sameKey(same)
	}
	record := keys.Record{Name: o.name, Created: a.now(), Origin: keys.Imported}
	if o.ssh {
		record.Origin = keys.FromSSH
	}
	_, err = a.withLock(ctx, heldKey(o.name, o.protect), func(lock keys.Lock) error {
		made, err := store.Create(ctx, record, key, lock)
		if err == nil {
			record = made
		}
		return err
	})
	if errors.Is(err, fs.ErrExist) {
		return keyExists(store, o.name)
	}
	if err != nil {
		return err
	}
	return a.reportImport(factsOf(store, record), o)
}

// sameKey says that a key that is to come is here already.
func sameKey(r keys.Record) error {
	return advised(fmt.Errorf("that key is here already, called %s", r.Name), "nothing was changed; \"regkey status\" shows the keys that there are")
}

// maxForeignKey bounds what is read as a private key, in bytes; the largest that can be used has some 700.
const maxForeignKey = 64 << 10

// readForeignKey reads all that there is to read, so that standard input is free for questions.
func (a *app) readForeignKey(ctx context.Context, o importOptions) (keys.Secret, error) {
	switch {
	case o.file != "-":
		text, err := keys.ReadKeyFile(ctx, o.file)
		if errors.Is(err, fs.ErrNotExist) {
			err = advised(err, "FILE is the path of a file, or - for standard input; a key itself is never typed on a command line")
		}
		return text, err
	case a.terminal && o.ssh:
		return keys.Secret{}, usage("an OpenSSH key has many lines, and can't be typed: give its file")
	case a.terminal:
		return a.secret(ctx, "The private key (k4.secret.… or k3.secret.…):", "")
	}
	text, err := io.ReadAll(io.LimitReader(a.stdin, maxForeignKey+1))
	if err == nil && len(text) > maxForeignKey {
		err = fmt.Errorf("it is longer than %d bytes", maxForeignKey)
	}
	if err != nil {
		return keys.Secret{}, fmt.Errorf("reading the key from standard input: %w", err)
	}
	return keys.NewSecret(text), nil
}

// importName is what the key is to be called. A person may change what the file suggests.
func (a *app) importName(ctx context.Context, o importOptions) (string, error) {
	name := o.name
	if name == "" {
		file := filepath.Base(o.file)
		name = nameFrom(strings.TrimSuffix(file, filepath.Ext(file)))
		if a.terminal || name == "" {
			var err error
			if name, err = a.text(ctx, "Name of the key here", name, "--name", keys.CheckName); err != nil {
				return "", err
			}
		}
	}
	if err := keys.CheckName(name); err != nil {
		return "", usage("%w", err)
	}
	return name, nil
}

// openSSHHeader begins the files that --ssh reads.
const openSSHHeader = "-----BEGIN OPENSSH PRIVATE KEY-----"

// openForeignKey opens the text, asking for its passphrase.
func (a *app) openForeignKey(ctx context.Context, text keys.Secret, o importOptions) (key *keys.SoftwareKey, err error) {
	from := o.file
	if from == "-" {
		from = "the key from standard input"
	}
	isSSH := bytes.HasPrefix(text.Reveal(), []byte(openSSHHeader))
	if isSSH && !o.ssh {
		return nil, advised(fmt.Errorf("opening %s: it is an OpenSSH private key", from), "add --ssh")
	}
	open := keys.OpenKeyText
	if o.ssh {
		open = openSSHKey
	}
	_, _, err = a.asking(ctx, "Passphrase of "+from+":", func(ask keys.PassphraseFunc) (err error) {
		key, err = open(ctx, text, from, ask)
		return err
	})
	if errors.Is(err, keys.ErrNoKeychain) {
		err = advised(errors.New("only the keychain of the machine that made it opens it"), "there, \"regkey protect NAME --passphrase\" makes a file that opens here too")
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", from, err)
	}
	return key, nil
}

func (a *app) reportImport(f keyFacts, o importOptions) error {
	var err error
	if o.json {
		err = a.printJSON(f)
	} else {
		err = a.printKey("key", f)
	}
	a.say("regkey: the key has been elsewhere, so it never manages an account's keys: \"regkey init NAME\" makes one that may")
	if o.file != "-" {
		a.say("regkey: %s still holds it too: whoever gets that file can publish as you; delete it if nothing else needs it", o.file)
	}
	if !o.json {
		a.advise(`next: "regkey enroll --registry NAME --key %s" has a registry trust it`, f.Name)
	}
	return err
}
