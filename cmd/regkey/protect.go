// regkey protect: changing how a key is protected.

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/keys"
)

type protectOptions struct {
	name      string
	to        keys.Protection // "": asked for
	yes, json bool
}

func (a *app) protectCommand() *cli.Command {
	return &cli.Command{
		Name:      "protect",
		Usage:     "change how a key is protected",
		ArgsUsage: "NAME",
		Description: `Changes what guards a key's file: the operating system's keychain, a passphrase, or
nothing. A passphrase can be changed for another. The key itself stays the same, and so does
what registries know of it. It is asked how, unless a flag says it; the old passphrase is
asked for anew each time, and the new one twice.

Without a terminal the old passphrase is read from the file that REGKEY_PASSPHRASE_FILE
names, the new one from that of REGKEY_NEW_PASSPHRASE_FILE.

Wherever this is interrupted, the key opens as it did before or in the new way, and the same
command again completes it. The old file is deleted, but copies of it may be left where regkey
can't reach them: in backups, and on the disk's free blocks. The agent, if one runs, drops
all that it holds.

Examples:
   regkey protect laptop
   regkey protect laptop --keychain
   regkey protect laptop --passphrase
   regkey protect ci --none --yes`,
		Flags: append(protectionFlags("the key"), yesFlag(), jsonFlag()),
		Action: func(c *cli.Context) error {
			name, err := oneArgument(c, "NAME")
			if err != nil {
				return err
			}
			to, err := parseProtection(c)
			if err != nil {
				return err
			}
			return a.runProtect(c.Context, protectOptions{name, to, c.Bool("yes"), c.Bool("json")})
		},
	}
}

func (a *app) runProtect(ctx context.Context, o protectOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) error {
		store := a.store(home)
		old, err := a.keyToProtect(ctx, store, o.name)
		if err != nil {
			return err
		}
		record, err := a.protect(ctx, store, old, o)
		if left := (*keys.ItemsLeftError)(nil); errors.As(err, &left) {
			a.say("regkey: warning: %v", left)
			err = nil
		}
		if err != nil {
			return err
		}
		a.forgetKeys(ctx)
		return a.reportProtection(factsOf(store, record), old, o)
	})
}

// keyToProtect is the record of a key whose file can be protected.
func (a *app) keyToProtect(ctx context.Context, store *keys.Store, name string) (keys.Record, error) {
	if name == "" && !a.terminal {
		return keys.Record{}, &missingError{"the key's name", "NAME: regkey protect NAME"}
	}
	record, err := a.lookup(ctx, store, name)
	switch {
	case err != nil:
		return keys.Record{}, err
	case record.Protection == keys.Hardware:
		return keys.Record{}, fmt.Errorf("key %s is in a token, which protects it itself: \"regkey hardware setup\" changes its PIN", record.Name)
	case record.Protection == keys.SSHAgent:
		return keys.Record{}, fmt.Errorf("key %s is in an ssh-agent, and this machine's file holds nothing secret: \"ssh-keygen -p\" changes the passphrase of an SSH key's own file", record.Name)
	case record.Protection == keys.Elsewhere:
		return keys.Record{}, fmt.Errorf("key %s: %w: \"age -d\" and \"age -p\" change the passphrase of its file", record.Name, keys.ErrElsewhere)
	}
	return record, nil
}

// protect asks for the old passphrase, which is tried at once, and then for what is to come.
func (a *app) protect(ctx context.Context, store *keys.Store, old keys.Record, o protectOptions) (record keys.Record, err error) {
	passphrase := keys.Secret{}
	if old.Protection == keys.Passphrase {
		passphrase, _, err = a.asking(ctx, a.passphraseOf(old.Name), func(ask keys.PassphraseFunc) error {
			_, err := store.Unlock(ctx, old.Name, ask)
			return err
		})
		if errors.Is(err, keys.ErrWrongPassphrase) || errors.Is(err, keys.ErrNoPassphrase) {
			if after, opens := a.changedAlready(ctx, store, old, o); opens {
				passphrase, err = after, nil
			}
		}
		if err != nil {
			return keys.Record{}, err
		}
	}
	ask := func(context.Context, keys.Record) (keys.Secret, error) { return passphrase, nil }
	_, err = a.withLock(ctx, heldKey(old.Name, o.to), func(to keys.Lock) (err error) {
		if err := a.confirmUnprotected(ctx, old, to, o); err != nil {
			return err
		}
		record, err = store.Protect(ctx, old.Name, ask, to)
		return err
	})
	return record, err
}

// changedAlready is the passphrase that the key is to get, from a file, if it opens the key: an earlier run got as far.
func (a *app) changedAlready(ctx context.Context, store *keys.Store, old keys.Record, o protectOptions) (keys.Secret, bool) {
	file := a.getenv(envNewPassphraseFile)
	if file == "" || o.to != keys.Passphrase {
		return keys.Secret{}, false
	}
	passphrase, err := keys.PassphraseFromFile(ctx, file)
	if err == nil {
		_, err = store.Unlock(ctx, old.Name, func(context.Context, keys.Record) (keys.Secret, error) { return passphrase, nil })
	}
	return passphrase, err == nil
}

// confirmUnprotected asks for a yes before a key loses its protection.
func (a *app) confirmUnprotected(ctx context.Context, old keys.Record, to keys.Lock, o protectOptions) error {
	if to.Protection() != keys.Unprotected || old.Protection == keys.Unprotected || o.yes {
		return nil
	}
	return a.confirm(ctx, "Anyone who can read the file of key "+old.Name+" can publish as you then. Leave it unprotected?")
}

// protectionChange is the outcome in JSON.
type protectionChange struct {
	keyFacts
	Before string `json:"before"` // the protection that the key had
}

func (a *app) reportProtection(f keyFacts, old keys.Record, o protectOptions) error {
	var err error
	if o.json {
		err = a.printJSON(protectionChange{f, string(old.Protection)})
	} else {
		err = a.printKey("protected", f)
	}
	a.sayOldCopies(old.Protection, keys.Protection(f.Protection))
	return err
}

// sayOldCopies tells what can't be undone from here. Old files of a keychain key open with nothing
// any more, and where the key is unprotected now, they give nobody more.
func (a *app) sayOldCopies(before, now keys.Protection) {
	still := map[keys.Protection]string{keys.Unprotected: "hold the key unprotected", keys.Passphrase: "open with the old passphrase"}[before]
	if still == "" || now == keys.Unprotected {
		return
	}
	a.say("regkey: older copies of the file, in backups or on the disk's free blocks, still %s;", still)
	a.say("        if others may have got at one, replace the key: \"regkey rotate\"")
}
