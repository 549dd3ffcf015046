// Tokens that are open: each once for the whole run, and all given back at its end.

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/keys"
)

// plugPause is how often it is looked whether a token has come.
const plugPause = 300 * time.Millisecond

func serialFlag() cli.Flag {
	return &cli.StringFlag{Name: "serial", Usage: "the token with that serial `NUMBER` (if there is only one: that one)"}
}

// parseSerial reads --serial; 0 is none.
func parseSerial(text string) (uint32, error) {
	if text == "" {
		return 0, nil
	}
	serial, err := strconv.ParseUint(text, 10, 32)
	if err != nil || serial == 0 {
		return 0, usage("--serial %.20q: it is the number that is printed on the token", text)
	}
	return uint32(serial), nil
}

// onlySerial is --serial of a command that takes no arguments.
func onlySerial(c *cli.Context) (uint32, error) {
	if err := noArguments(c); err != nil {
		return 0, err
	}
	return parseSerial(c.String("serial"))
}

// openToken opens the token with that serial number, or the only one for 0; of several a person
// chooses. One that is open already is given again.
func (a *app) openToken(ctx context.Context, serial uint32) (*hardware.Token, error) {
	if t, found := a.tokens[serial]; found {
		return t, nil
	}
	if err := a.cantReach(); err != nil {
		return nil, err
	}
	a.releaseTokens(ctx)
	open := slices.Collect(maps.Values(a.tokens))
	t, err := hardware.Open(ctx, serial, open...)
	if serial == 0 && len(open) == 1 && errors.As(err, new(*hardware.NotFoundError)) {
		return open[0], nil
	}
	var several *hardware.AmbiguousError
	if errors.As(err, &several) && a.terminal {
		if serial, err = a.chooseToken(ctx, several.Serials); err != nil {
			return nil, err
		}
		return a.openToken(ctx, serial)
	}
	if err != nil {
		return nil, err
	}
	a.tokens[t.Serial()] = t
	return t, nil
}

func (a *app) chooseToken(ctx context.Context, serials []uint32) (uint32, error) {
	var names []string
	for _, serial := range serials {
		names = append(names, fmt.Sprint(serial))
	}
	name, err := a.choose(ctx, "Which token? Its number is printed on it", "--serial", names)
	if err != nil {
		return 0, err
	}
	return parseSerial(name)
}

// awaitToken is openToken for a signature that is wanted now: it waits some seconds for a token
// that is not plugged in, and says so.
func (a *app) awaitToken(ctx context.Context, serial uint32) (*hardware.Token, error) {
	waiting, cancel := context.WithTimeout(ctx, a.plugLimit)
	defer cancel()
	for told := false; ; told = true {
		// One that is plugged in and busy has a time of its own.
		t, err := a.openToken(ctx, serial)
		var absent *hardware.NotFoundError
		if !errors.As(err, &absent) {
			return t, err
		}
		if !told {
			a.say("%v: plug it in within %v", absent, a.plugLimit)
		}
		select {
		case <-waiting.Done():
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, err
		case <-time.After(plugPause):
		}
	}
}

// close gives all tokens back, with nothing left unlocked on them.
func (a *app) close() {
	for serial, t := range a.tokens {
		if err := t.Close(); err != nil {
			a.say("regkey: %v", err)
		}
		delete(a.tokens, serial)
	}
}

// hardwareKey is what a record says of a key in a token.
func hardwareKey(r keys.Record) (hardware.Key, error) {
	k := hardware.Key{Public: r.Public}
	if r.Token == nil {
		return k, fmt.Errorf("key %s is not in a token", r.Name)
	}
	slot, err := hardware.ParseSlot(r.Token.Slot)
	if err != nil {
		return k, err
	}
	if r.Token.Firmware != "" {
		if k.Firmware, err = hardware.ParseVersion(r.Token.Firmware); err != nil {
			return k, err
		}
	}
	k.Serial, k.Slot, k.Attestation = r.Token.Serial, slot, r.Token.Attestation
	k.PIN, k.Touch = hardware.PINPolicy(r.Token.PIN), hardware.TouchPolicy(r.Token.Touch)
	return k, nil
}

// recordOf is the record of a key in a token.
func (a *app) recordOf(name string, k hardware.Key) keys.Record {
	return keys.Record{
		Name: name, Public: k.Public, Created: a.now(), Protection: keys.Hardware,
		Token: &keys.Token{
			Serial: k.Serial, Slot: k.Slot.String(), Firmware: k.Firmware.String(),
			PIN: string(k.PIN), Touch: string(k.Touch), Attestation: k.Attestation,
		},
	}
}
