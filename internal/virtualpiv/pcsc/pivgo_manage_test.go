//go:build cgo && linux

// Piv-go through libpcsclite: PIN, PUK, management key, certificates, attestation, metadata.

package pcsc_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
)

// generate makes a P-384 key in slot 9a with the factory's management key.
func generate(t *testing.T, yk *piv.YubiKey, pin piv.PINPolicy, touch piv.TouchPolicy) *ecdsa.PublicKey {
	t.Helper()
	public, err := yk.GenerateKey(piv.DefaultManagementKey, piv.SlotAuthentication, piv.Key{
		Algorithm: piv.AlgorithmEC384, PINPolicy: pin, TouchPolicy: touch,
	})
	if err != nil {
		t.Fatalf("generating: %v", err)
	}
	return public.(*ecdsa.PublicKey)
}

func TestPINIsCountedBlockedAndUnblocked(t *testing.T) {
	for _, f := range firmwares {
		t.Run(f.name, func(t *testing.T) {
			card, name := insert(t, virtualpiv.Options{Firmware: f.version})
			yk := open(t, name)
			for left := 2; left >= 0; left-- {
				var auth piv.AuthErr
				if err := yk.VerifyPIN("999999"); !errors.As(err, &auth) || auth.Retries != left {
					t.Fatalf("wrong PIN: %v, want %d left", err, left)
				}
			}
			var auth piv.AuthErr
			if err := yk.VerifyPIN(piv.DefaultPIN); !errors.As(err, &auth) || auth.Retries != 0 || card.PINTries() != 0 {
				t.Fatalf("blocked PIN: %v", err)
			}
			if err := yk.Unblock("00000000", "654321"); !errors.As(err, &auth) || auth.Retries != 2 {
				t.Fatalf("wrong PUK: %v", err)
			}
			if err := yk.Unblock(piv.DefaultPUK, "654321"); err != nil {
				t.Fatalf("unblocking: %v", err)
			}
			if err := yk.SetPIN("654321", "24681357"); err != nil {
				t.Fatalf("changing the PIN: %v", err)
			}
			if err := yk.SetPUK(piv.DefaultPUK, "87654321"); err != nil {
				t.Fatalf("changing the PUK: %v", err)
			}
			if err := yk.VerifyPIN("24681357"); err != nil {
				t.Errorf("the new PIN: %v", err)
			}
			if err := yk.Reset(); err != nil {
				t.Errorf("resetting: %v", err)
			}
			if err := yk.VerifyPIN(piv.DefaultPIN); err != nil {
				t.Errorf("the factory's PIN after a reset: %v", err)
			}
		})
	}
}

func TestManagementKeyIsChangedAndKeptBehindThePIN(t *testing.T) {
	for _, f := range firmwares {
		t.Run(f.name, func(t *testing.T) {
			card, name := insert(t, virtualpiv.Options{Firmware: f.version})
			yk := open(t, name)
			key := bytes.Repeat([]byte{1, 0x22, 0x93}, 8)
			if err := yk.SetManagementKey(piv.DefaultManagementKey, key); err != nil {
				t.Fatalf("changing: %v", err)
			}
			if _, _, original := card.Defaults(); original {
				t.Error("still the factory's")
			}
			if err := yk.SetMetadata(piv.DefaultManagementKey, &piv.Metadata{}); err == nil {
				t.Error("the old key is still taken")
			}
			if err := yk.SetMetadata(key, &piv.Metadata{ManagementKey: &key}); err != nil {
				t.Fatalf("storing: %v", err)
			}
			m, err := yk.Metadata(piv.DefaultPIN)
			if err != nil || m.ManagementKey == nil || !bytes.Equal(*m.ManagementKey, key) {
				t.Errorf("reading it back: %v", err)
			}
		})
	}
}

func TestCertificateAndAttestation(t *testing.T) {
	for _, f := range firmwares {
		t.Run(f.name, func(t *testing.T) {
			card, name := insert(t, virtualpiv.Options{Serial: 87654321, Firmware: f.version})
			yk := open(t, name)
			if _, err := yk.Attest(piv.SlotAuthentication); !errors.Is(err, piv.ErrNotFound) {
				t.Errorf("attesting an empty slot: %v", err)
			}
			public := generate(t, yk, piv.PINPolicyOnce, piv.TouchPolicyCached)
			statement, err := yk.Attest(piv.SlotAuthentication)
			if err != nil {
				t.Fatalf("attesting: %v", err)
			}
			own, err := yk.AttestationCertificate()
			if err != nil || !own.Equal(card.AttestationCertificate()) {
				t.Fatalf("attestation certificate: %v", err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(virtualpiv.Root())
			roots.AddCert(virtualpiv.Intermediate())
			a, err := (&piv.Verifier{Roots: roots}).Verify(own, statement)
			if err != nil {
				t.Fatalf("verifying: %v", err)
			}
			if a.Serial != 87654321 || a.PINPolicy != piv.PINPolicyOnce || a.TouchPolicy != piv.TouchPolicyCached || a.Slot != piv.SlotAuthentication {
				t.Errorf("attested %+v", a)
			}
			if !public.Equal(statement.PublicKey) {
				t.Error("attested another key")
			}
			if _, err := piv.Verify(own, statement); err == nil {
				t.Error("verified under Yubico's roots")
			}
			if _, err := yk.Certificate(piv.SlotAuthentication); !errors.Is(err, piv.ErrNotFound) {
				t.Errorf("reading no certificate: %v", err)
			}
			if err := yk.SetCertificate(piv.DefaultManagementKey, piv.SlotAuthentication, statement); err != nil {
				t.Fatalf("storing a certificate: %v", err)
			}
			if back, err := yk.Certificate(piv.SlotAuthentication); err != nil || !back.Equal(statement) {
				t.Errorf("reading it back: %v", err)
			}
		})
	}
}

func TestKeyInfo(t *testing.T) {
	for _, f := range firmwares {
		t.Run(f.name, func(t *testing.T) {
			_, name := insert(t, virtualpiv.Options{Firmware: f.version})
			yk := open(t, name)
			_, err := yk.KeyInfo(piv.SlotAuthentication)
			if errors.Is(err, piv.ErrNotFound) != f.metadata || err == nil {
				t.Errorf("an empty slot: %v", err)
			}
			if !f.metadata {
				return
			}
			public := generate(t, yk, piv.PINPolicyAlways, piv.TouchPolicyAlways)
			info, err := yk.KeyInfo(piv.SlotAuthentication)
			if err != nil || info.Algorithm != piv.AlgorithmEC384 || info.PINPolicy != piv.PINPolicyAlways ||
				info.TouchPolicy != piv.TouchPolicyAlways || info.Origin != piv.OriginGenerated || !public.Equal(info.PublicKey) {
				t.Errorf("%+v, %v", info, err)
			}
		})
	}
}
