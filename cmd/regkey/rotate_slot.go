// The slot in which a key is made: written down before, so that no run that is interrupted loses it.

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/keys"
)

// slotNotes are where the slot is written down: a rotation, or an [enroll.Making].
type slotNotes interface {
	MakingIn(name, slot string) error
	MadeIn(name string) string
}

// makeNoted is makeTokenKey with the slot noted before. What an interrupted run has made there is taken up: a
// token can't be asked to forget a key, and only the journal knows whose that one is.
func (a *app) makeNoted(ctx context.Context, store *keys.Store, name string, p tokenPlace, n slotNotes) (keys.Record, error) {
	p, made, err := a.noteSlot(ctx, name, p, n)
	if err != nil {
		return keys.Record{}, err
	}
	record, err := a.makeTokenKey(ctx, store, name, p, made)
	if err == nil || !made && !errors.As(err, new(*hardware.UnfinishedError)) {
		err = errors.Join(err, n.MakingIn(name, ""))
	}
	return record, err
}

// noteSlot finds the slot, and reports whether an earlier run has made the key there. One that is to be
// overwritten is not noted: who does that again loses nothing more.
func (a *app) noteSlot(ctx context.Context, name string, p tokenPlace, n slotNotes) (at tokenPlace, made bool, err error) {
	if noted := n.MadeIn(name); noted != "" {
		at, state, err := a.lookInto(ctx, p, noted)
		if err != nil || state != slotTaken {
			return at, state == slotOurs, err
		}
	}
	t, err := a.openToken(ctx, p.serial)
	if err != nil {
		return p, false, err
	}
	if p.serial = t.Serial(); p.slot == 0 {
		p.slot, err = t.FreeSlot(ctx)
	}
	if err != nil {
		return p, false, err
	}
	info, err := t.Slot(ctx, p.slot)
	if err != nil || info.Occupied {
		return p, false, err
	}
	return p, false, n.MakingIn(name, fmt.Sprintf("%d/%v", p.serial, p.slot))
}

// A slotState is what became of a slot that was noted.
type slotState int

const (
	slotEmpty slotState = iota
	slotOurs            // the interrupted run has made its key there
	slotTaken           // somebody else has used it since
)

// lookInto finds out what a noted slot holds now.
func (a *app) lookInto(ctx context.Context, p tokenPlace, noted string) (tokenPlace, slotState, error) {
	serial, slot, _ := strings.Cut(noted, "/")
	var err error
	if p.serial, err = parseSerial(serial); err != nil {
		return p, slotTaken, err
	}
	before := p.slot
	if p.slot, err = hardware.ParseSlot(slot); err != nil {
		return p, slotTaken, err
	}
	t, err := a.openToken(ctx, p.serial)
	if err != nil {
		return p, slotTaken, err
	}
	info, err := t.Slot(ctx, p.slot)
	switch {
	case err != nil || !info.Occupied:
		return p, slotEmpty, err
	case info.Public.IsZero() || info.Origin == hardware.OriginImported || a.keyNames()[info.Public] != "":
		p.slot = before
		return p, slotTaken, nil
	}
	a.say("regkey: an interrupted run has made the key in slot %v of YubiKey %d: it is taken up", p.slot, p.serial)
	return p, slotOurs, nil
}

// isIn reports whether the key is in the slot that was noted as SERIAL/SLOT.
func isIn(record keys.Record, slot string) bool {
	return record.Token != nil && slot == fmt.Sprintf("%d/%s", record.Token.Serial, record.Token.Slot)
}

// sayLostSlots names, once a rotation or the making of a key was given up, the slots that may hold a key of it that has no record.
func (a *app) sayLostSlots(store *keys.Store, slots map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(slots)) {
		if record, err := store.Lookup(name); err == nil && isIn(record, slots[name]) {
			continue
		}
		serial, slot, _ := strings.Cut(slots[name], "/")
		a.say("regkey: slot %s of YubiKey %s may hold a key that was made for %s and that nothing knows: \"regkey hardware list\" shows it,", slot, serial, name)
		a.say("        \"regkey init NAME --hardware --serial %s --slot %s --force\" overwrites it", serial, slot)
	}
}
