// Keys in hardware: what their attestations say, and what the operator asks of them.

package registry

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/hardware/attestation"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry/storage"
)

// A HardwarePolicy says what keys must be like to be enrolled. Keys that can only read are exempt: they are for the machine that reads
// while its token is not plugged in. What stands already is left alone until it gains a right.
type HardwarePolicy struct {
	Required    bool                // keys must be attested as made in hardware; also if one of the next two is set
	Touch       bool                // signing must take a touch: the touch policy is always or cached
	MinFirmware attestation.Version // zero: any
	Roots       []*x509.Certificate // of makers that are trusted beside Yubico
}

// required reports whether any of the policy asks for hardware.
func (p HardwarePolicy) required() bool {
	return p.Required || p.Touch || !p.MinFirmware.IsZero()
}

// attested is what came along with a keyset. Chains are verified once in a request, and not before the keyset is known to be vouched for.
type attested struct {
	chains    [][][]byte
	verified  bool
	facts     map[keys.ID]attestation.Facts
	trusted   [][][]byte        // the chains that facts are from
	untrusted map[keys.ID]error // good in themselves, and from a maker that this registry does not know
}

// verify looks at the chains. One that is no attestation, or of a key that next does not list, is refused, as a client that sends it is mistaken;
// one of an unknown maker counts as none until hardware is asked for: a client sends what it has.
func (a *attested) verify(next *enroll.SignedKeyset, roots []*x509.Certificate, now time.Time) error {
	if a.verified {
		return nil
	}
	a.facts, a.trusted, a.untrusted = map[keys.ID]attestation.Facts{}, nil, map[keys.ID]error{}
	for _, chain := range a.chains {
		facts, err := attestation.Verify(chain, append(attestation.Roots(), roots...), now)
		unknown := errors.Is(err, attestation.ErrUntrusted)
		var claim error
		if unknown {
			facts, claim = attestation.Read(chain[0])
		}
		if err != nil && !unknown || claim != nil {
			return refuse(http.StatusForbidden, "attestation-invalid", "an attestation is not good: %v; send it as the token made it, with every certificate up to its maker's root", err)
		}
		id := facts.Public.ID()
		if _, listed := next.Entry(id); !listed {
			return refuse(http.StatusForbidden, "attestation-unknown-key", "an attestation is of key %v, which the keyset does not list: leave it out, or enrol that key", id)
		}
		if unknown {
			a.untrusted[id] = err
			continue
		}
		a.facts[id], a.trusted = facts, append(a.trusted, chain)
	}
	a.verified = true
	return nil
}

// judgeHardware holds next, which may follow previous, against the policy.
func (s *Server) judgeHardware(ctx context.Context, tx *storage.Tx, previous, next *enroll.SignedKeyset, given *attested) error {
	policy := s.config.Hardware
	if err := given.verify(next, policy.Roots, s.now()); err != nil {
		return err
	}
	if !policy.required() || next.Closed {
		return nil
	}
	for _, e := range next.Keys {
		if !gains(previous, e) {
			continue
		}
		id := e.Key.ID()
		facts, found := given.facts[id]
		if !found {
			stored, err := tx.Key(ctx, id.String())
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return err
			}
			if stored.Hardware == nil {
				return unattested(id, e.Can, given.untrusted[id])
			}
			if facts, err = storedFacts(stored.Hardware); err != nil {
				return err
			}
		}
		if err := policy.check(id, facts); err != nil {
			return err
		}
	}
	return nil
}

// gains reports whether e may do more than read, and something that its key might not do in previous, which may be nil: a right,
// on a crate that it was kept from, or at a time after its end.
func gains(previous *enroll.SignedKeyset, e enroll.Entry) bool {
	rights := e.Can &^ enroll.Read
	if previous == nil || rights == 0 {
		return rights != 0
	}
	before, _ := previous.Entry(e.Key.ID())
	longer := !before.Until.IsZero() && (e.Until.IsZero() || e.Until.After(before.Until))
	return !before.Can.Has(rights) || longer || widens(before.Crates, e.Crates)
}

// widens reports whether next are patterns of crates for more than before, none being all crates. It takes a pattern that is new for
// more, whatever it matches.
func widens(before, next []string) bool {
	if len(before) == 0 {
		return false
	}
	return len(next) == 0 || slices.ContainsFunc(next, func(pattern string) bool { return !slices.Contains(before, pattern) })
}

// unattested is the refusal of a key without an attestation, or, with a cause, with one of an unknown maker.
func unattested(id keys.ID, can enroll.Can, cause error) error {
	if cause != nil {
		return refuse(http.StatusForbidden, "attestation-invalid", "the attestation of key %v is not by a maker whom this registry trusts (%v): use a YubiKey, "+
			"or ask the operator to trust the maker's root", id, cause)
	}
	return refuse(http.StatusForbidden, "attestation-missing", "key %v may %v, which this registry allows only to keys in hardware, and it came without an attestation: "+
		"make one with `regkey init NAME --hardware` and enrol that; a key that can only read needs none", id, can&^enroll.Read)
}

// check holds one key's facts against the policy.
func (p HardwarePolicy) check(id keys.ID, facts attestation.Facts) error {
	if facts.Firmware.Compare(p.MinFirmware) < 0 {
		return refuse(http.StatusForbidden, "attestation-firmware", "key %v is in token %d with firmware %v, and this registry asks for %v or later: "+
			"firmware can't be changed, so make a key in a newer token", id, facts.Serial, facts.Firmware, p.MinFirmware)
	}
	if p.Touch && facts.Touch != attestation.TouchAlways && facts.Touch != attestation.TouchCached {
		return refuse(http.StatusForbidden, "attestation-touch", "key %v in token %d signs without a touch (touch policy %s), and this registry asks for one: "+
			"a key's policy can't be changed, so make a new one with `regkey init NAME --hardware --touch cached`", id, facts.Serial, facts.Touch)
	}
	return nil
}

// storedFacts is as much of what was attested as the policy looks at.
func storedFacts(h *storage.Hardware) (attestation.Facts, error) {
	firmware, err := attestation.ParseVersion(h.Firmware)
	return attestation.Facts{Serial: h.Serial, Firmware: firmware, Touch: attestation.TouchPolicy(h.Touch)}, err
}

// storedHardware is how facts are stored; nil if there are none for the key.
func (a *attested) storedHardware(id keys.ID) *storage.Hardware {
	facts, found := a.facts[id]
	if !found {
		return nil
	}
	return &storage.Hardware{
		Serial: facts.Serial, Firmware: facts.Firmware.String(), Slot: facts.Slot.String(),
		PIN: string(facts.PIN), Touch: string(facts.Touch), Form: facts.FormFactor.String(),
	}
}
