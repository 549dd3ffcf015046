//go:build cgo && linux

// Where keys are made and what is never overwritten; keys of other tools; what attestations withstand.

package hardware

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/cargo-regkey/regkey/hardware/attestation"
	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/keys"
)

func TestGenerateOverwritesNothingUnasked(t *testing.T) {
	for _, firmware := range firmwares {
		card, reader, token, first := keyed(t, firmware, PINOnce, TouchNever)
		var occupied *OccupiedError
		if _, err := token.Generate(t.Context(), GenerateOptions{Slot: 0x9a}); !errors.As(err, &occupied) || occupied.Slot.Public != first.Public {
			t.Errorf("%v: %v", firmware, err)
		}
		second, err := token.Generate(t.Context(), GenerateOptions{})
		if err != nil || second.Slot != 0x82 || second.PIN != PINOnce || second.Touch != TouchCached {
			t.Errorf("%v: the next free slot: %+v, %v", firmware, second, err)
		}
		if card.Slots()[1].Reference != 0x9a {
			t.Errorf("%v: slots %+v", firmware, card.Slots())
		}
		if _, err := keys.Sign(t.Context(), token.Signer(first, &person{pin: pin123}), longMessage); err != nil {
			t.Errorf("%v: the first key: %v", firmware, err)
		}
		third, err := token.Generate(t.Context(), GenerateOptions{Slot: 0x9a, Overwrite: true})
		if err != nil || third.Public == first.Public {
			t.Errorf("%v: overwriting: %v", firmware, err)
		}
		if err := token.Close(); err != nil {
			t.Error(err)
		}
		daemon.Remove(reader)
	}
}

func TestGenerateRefuses(t *testing.T) {
	card, _ := insert(t, virtualpiv.Options{Firmware: v543})
	token := open(t, testSerial)
	for name, o := range map[string]GenerateOptions{
		"an algorithm that it lacks": {Algorithm: keys.Ed25519},
		"no algorithm":               {Algorithm: 9},
		"no slot":                    {Slot: 0x9b},
		"a fingerprint":              {PIN: attestation.PINMatchOnce},
		"no touch policy":            {Touch: "sometimes"},
	} {
		if key, err := token.Generate(t.Context(), o); err == nil {
			t.Errorf("%s: %+v", name, key)
		}
	}
	if len(card.Slots()) != 0 {
		t.Errorf("slots: %+v", card.Slots())
	}
	token.firmware = Version{Major: 5, Minor: 7, Patch: 4} // a token that claims what it can't
	if _, err := token.Generate(t.Context(), GenerateOptions{}); !errors.As(err, new(statusError)) || errors.As(err, new(*UnfinishedError)) {
		t.Errorf("refused by the token: %v", err)
	}
}

func TestGenerateFindsFaultyTokens(t *testing.T) {
	for _, kind := range []virtualpiv.FaultKind{virtualpiv.TruncatedMessage, virtualpiv.WrongLength} {
		card, reader := insert(t, virtualpiv.Options{})
		token := open(t, testSerial)
		card.Order(virtualpiv.Fault{Kind: kind, Always: true})
		var unfinished *UnfinishedError
		key, err := token.Generate(t.Context(), GenerateOptions{Touch: TouchNever, PINSecret: secret(pin123)})
		if !errors.As(err, &unfinished) || unfinished.Slot != 0x9a || unfinished.Public.IsZero() || unfinished.Public != key.Public {
			t.Errorf("%s: %v", kind, err)
		}
		if err := token.Close(); err != nil {
			t.Error(err)
		}
		daemon.Remove(reader)
	}
}

func TestAllSlotsTaken(t *testing.T) {
	_, reader := insert(t, virtualpiv.Options{})
	policies := piv.Key{Algorithm: piv.AlgorithmEC384, PINPolicy: piv.PINPolicyNever, TouchPolicy: piv.TouchPolicyNever}
	makeKey(t, reader, piv.SlotAuthentication, policies)
	for n := uint32(0x82); n <= 0x95; n++ {
		slot, _ := piv.RetiredKeyManagementSlot(n)
		makeKey(t, reader, slot, policies)
	}
	if slot, err := open(t, testSerial).FreeSlot(t.Context()); !errors.As(err, new(*FullError)) {
		t.Errorf("%v, %v", slot, err)
	}
}

func TestAdopt(t *testing.T) {
	for _, firmware := range firmwares {
		_, reader := insert(t, virtualpiv.Options{Firmware: firmware})
		policies := piv.Key{Algorithm: piv.AlgorithmEC384, PINPolicy: piv.PINPolicyAlways, TouchPolicy: piv.TouchPolicyNever}
		makeKey(t, reader, piv.SlotAuthentication, policies)
		policies.Algorithm = piv.AlgorithmEC256
		makeKey(t, reader, piv.SlotKeyManagement, policies)
		importKey(t, reader, piv.SlotSignature, true)
		token := open(t, testSerial)
		p := &person{pin: pin123}
		for _, slot := range []Slot{0x9a, 0x9c} {
			key, err := token.Adopt(t.Context(), slot)
			if err != nil || (key.Attestation != nil) != (slot == 0x9a) {
				t.Errorf("%v, %v: %+v, %v", firmware, slot, key, err)
				continue
			}
			if _, err := keys.Sign(t.Context(), token.Signer(key, p), longMessage); err != nil {
				t.Errorf("%v, %v: signing: %v", firmware, slot, err)
			}
		}
		for _, slot := range []Slot{0x9d, 0x9e, 0x9b} {
			if key, err := token.Adopt(t.Context(), slot); err == nil {
				t.Errorf("%v, %v: %+v", firmware, slot, key)
			}
		}
		if err := token.Close(); err != nil {
			t.Error(err)
		}
		daemon.Remove(reader)
	}
}

func TestAttestationsOfTokens(t *testing.T) {
	for _, firmware := range firmwares {
		_, reader, token, key := keyed(t, firmware, PINOnce, TouchAlways)
		facts, err := attestation.Verify(key.Attestation, roots(), time.Now())
		if err != nil || facts.Public != key.Public || facts.Firmware != version(firmware) || facts.Touch != TouchAlways {
			t.Errorf("%v: %+v, %v", firmware, facts, err)
		}
		if _, err := attestation.Verify(key.Attestation, nil, time.Now()); !errors.Is(err, attestation.ErrUntrusted) {
			t.Errorf("%v: by Yubico's roots: %v", firmware, err)
		}
		complete := slices.Clone(key.Attestation)
		if firmware == v574 {
			complete = append(complete, virtualpiv.Intermediate().Raw)
		}
		if _, err := attestation.Verify(complete, roots()[:1], time.Now()); err != nil {
			t.Errorf("%v: with the intermediate sent along: %v", firmware, err)
		}
		for i := range key.Attestation {
			for at := 0; at < len(key.Attestation[i]); at += 7 {
				mangled := slices.Clone(key.Attestation)
				mangled[i] = slices.Clone(mangled[i])
				mangled[i][at] ^= 0x10
				if _, err := attestation.Verify(mangled, roots(), time.Now()); err == nil {
					t.Errorf("%v: certificate %d, byte %d changed", firmware, i, at)
				}
			}
		}
		if err := token.Close(); err != nil {
			t.Error(err)
		}
		daemon.Remove(reader)
	}
}

// A token that is pulled out while a person gives up may have made the key: it can't be asked any more.
func TestUnchangedWhenAllEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	u := &use{Token: &Token{}, ctx: ctx}
	if u.unchanged(SlotInfo{Slot: 0x9a}, &RemovedError{}) {
		t.Error("pulled out: nothing is certain")
	}
	if !u.unchanged(SlotInfo{Slot: 0x9a}, context.Canceled) {
		t.Error("cancelled before anything was sent")
	}
}
