// regkey init --hardware: making a key on a token, or taking up one that is there.

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/keys"
)

// A tokenPlace says where and how a key is made on a token.
type tokenPlace struct {
	serial    uint32
	slot      hardware.Slot // 0: the first that is free
	pin       hardware.PINPolicy
	touch     hardware.TouchPolicy
	algorithm keys.Algorithm // 0: the best that the token can do
	force     bool           // a person may say yes to overwriting the slot
	overwrite hardware.Slot  // may be overwritten without asking
}

func tokenPlaceFlags() []cli.Flag {
	return []cli.Flag{
		serialFlag(),
		&cli.StringFlag{Name: "slot", Usage: "the `SLOT` on the token: 9a, 9c, 9d, 9e or 82 to 95 (first free of 9a, 82 to 95)"},
		&cli.StringFlag{Name: "touch", Usage: "the touch `POLICY` of a key on a token: always, cached for 15 s, or never (cached)"},
		&cli.StringFlag{Name: "pin", Usage: "the PIN `POLICY` of a key on a token: once, always or never (once)"},
	}
}

// parseTokenPlace reads those flags. What was typed as --pin is not repeated: it may be a PIN.
func parseTokenPlace(c *cli.Context) (p tokenPlace, err error) {
	if p.serial, err = parseSerial(c.String("serial")); err != nil {
		return p, err
	}
	for name, slot := range map[string]*hardware.Slot{"slot": &p.slot, "overwrite-slot": &p.overwrite} {
		if text := c.String(name); text != "" {
			if *slot, err = hardware.ParseSlot(text); err != nil {
				return p, usage("--%s: %w", name, err)
			}
		}
	}
	if text := c.String("touch"); text != "" {
		if p.touch, err = hardware.ParseTouchPolicy(text); err != nil {
			return p, usage("--touch: %w", err)
		}
	}
	if text := c.String("pin"); text != "" {
		if p.pin, err = hardware.ParsePINPolicy(text); err != nil {
			return p, usage("--pin takes a policy: once, always or never; the PIN itself is never typed on a command line")
		}
	}
	if text := c.String("algorithm"); text != "" && c.IsSet("algorithm") {
		p.algorithm, err = parseTokenAlgorithm(text)
	}
	return p, err
}

// parseTokenAlgorithm explains the one that tokens can do and PASETO can't.
func parseTokenAlgorithm(text string) (keys.Algorithm, error) {
	if text == "p256" {
		return 0, usage("p256 has no PASETO version, so no registry could read its tokens: ed25519 needs firmware 5.7, p384 works from 4.3 on")
	}
	algorithm, err := keys.ParseAlgorithm(text)
	if err != nil {
		return 0, usage("%w", err)
	}
	return algorithm, nil
}

func (a *app) runInitHardware(ctx context.Context, o initOptions) error {
	return a.locked(ctx, func(ctx context.Context, home string) error {
		store := a.store(home)
		making, err := a.makingFor(home, o)
		if err != nil {
			return err
		}
		if record, err := store.Lookup(o.name); err == nil {
			return a.madeBefore(store, making, record, o)
		}
		var record keys.Record
		if o.adopt {
			record, err = a.makeTokenKey(ctx, store, o.name, o.place, true)
		} else {
			record, err = a.makeNoted(ctx, store, o.name, o.place, making)
		}
		if err != nil {
			return making.OrLeft(err)
		}
		return errors.Join(a.reportInit(factsOf(store, record), o), a.endMaking(store, making, o.name))
	})
}

// makingFor is the note of the key. One that is taken up was made in its own way.
func (a *app) makingFor(home string, o initOptions) (*enroll.Making, error) {
	if o.adopt {
		return enroll.OpenJournal(home).Making(o.name, "", o.given, a.now())
	}
	return a.making(home, o.name, "", o.given)
}

// makeTokenKey makes a key on a token, or takes one up, and stores its record.
func (a *app) makeTokenKey(ctx context.Context, store *keys.Store, name string, p tokenPlace, adopt bool) (keys.Record, error) {
	t, err := a.openToken(ctx, p.serial)
	if err != nil {
		return keys.Record{}, err
	}
	var key hardware.Key
	if adopt {
		key, err = a.adopt(ctx, t, p.slot)
	} else {
		key, err = a.generate(ctx, t, p)
	}
	if err != nil {
		return keys.Record{}, err
	}
	record, err := store.CreateHardware(a.recordOf(name, key))
	if err != nil {
		return keys.Record{}, &hardware.UnfinishedError{Serial: key.Serial, Slot: key.Slot, Public: key.Public, Err: err}
	}
	a.opened(name, &tokenSigner{app: a, token: t, key: key})
	return record, a.warnOfDefaults(ctx, t)
}

// warnOfDefaults tells who leaves the doors open.
func (a *app) warnOfDefaults(ctx context.Context, t *hardware.Token) error {
	info, err := t.Info(ctx)
	if err != nil {
		return nil // the key is made: this was a courtesy
	}
	if info.DefaultPIN == hardware.Yes || info.DefaultPUK == hardware.Yes || info.DefaultManagementKey == hardware.Yes {
		a.say("regkey: warning: YubiKey %d still has what the factory set (%s): \"regkey hardware setup\" changes it", t.Serial(), defaultsOf(info))
	}
	return nil
}

func defaultsOf(info hardware.Info) string {
	text := ""
	for _, d := range []struct {
		answer hardware.Answer
		name   string
	}{{info.DefaultPIN, "PIN"}, {info.DefaultPUK, "PUK"}, {info.DefaultManagementKey, "management key"}} {
		if d.answer == hardware.Yes {
			if text != "" {
				text += ", "
			}
			text += d.name
		}
	}
	return text
}

// generate makes the key. The PIN opens the management key, where the token keeps it, and lets the
// new key be tried.
func (a *app) generate(ctx context.Context, t *hardware.Token, p tokenPlace) (hardware.Key, error) {
	o := hardware.GenerateOptions{Slot: p.slot, Algorithm: p.algorithm, PIN: p.pin, Touch: p.touch}
	if p.algorithm != 0 {
		if err := t.Supports(p.algorithm); err != nil {
			return hardware.Key{}, advised(err, "leave --algorithm out for the best that the token can do")
		}
	}
	var err error
	if o.ManagementKey, err = a.managementKey(ctx); err != nil {
		return hardware.Key{}, err
	}
	if o.Overwrite, err = a.mayOverwrite(ctx, t, p); err != nil {
		return hardware.Key{}, err
	}
	q := pinOf(t.Serial())
	if !a.canGive(q) {
		return t.Generate(ctx, o)
	}
	var key hardware.Key
	err = a.with(ctx, t, q, func(pin keys.Secret) error {
		o.PINSecret = pin
		var err error
		key, err = t.Generate(ctx, o)
		return err
	})
	return key, err
}

// mayOverwrite reports whether what the slot holds may be destroyed. Nobody is asked for a slot
// that is empty.
func (a *app) mayOverwrite(ctx context.Context, t *hardware.Token, p tokenPlace) (bool, error) {
	if p.slot == 0 || !p.force && p.overwrite == 0 {
		return false, nil
	}
	if p.overwrite != 0 && p.overwrite != p.slot {
		return false, usage("--overwrite-slot %v, and --slot %v: they have to say the same", p.overwrite, p.slot)
	}
	info, err := t.Slot(ctx, p.slot)
	if err != nil || !info.Occupied {
		return false, err
	}
	if p.overwrite == p.slot {
		return true, nil
	}
	if !a.terminal {
		return false, &missingError{"a yes to overwriting slot " + p.slot.String(), "--overwrite-slot " + p.slot.String()}
	}
	a.say("slot %v of YubiKey %d holds a key (%s)%s, which would be destroyed for ever", p.slot, t.Serial(), info.Algorithm, a.nameIn(info))
	typed, err := a.text(ctx, fmt.Sprintf("Type the slot's name, %v, to overwrite it:", p.slot), "", "--overwrite-slot", func(string) error { return nil })
	if err != nil {
		return false, err
	}
	if typed != p.slot.String() {
		return false, errCancelled
	}
	return true, nil
}

// nameIn says what a slot's key is called here.
func (a *app) nameIn(info hardware.SlotInfo) string {
	if name := a.keyNames()[info.Public]; name != "" && !info.Public.IsZero() {
		return ", called " + name + " here"
	}
	return ""
}

// proof is what an adopted key signs, to show that it can.
var proof = []byte("regkey tries a key that it takes up")

// adopt takes up a key that another tool made. It is tried where that takes no finger and the PIN
// is at hand.
func (a *app) adopt(ctx context.Context, t *hardware.Token, slot hardware.Slot) (hardware.Key, error) {
	key, err := t.Adopt(ctx, slot)
	if err != nil {
		return key, err
	}
	if key.PIN != hardware.PINNever && !a.canGive(pinOf(t.Serial())) || key.Touch != hardware.TouchNever && !a.terminal {
		return key, nil
	}
	a.purpose = "try the key"
	if _, err := keys.Sign(ctx, &tokenSigner{app: a, token: t, key: key}, proof); err != nil {
		return key, fmt.Errorf("trying the key in slot %v: %w", slot, err)
	}
	return key, nil
}

// errAdoptSlot says that the key to be taken up was not named.
var errAdoptSlot = errors.New("--adopt needs --slot: \"regkey hardware list\" shows which slots hold a key")
