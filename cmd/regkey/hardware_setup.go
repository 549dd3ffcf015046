// regkey hardware setup and unblock: a PIN, a PUK and a management key that are the owner's.

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/keys"
)

// What every token of the factory has
// (https://developers.yubico.com/PIV/Introduction/Admin_access.html).
const (
	factoryPIN = "123456"
	factoryPUK = "12345678"
)

type setupOptions struct {
	serial uint32
	json   bool
}

func (a *app) hardwareSetupCommand() *cli.Command {
	return &cli.Command{
		Name:  "setup",
		Usage: "replace a token's factory PIN, PUK and management key",
		Description: `Every token leaves the factory with the same PIN, PUK and management key. This replaces those
that are still the factory's: the PIN, which is asked for when a key is used; the PUK, which
unblocks the PIN after three wrong ones; and the management key, for which a random one is
made and kept on the token, where the PIN opens it.

PIN and PUK are asked for on the terminal, or read from the files that REGKEY_PIN_FILE,
REGKEY_PUK_FILE, REGKEY_NEW_PIN_FILE and REGKEY_NEW_PUK_FILE name; with _12345678 behind it, a
name is for the token with that serial number alone. A management key that
another tool set is read from the file that REGKEY_MANAGEMENT_KEY_FILE names.

Running it again completes what was interrupted.

Examples:
   regkey hardware setup
   regkey hardware setup --serial 12345678`,
		Flags: []cli.Flag{serialFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			serial, err := onlySerial(c)
			if err != nil {
				return err
			}
			return a.runHardwareSetup(c.Context, setupOptions{serial, c.Bool("json")})
		},
	}
}

// setupFacts says what became of each: "changed", "kept", or for the management key "protected".
type setupFacts struct {
	Serial        uint32 `json:"serial"`
	PIN           string `json:"pin"`
	PUK           string `json:"puk"`
	ManagementKey string `json:"management-key"`
}

func (a *app) runHardwareSetup(ctx context.Context, o setupOptions) error {
	t, err := a.openToken(ctx, o.serial)
	if err != nil {
		return err
	}
	info, err := t.Info(ctx)
	if err != nil {
		return err
	}
	done := setupFacts{Serial: t.Serial()}
	if done.PIN, err = a.setupPIN(ctx, t, info); err == nil {
		done.PUK, err = a.setupPUK(ctx, t, info)
	}
	if err == nil {
		done.ManagementKey, err = a.setupManagementKey(ctx, t, info)
	}
	if err != nil {
		a.tellChanged(done)
		return err
	}
	if o.json {
		return a.printJSON(done)
	}
	err = a.printFacts(
		fact{"YubiKey", fmt.Sprint(done.Serial)}, fact{"PIN", done.PIN}, fact{"PUK", done.PUK}, fact{"management key", done.ManagementKey},
	)
	a.advise(`next: "regkey init NAME --hardware" makes a key on it`)
	return err
}

// changed is a PIN or PUK that has been replaced.
const changed = "changed"

// tellChanged says what an interrupted run has changed: the old one would cost a try.
func (a *app) tellChanged(done setupFacts) {
	for _, one := range []struct{ what, became, file string }{{"PIN", done.PIN, envPINFile}, {"PUK", done.PUK, envPUKFile}} {
		if one.became == changed {
			a.say("regkey: the %s of YubiKey %d is the new one already: where %s is set, its file has to hold that now", one.what, done.Serial, one.file)
		}
	}
}

// A swap is a PIN or PUK that is to be replaced.
type swap struct {
	pinQuestion
	newFile  string
	factory  string
	original hardware.Answer
	change   func(ctx context.Context, old, new keys.Secret) error
}

func (a *app) setupPIN(ctx context.Context, t *hardware.Token, info hardware.Info) (string, error) {
	if info.PINTries == 0 {
		return "", &hardware.PINError{Retries: 0}
	}
	defer a.forgetPIN(ctx, t.Serial())
	return a.swap(ctx, t, swap{pinOf(t.Serial()), envNewPINFile, factoryPIN, info.DefaultPIN, t.ChangePIN})
}

func (a *app) setupPUK(ctx context.Context, t *hardware.Token, info hardware.Info) (string, error) {
	if info.PUKTries == 0 {
		return "blocked: the PIN can't be unblocked any more", nil
	}
	return a.swap(ctx, t, swap{pukOf(t.Serial()), envNewPUKFile, factoryPUK, info.DefaultPUK, t.ChangePUK})
}

// swap replaces a PIN or PUK that is the factory's, or that nobody can tell to be another.
func (a *app) swap(ctx context.Context, t *hardware.Token, s swap) (string, error) {
	switch s.original {
	case hardware.No:
		return "kept: it is not the factory's", a.recall(ctx, s)
	case hardware.Yes:
		a.pins[s.pinQuestion] = keys.NewSecret([]byte(s.factory))
	default:
		change, err := a.wantsChange(ctx, s)
		if err != nil || !change {
			return "kept: as you say, it is not the factory's", err
		}
	}
	var set keys.Secret
	err := a.with(ctx, t, s.pinQuestion, func(old keys.Secret) error {
		var err error
		if set.IsZero() {
			if set, err = a.newPIN(ctx, s.what, s.newFile, t.Serial()); err != nil {
				return err
			}
		}
		if string(set.Reveal()) == s.factory {
			return usage("the new %s is the factory's, which everybody knows", s.what)
		}
		return s.change(ctx, old, set)
	})
	if err != nil {
		return "", err
	}
	a.pins[s.pinQuestion] = set
	return changed, nil
}

// recall takes the new one for the one that stands, where an interrupted run must have set it: the file with the old one
// holds the factory's, which the token says it is not.
func (a *app) recall(ctx context.Context, s swap) error {
	if a.getenv(s.newFile) == "" || a.getenv(s.file) == "" {
		return nil
	}
	old, err := keys.PassphraseFromFile(ctx, a.getenv(s.file))
	if err != nil || string(old.Reveal()) != s.factory {
		return err
	}
	set, err := keys.PassphraseFromFile(ctx, a.getenv(s.newFile))
	if err == nil {
		a.pins[s.pinQuestion] = set
	}
	return err
}

// wantsChange is for tokens that don't tell: who has given a new one wants it.
func (a *app) wantsChange(ctx context.Context, s swap) (bool, error) {
	if a.getenv(s.newFile) != "" {
		return true, nil
	}
	if !a.terminal {
		return false, nil
	}
	a.say("YubiKey %d is too old to tell whether its %s is still the factory's, %s", s.serial, s.what, s.factory)
	err := a.confirm(ctx, "Change the "+s.what+" now?")
	if errors.Is(err, errCancelled) && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}

// setupManagementKey leaves one alone that somebody else keeps elsewhere.
func (a *app) setupManagementKey(ctx context.Context, t *hardware.Token, info hardware.Info) (string, error) {
	current, err := a.managementKey(ctx)
	if err != nil {
		return "", err
	}
	err = a.with(ctx, t, pinOf(t.Serial()), func(pin keys.Secret) error { return t.ProtectManagementKey(ctx, pin, current) })
	if errors.As(err, new(*hardware.ManagementKeyError)) && info.DefaultManagementKey != hardware.Yes && current.IsZero() {
		a.say("regkey: the management key is neither the factory's nor kept on the token, so it was left alone")
		for _, line := range hints(&hardware.ManagementKeyError{}) {
			a.say("    %s, to have it replaced", line)
		}
		return "kept: it is not the factory's", nil
	}
	if err != nil {
		return "", err
	}
	return "random, kept on the token behind the PIN", nil
}

// managementKey is the one that a file holds in hexadecimal digits; zero if none is named.
func (a *app) managementKey(ctx context.Context) (keys.Secret, error) {
	file := a.getenv(envManagementFile)
	if file == "" {
		return keys.Secret{}, nil
	}
	text, err := keys.PassphraseFromFile(ctx, file)
	if err != nil {
		return keys.Secret{}, err
	}
	key := make([]byte, hex.DecodedLen(len(text.Reveal())))
	if _, err := hex.Decode(key, text.Reveal()); err != nil {
		return keys.Secret{}, fmt.Errorf("reading %s: the file holds something else than hexadecimal digits", envManagementFile)
	}
	return keys.NewSecret(key), nil
}

func (a *app) hardwareUnblockCommand() *cli.Command {
	return &cli.Command{
		Name:  "unblock",
		Usage: "set a new PIN with the PUK",
		Description: `Sets a new PIN where the old one is blocked, or forgotten. The PUK is asked for on the
terminal, or read from the file that REGKEY_PUK_FILE names; the new PIN from
REGKEY_NEW_PIN_FILE. The keys on the token stay as they are.

Examples:
   regkey hardware unblock
   regkey hardware unblock --serial 12345678`,
		Flags: []cli.Flag{serialFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			serial, err := onlySerial(c)
			if err != nil {
				return err
			}
			return a.runHardwareUnblock(c.Context, serial, c.Bool("json"))
		},
	}
}

func (a *app) runHardwareUnblock(ctx context.Context, serial uint32, json bool) error {
	t, err := a.openToken(ctx, serial)
	if err != nil {
		return err
	}
	defer a.forgetPIN(ctx, t.Serial())
	var set keys.Secret
	err = a.with(ctx, t, pukOf(t.Serial()), func(puk keys.Secret) error {
		var err error
		if set.IsZero() {
			if set, err = a.newPIN(ctx, "PIN", envNewPINFile, t.Serial()); err != nil {
				return err
			}
		}
		return t.Unblock(ctx, puk, set)
	})
	if err != nil {
		return err
	}
	if json {
		return a.printJSON(struct {
			Serial uint32 `json:"serial"`
			PIN    string `json:"pin"`
		}{t.Serial(), "changed"})
	}
	return a.printFacts(fact{"YubiKey", fmt.Sprint(t.Serial())}, fact{"PIN", "changed"})
}
