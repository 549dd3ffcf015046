//go:build cgo && linux

// What tokens and their slots tell.

package hardware

import (
	"errors"
	"testing"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/cargo-regkey/regkey/hardware/attestation"
	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/keys"
)

func TestList(t *testing.T) {
	for i, firmware := range firmwares {
		insert(t, virtualpiv.Options{Serial: uint32(1000 + i), Firmware: firmware, FormFactor: 3})
	}
	_, busy := insert(t, virtualpiv.Options{Serial: 2000})
	daemon.Occupy(busy, -1)
	list, err := List(t.Context())
	if err != nil || len(list) != 5 {
		t.Fatalf("%d tokens, %v", len(list), err)
	}
	for i, firmware := range firmwares {
		info := list[i]
		want := Unknown
		puk := -1
		if firmware[1] > 3 {
			want, puk = Yes, 3
		}
		if info.Err != nil || info.Serial != uint32(1000+i) || info.Firmware != version(firmware) || info.FormFactor != 3 {
			t.Errorf("%+v", info)
		}
		if info.PINTries != 3 || info.PUKTries != puk || info.DefaultPIN != want || info.DefaultPUK != want || info.DefaultManagementKey != want {
			t.Errorf("%v: %+v", firmware, info)
		}
		if len(info.Slots) != 24 || info.Slots[0].Occupied {
			t.Errorf("%v: slots %+v", firmware, info.Slots)
		}
	}
	if last := list[4]; !errors.As(last.Err, new(*BusyError)) || last.Reader != busy || last.PINTries != -1 || last.DefaultPIN != Unknown {
		t.Errorf("busy: %+v", last)
	}
}

func TestInfoAfterChanges(t *testing.T) {
	card, _ := insert(t, virtualpiv.Options{})
	token := open(t, testSerial)
	if err := errors.Join(
		token.ChangePIN(t.Context(), secret(pin123), secret("abcdef")),
		token.ChangePUK(t.Context(), secret(puk123), secret("12345679")),
		token.ProtectManagementKey(t.Context(), secret("abcdef"), keys.Secret{}),
	); err != nil {
		t.Fatal(err)
	}
	if err := token.VerifyPIN(t.Context(), secret("000000")); err == nil {
		t.Fatal("a wrong PIN was right")
	}
	info, err := token.Info(t.Context())
	if err != nil || info.PINTries != 2 || info.DefaultPIN != No || info.DefaultPUK != No || info.DefaultManagementKey != No {
		t.Errorf("%+v, %v", info, err)
	}
	if card.Verified() {
		t.Error("the PIN is still verified")
	}
}

func TestSlots(t *testing.T) {
	for _, firmware := range firmwares {
		card, reader := insert(t, virtualpiv.Options{Firmware: firmware})
		policies := piv.Key{Algorithm: piv.AlgorithmEC384, PINPolicy: piv.PINPolicyAlways, TouchPolicy: piv.TouchPolicyCached}
		made, err := attestation.PublicKey(makeKey(t, reader, piv.SlotAuthentication, policies))
		if err != nil {
			t.Fatal(err)
		}
		policies.Algorithm = piv.AlgorithmEC256
		makeKey(t, reader, piv.SlotSignature, policies)
		imported, err := attestation.PublicKey(importKey(t, reader, piv.SlotKeyManagement, true).Public())
		if err != nil {
			t.Fatal(err)
		}
		token := open(t, testSerial)
		retired, err := token.FreeSlot(t.Context())
		if err != nil || retired != 0x82 {
			t.Errorf("%v: free: %v, %v", firmware, retired, err)
		}
		metadata := firmware[1] > 3
		want := []SlotInfo{
			{Slot: 0x9a, Occupied: true, Public: made, Algorithm: "p384", PIN: PINAlways, Touch: TouchCached, Origin: OriginGenerated},
			{Slot: 0x9c, Occupied: true, Algorithm: "p256", PIN: PINAlways, Touch: TouchCached, Origin: OriginGenerated},
			{Slot: 0x9d, Occupied: true, Public: imported, Algorithm: "p384", Origin: OriginUnknown, CertificateSubject: "CN=somebody"},
			{Slot: 0x9e, Origin: OriginUnknown},
		}
		if metadata {
			want[2].PIN, want[2].Touch, want[2].Origin = PINOnce, TouchNever, OriginImported
		} else {
			want[1].PIN, want[1].Touch = "", "" // what attests a useless key is not read
		}
		for _, w := range want {
			if got, err := token.Slot(t.Context(), w.Slot); err != nil || got != w {
				t.Errorf("%v, %v: %+v, %v", firmware, w.Slot, got, err)
			}
		}
		if err := token.Close(); err != nil || card.Verified() {
			t.Error(err)
		}
		daemon.Remove(reader)
	}
}

func TestEmptyMetadata(t *testing.T) {
	card, reader := insert(t, virtualpiv.Options{})
	makeKey(t, reader, piv.SlotAuthentication, piv.Key{Algorithm: piv.AlgorithmEC384, PINPolicy: piv.PINPolicyOnce, TouchPolicy: piv.TouchPolicyNever})
	importKey(t, reader, piv.SlotSignature, false)
	token := open(t, testSerial)
	card.Order(virtualpiv.Fault{Kind: virtualpiv.EmptyMetadata, Always: true})
	if info, err := token.Slot(t.Context(), 0x9a); err != nil || info.Public.IsZero() || info.PIN != PINOnce {
		t.Errorf("attested: %+v, %v", info, err)
	}
	if info, err := token.Slot(t.Context(), 0x9c); err != nil || !info.Occupied || info.Algorithm != "unknown" {
		t.Errorf("imported: %+v, %v", info, err)
	}
	if info, err := token.Info(t.Context()); err != nil || info.DefaultPIN != Unknown || info.PINTries != 3 {
		t.Errorf("%+v, %v", info, err)
	}
	before := len(card.Slots())
	if _, err := token.Generate(t.Context(), GenerateOptions{Slot: 0x9a, Overwrite: true}); err == nil {
		t.Error("made a key with a management key of an unknown algorithm")
	} else if errors.As(err, new(*UnfinishedError)) {
		t.Errorf("nothing was made: %v", err)
	}
	if len(card.Slots()) != before {
		t.Errorf("slots: %+v", card.Slots())
	}
	card.Forgive()
	if _, err := token.Generate(t.Context(), GenerateOptions{Slot: 0x82}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestSupports(t *testing.T) {
	for _, firmware := range firmwares {
		_, reader := insert(t, virtualpiv.Options{Firmware: firmware})
		token := open(t, testSerial)
		has := firmware[1] >= 7
		if (token.Supports(keys.Ed25519) == nil) != has || token.Supports(keys.P384) != nil || token.Supports(0) == nil {
			t.Errorf("%v: ed25519 %v, p384 %v", firmware, token.Supports(keys.Ed25519), token.Supports(keys.P384))
		}
		if token.Supports(token.DefaultAlgorithm()) != nil || (token.DefaultAlgorithm() == keys.Ed25519) != has {
			t.Errorf("%v: default %v", firmware, token.DefaultAlgorithm())
		}
		if err := token.Close(); err != nil {
			t.Error(err)
		}
		daemon.Remove(reader)
	}
}
