// How keys are protected at rest: the flags that say it, and the question where none does.

package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/charmbracelet/huh"
	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/internal/keychain"
	"github.com/cargo-regkey/regkey/keys"
)

// A systemKeychain is the operating system's keychain, which may be missing, locked, or hang.
type systemKeychain interface {
	keys.SystemKeychain
	// Available is nil if the keychain keeps and gives back, with nobody to be asked for it. It
	// finds that out within some 3 seconds.
	Available(ctx context.Context) error
}

// protectionFlags say how a key is to be protected. Where none is given, it is asked for.
func protectionFlags(what string) []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "keychain", Usage: "protect " + what + " with the operating system's keychain"},
		&cli.BoolFlag{Name: "passphrase", Usage: "protect " + what + " with a passphrase, which is asked for or read from a file"},
		&cli.BoolFlag{Name: "none", Aliases: []string{"no-passphrase"}, Usage: "leave " + what + " unprotected: only the file's mode guards it"},
	}
}

// parseProtection reads those flags; "" stands for none of them.
func parseProtection(c *cli.Context) (chosen keys.Protection, err error) {
	for _, p := range []struct {
		flag string
		is   keys.Protection
	}{{"keychain", keys.Keychain}, {"passphrase", keys.Passphrase}, {"none", keys.Unprotected}} {
		if !c.Bool(p.flag) {
			continue
		}
		if chosen != "" {
			return "", usage("--keychain, --passphrase and --none: a key has one protection, so give one of them")
		}
		chosen = p.is
	}
	return chosen, nil
}

// A lockWish is what is known of how a key is to be protected, before anybody was asked.
type lockWish struct {
	name string          // the key's
	is   keys.Protection // what a flag says, or the key before it has; "": that is asked for
	// question asks for the new passphrase, file is the variable that names a file with it.
	question, file string
	keep           bool // a key with a passphrase that a person types goes to the agent
	noKeychain     bool // it was tried in vain
}

// newKey is the wish of a key that is to be made.
func newKey(name string, is keys.Protection) lockWish {
	return lockWish{name: name, is: is, question: "Passphrase for the new key " + name + ":", file: envPassphraseFile}
}

// heldKey is the wish of a key that is there already: the other variable is about its old passphrase.
func heldKey(name string, is keys.Protection) lockWish {
	return lockWish{name: name, is: is, question: "New passphrase for key " + name + ":", file: envNewPassphraseFile}
}

// withLock has put protect a key, as w says or a person chooses. Where the keychain turns out not to
// work a person chooses again, and a script hears which flags there are. typed reports whether the
// key has a passphrase that a person has typed.
func (a *app) withLock(ctx context.Context, w lockWish, put func(keys.Lock) error) (typed bool, err error) {
	for {
		lock, typed, err := a.lock(ctx, w)
		if err != nil {
			return false, err
		}
		// Tried before anything is begun, which would leave traces behind.
		if err = a.tryKeychain(ctx, lock); err == nil {
			err = put(lock)
		}
		trouble := keychainTrouble(err)
		if lock.Protection() != keys.Keychain || trouble == nil {
			return typed, err
		}
		if !a.terminal {
			return false, advised(trouble, "protect the key in another way: "+protectionAdvice(w.file, true))
		}
		a.say("regkey: %v", trouble)
		w.is, w.noKeychain = "", true
	}
}

// protectionAdvice names the flags, for where nobody can be asked.
func protectionAdvice(file string, noKeychain bool) string {
	text := "give --keychain, or --passphrase and set " + file + " to a file that holds one, or --none: then the file's mode alone guards the key"
	if noKeychain {
		text = strings.Replace(text, "--keychain, or ", "", 1)
	}
	return text
}

// lock asks for what w leaves open.
func (a *app) lock(ctx context.Context, w lockWish) (lock keys.Lock, typed bool, err error) {
	if w.is == "" {
		if w.is, err = a.chooseProtection(ctx, w); err != nil {
			return lock, false, err
		}
	}
	switch w.is {
	case keys.Unprotected:
		return keys.NoLock(), false, nil
	case keys.Keychain:
		return keys.KeychainLock(), false, nil
	}
	passphrase, typed, err := a.newPassphrase(ctx, w)
	return keys.PassphraseLock(passphrase), typed, err
}

// chooseProtection asks how the key is to be protected. A file with a passphrase is an answer.
func (a *app) chooseProtection(ctx context.Context, w lockWish) (keys.Protection, error) {
	if a.getenv(w.file) != "" {
		return keys.Passphrase, nil
	}
	if !a.terminal {
		return "", advised(&missingError{what: "a protection for key " + w.name}, protectionAdvice(w.file, w.noKeychain))
	}
	options := []huh.Option[keys.Protection]{
		huh.NewOption("the keychain of this computer: nobody is asked while you are logged in", keys.Keychain),
		huh.NewOption("a passphrase: asked for when the key is used", keys.Passphrase),
		huh.NewOption("nothing: ANYONE WHO CAN READ THIS FILE CAN PUBLISH AS YOU", keys.Unprotected),
	}
	if w.noKeychain || !a.keychainWorks(ctx) {
		options = slices.Delete(options, 0, 1)
	}
	if ctx.Err() != nil {
		return "", errCancelled
	}
	value := options[0].Value
	err := a.ask(ctx, huh.NewSelect[keys.Protection]().Title("How is key "+w.name+" to be protected?").Options(options...).Value(&value))
	return value, err
}

// tryKeychain is what speaks against a lock that needs the keychain. One that is locked asks a
// person, if one is here, when it is used.
func (a *app) tryKeychain(ctx context.Context, lock keys.Lock) error {
	if lock.Protection() != keys.Keychain || a.keychain == nil {
		return nil
	}
	err := a.keychain.Available(ctx)
	var unavailable *keychain.UnavailableError
	if errors.As(err, &unavailable) && unavailable.Locked && a.terminal {
		a.say("regkey: the keychain is locked: its window asks you to unlock it")
		return nil
	}
	return err
}

// keychainWorks tries the keychain. One that is there and does not work is spoken of.
func (a *app) keychainWorks(ctx context.Context) bool {
	if a.keychain == nil {
		return false
	}
	err := a.keychain.Available(ctx)
	if err != nil && !isNoKeychain(err) {
		a.say("regkey: %v", err)
	}
	return err == nil
}

// keychainTrouble is what the keychain is to blame for, in its own sentence; nil if it is not. Another
// protection would do then.
func keychainTrouble(err error) error {
	var late *keychain.TimeoutError
	var unavailable *keychain.UnavailableError
	switch {
	case errors.As(err, &late):
		return late
	case errors.As(err, &unavailable):
		return unavailable
	case errors.Is(err, keys.ErrNoKeychain):
		return err
	}
	return nil
}

// isNoKeychain reports whether there simply is no keychain here.
func isNoKeychain(err error) bool {
	var unavailable *keychain.UnavailableError
	return errors.As(err, &unavailable) && !unavailable.Locked && unavailable.Err == nil
}

// inFile reports whether the key's secret is in a file of this machine.
func inFile(r keys.Record) bool {
	return r.Protection != keys.Hardware && r.Protection != keys.SSHAgent && r.Protection != keys.Elsewhere
}
