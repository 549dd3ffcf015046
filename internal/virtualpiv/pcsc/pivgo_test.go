//go:build cgo && linux

// Unmodified piv-go, through the real libpcsclite, on the virtual token: what users do.

package pcsc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha512"
	"testing"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
)

// insert plugs a new token in for one test, under the test's name.
func insert(t *testing.T, o virtualpiv.Options) (*virtualpiv.Card, string) {
	t.Helper()
	card := virtualpiv.New(o)
	name := "Yubico YubiKey OTP+FIDO+CCID " + t.Name()
	daemon.Insert(name, card)
	t.Cleanup(func() { daemon.Remove(name) })
	return card, name
}

// open opens a token, and closes it after the test.
func open(t *testing.T, name string) *piv.YubiKey {
	t.Helper()
	yk, err := piv.Open(name)
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	t.Cleanup(func() { _ = yk.Close() })
	return yk
}

// firmwares are those that the product supports, with what each can do.
var firmwares = []struct {
	name     string
	version  [3]byte
	ed25519  bool
	metadata bool
}{
	{"4.3.5", [3]byte{4, 3, 5}, false, false},
	{"5.2.7", [3]byte{5, 2, 7}, false, false},
	{"5.4.3", [3]byte{5, 4, 3}, false, true},
	{"5.7.4", [3]byte{5, 7, 4}, true, true},
}

func TestOpenReportsWhatTheTokenIs(t *testing.T) {
	for _, f := range firmwares {
		t.Run(f.name, func(t *testing.T) {
			_, name := insert(t, virtualpiv.Options{Serial: 12345678, Firmware: f.version})
			yk := open(t, name)
			if v := yk.Version(); v != (piv.Version{Major: int(f.version[0]), Minor: int(f.version[1]), Patch: int(f.version[2])}) {
				t.Errorf("version %v", v)
			}
			serial, err := yk.Serial()
			if err != nil || serial != 12345678 {
				t.Errorf("serial %d, %v", serial, err)
			}
			if form, err := yk.FormFactor(); err != nil || form != piv.FormfactorUSBAKeychain {
				t.Errorf("form factor %v, %v", form, err)
			}
			if tries, err := yk.Retries(); err != nil || tries != 3 {
				t.Errorf("tries %d, %v", tries, err)
			}
		})
	}
}

func TestGenerateSignVerify(t *testing.T) {
	message := []byte("a message longer than the sixty-four bytes that a faulty token would look at, and then some")
	for _, f := range firmwares {
		for _, algorithm := range []piv.Algorithm{piv.AlgorithmEC256, piv.AlgorithmEC384, piv.AlgorithmEd25519} {
			t.Run(f.name, func(t *testing.T) {
				_, name := insert(t, virtualpiv.Options{Firmware: f.version})
				yk := open(t, name)
				public, err := yk.GenerateKey(piv.DefaultManagementKey, piv.SlotAuthentication, piv.Key{
					Algorithm: algorithm, PINPolicy: piv.PINPolicyOnce, TouchPolicy: piv.TouchPolicyNever,
				})
				if algorithm == piv.AlgorithmEd25519 && !f.ed25519 {
					if err == nil {
						t.Fatal("a firmware without Ed25519 made an Ed25519 key")
					}
					return
				}
				if err != nil {
					t.Fatalf("generating: %v", err)
				}
				checkSignature(t, yk, public, message)
			})
		}
	}
}

// checkSignature signs with slot 9a and the default PIN, and verifies.
func checkSignature(t *testing.T, yk *piv.YubiKey, public crypto.PublicKey, message []byte) {
	t.Helper()
	private, err := yk.PrivateKey(piv.SlotAuthentication, public, piv.KeyAuth{PIN: piv.DefaultPIN})
	if err != nil {
		t.Fatalf("opening the private key: %v", err)
	}
	signer := private.(crypto.Signer)
	switch public := public.(type) {
	case ed25519.PublicKey:
		signature, err := signer.Sign(nil, message, crypto.Hash(0))
		if err != nil || !ed25519.Verify(public, message, signature) {
			t.Fatalf("signature does not verify: %v", err)
		}
	case *ecdsa.PublicKey:
		digest := sha512.Sum384(message)
		signature, err := signer.Sign(nil, digest[:], crypto.SHA384)
		if err != nil || !ecdsa.VerifyASN1(public, digest[:], signature) {
			t.Fatalf("signature does not verify: %v", err)
		}
	}
}
