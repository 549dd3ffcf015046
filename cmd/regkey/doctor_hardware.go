// What doctor looks at beyond the cable: the service, tokens, slots, PINs.

package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/keys"
)

// checkHardware looks at the tokens of this machine's keys. Who has no such key needs nothing of
// all this.
func (a *app) checkHardware(ctx context.Context, d *diagnosis, records []keys.Record) {
	needed := slices.DeleteFunc(slices.Clone(records), func(r keys.Record) bool { return r.Protection != keys.Hardware })
	if len(needed) == 0 {
		d.skip("token", "", "no key of this machine is in a token")
		return
	}
	if err := a.cantReach(); err != nil {
		d.fault("service", "", err)
		return
	}
	a.releaseTokens(ctx)
	list, err := hardware.List(ctx)
	if err != nil {
		d.fault("service", "", err)
		return
	}
	d.ok("service", "", "libpcsclite and the smart card service answer")
	var seen []uint32
	for _, r := range needed {
		serial := r.Token.Serial
		at := slices.IndexFunc(list, func(info hardware.Info) bool { return info.Serial == serial })
		if at < 0 {
			d.absent(r, list)
			continue
		}
		if !slices.Contains(seen, serial) {
			seen = append(seen, serial)
			d.token(list[at])
			d.strays(list[at], a.keyNames())
		}
		if list[at].Err == nil {
			d.slot(r, list[at])
		}
	}
}

// absent tells a token that is not plugged in from one that may be in a reader that doesn't answer.
func (d *diagnosis) absent(r keys.Record, list []hardware.Info) {
	about := fmt.Sprintf("%d", r.Token.Serial)
	for _, info := range list {
		if info.Err != nil && info.Serial == 0 {
			d.fault("token", about, info.Err)
			return
		}
	}
	d.problem("token", about, "not plugged in; the key "+r.Name+" is in it", "plug it in")
}

// token looks at what one token tells of itself.
func (d *diagnosis) token(info hardware.Info) {
	about := fmt.Sprintf("%d", info.Serial)
	if info.Err != nil {
		d.fault("token", about, info.Err)
		return
	}
	d.ok("token", about, "plugged in, reader %s", info.Reader)
	switch {
	case info.PINTries == 0:
		d.problem("pin", about, "the PIN is blocked", hints(&hardware.PINError{})...)
	case info.PINTries > 0 && info.PINTries <= hardware.FewTries:
		d.problem("pin", about, fmt.Sprintf("the PIN has %s", triesLeft(info.PINTries)), "a right PIN sets the counter back; the PUK sets a new one: regkey hardware unblock")
	case info.PUKTries == 0:
		d.problem("pin", about, "the PUK is blocked: a blocked PIN could not be unblocked any more", "keep the revocation certificates of its keys at hand, or rotate to another token")
	case defaultsOf(info) != "":
		d.problem("pin", about, "still the factory's: "+defaultsOf(info), "regkey hardware setup --serial "+about)
	default:
		d.ok("pin", about, "%s", protection(info.PINTries, info.DefaultPIN))
	}
	if info.Firmware.AtLeast(5, 7, 0) {
		d.ok("firmware", about, "%v", info.Firmware)
		return
	}
	d.ok("firmware", about, "%v: P-384 keys only; whoever has the token in hand for long could copy such a key (Yubico's advisory YSA-2024-03)", info.Firmware)
}

// strays tells of keys that were made on the token and that no record here is of: an interrupted run
// may have left them, or they are another program's.
func (d *diagnosis) strays(info hardware.Info, names map[keys.PublicKey]string) {
	for _, s := range info.Slots {
		if s.Origin == hardware.OriginGenerated && !s.Public.IsZero() && names[s.Public] == "" {
			d.skip("slot", fmt.Sprintf("%d/%v", info.Serial, s.Slot), "holds a key that regkey has no record of",
				fmt.Sprintf("if it is of an interrupted run: regkey init NAME --hardware --adopt --serial %d --slot %v", info.Serial, s.Slot))
		}
	}
}

// slot looks whether the key of the record is still there.
func (d *diagnosis) slot(r keys.Record, info hardware.Info) {
	about := fmt.Sprintf("%d/%s", info.Serial, r.Token.Slot)
	at := slices.IndexFunc(info.Slots, func(s hardware.SlotInfo) bool { return s.Slot.String() == r.Token.Slot })
	key, err := hardwareKey(r)
	switch {
	case err != nil:
		d.fault("slot", about, err)
	case at < 0:
		d.skip("slot", about, "the token does not tell")
	case info.Slots[at].Public == r.Public:
		d.ok("slot", about, "holds %s", r.Name)
	case info.Slots[at].Public.IsZero() && (info.Slots[at].Occupied && info.Slots[at].Algorithm == "unknown" || key.Attestation == nil && !info.Firmware.AtLeast(5, 3, 0)):
		d.skip("slot", about, "the token does not tell which key this is; a signature would")
	default:
		d.fault("slot", about, &hardware.KeyChangedError{Serial: info.Serial, Slot: key.Slot, Want: r.Public, Found: info.Slots[at].Public})
	}
}
