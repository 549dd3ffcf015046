//go:build cgo && linux

// What goes wrong, as piv-go and libpcsclite report it: every fault, sharing, removal.

package pcsc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha512"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
)

// sign signs with slot 9a under PIN policy once.
func sign(yk *piv.YubiKey, public crypto.PublicKey, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	private, err := yk.PrivateKey(piv.SlotAuthentication, public, piv.KeyAuth{PIN: piv.DefaultPIN, PINPolicy: piv.PINPolicyOnce})
	if err != nil {
		return nil, err
	}
	return private.(crypto.Signer).Sign(nil, message, opts)
}

// status is the status word in an error of piv-go.
func status(err error) uint16 {
	var e interface{ Status() uint16 }
	if errors.As(err, &e) {
		return e.Status()
	}
	return 0
}

func TestFaultySignaturesArrive(t *testing.T) {
	message := []byte(strings.Repeat("publish foo 1.2.3 ", 30))
	digest := sha512.Sum384(message)
	for _, kind := range []virtualpiv.FaultKind{virtualpiv.WrongLength, virtualpiv.TruncatedMessage, virtualpiv.WrongSignature} {
		t.Run(string(kind), func(t *testing.T) {
			card, name := insert(t, virtualpiv.Options{})
			yk := open(t, name)
			public := generate(t, yk, piv.PINPolicyOnce, piv.TouchPolicyNever)
			card.Order(virtualpiv.Fault{Kind: kind})
			bad, err := sign(yk, public, digest[:], crypto.SHA384)
			if err != nil || ecdsa.VerifyASN1(public, digest[:], bad) {
				t.Errorf("P-384: a good signature, or %v", err)
			}
			other, err := yk.GenerateKey(piv.DefaultManagementKey, piv.SlotAuthentication, piv.Key{
				Algorithm: piv.AlgorithmEd25519, PINPolicy: piv.PINPolicyOnce, TouchPolicy: piv.TouchPolicyNever,
			})
			if err != nil {
				t.Fatal(err)
			}
			card.Order(virtualpiv.Fault{Kind: kind})
			bad, err = sign(yk, other, message, crypto.Hash(0))
			if err != nil || ed25519.Verify(other.(ed25519.PublicKey), message, bad) {
				t.Errorf("Ed25519: a good signature, or %v", err)
			}
			good, err := sign(yk, other, message, crypto.Hash(0))
			if err != nil || !ed25519.Verify(other.(ed25519.PublicKey), message, good) {
				t.Errorf("the fault struck twice: %v", err)
			}
		})
	}
}

func TestTouchThatNeverComes(t *testing.T) {
	card, name := insert(t, virtualpiv.Options{})
	yk := open(t, name)
	public := generate(t, yk, piv.PINPolicyOnce, piv.TouchPolicyAlways)
	digest := sha512.Sum384(nil)
	card.SetFinger(func() bool { return false })
	if _, err := sign(yk, public, digest[:], crypto.SHA384); status(err) != 0x6982 {
		t.Errorf("no finger: %v", err)
	}
	card.SetFinger(nil)
	if _, err := sign(yk, public, digest[:], crypto.SHA384); err != nil {
		t.Errorf("a finger: %v", err)
	}
	card.Order(virtualpiv.Fault{Kind: virtualpiv.TouchTimeout})
	if _, err := sign(yk, public, digest[:], crypto.SHA384); status(err) != 0x6982 {
		t.Errorf("the fault: %v", err)
	}
	if card.PINTries() != 3 {
		t.Errorf("%d tries left", card.PINTries())
	}
}

func TestBlockedPINAndEmptyMetadata(t *testing.T) {
	card, name := insert(t, virtualpiv.Options{})
	yk := open(t, name)
	card.Order(virtualpiv.Fault{Kind: virtualpiv.BlockedPIN})
	if err := yk.VerifyPIN(piv.DefaultPIN); status(err) != 0x6983 {
		t.Errorf("blocked: %v", err)
	}
	card.Order(virtualpiv.Fault{Kind: virtualpiv.EmptyMetadata})
	defer func() {
		if recover() == nil {
			t.Error("piv-go reads an empty answer now: the product's guard has lost its reason")
		}
	}()
	_ = yk.SetManagementKey(piv.DefaultManagementKey, piv.DefaultManagementKey)
}

func TestPulledOutInTheMiddle(t *testing.T) {
	for _, kind := range []virtualpiv.FaultKind{virtualpiv.PulledBefore, virtualpiv.PulledAfter} {
		t.Run(string(kind), func(t *testing.T) {
			card, name := insert(t, virtualpiv.Options{})
			yk := open(t, name)
			card.Order(virtualpiv.Fault{Kind: kind, Instruction: 0x47})
			_, err := yk.GenerateKey(piv.DefaultManagementKey, piv.SlotAuthentication, piv.Key{
				Algorithm: piv.AlgorithmEC384, PINPolicy: piv.PINPolicyOnce, TouchPolicy: piv.TouchPolicyNever,
			})
			if err == nil || !strings.Contains(err.Error(), "transact") {
				t.Errorf("generating: %v", err)
			}
			if _, err := yk.Serial(); err == nil {
				t.Error("a token that is gone told its serial number")
			}
			_ = yk.Close()
			if readers, err := piv.Cards(); err != nil || len(readers) != 0 {
				t.Errorf("readers %v, %v", readers, err)
			}
			daemon.Insert(name, card)
			if _, err := open(t, name).Serial(); err != nil {
				t.Errorf("plugged in again: %v", err)
			}
			if made := len(card.Slots()) == 1; made != (kind == virtualpiv.PulledAfter) {
				t.Errorf("key made: %v", made)
			}
		})
	}
}

func TestSharing(t *testing.T) {
	card, name := insert(t, virtualpiv.Options{})
	daemon.Occupy(name, 2)
	for range 2 {
		if _, err := piv.Open(name); err == nil || !strings.Contains(err.Error(), "sharing") && !strings.Contains(err.Error(), "other connections") {
			t.Fatalf("occupied: %v", err)
		}
	}
	yk, err := piv.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := piv.Open(name); err == nil {
		t.Error("opened twice, though the first is exclusive")
	}
	if err := yk.VerifyPIN(piv.DefaultPIN); err != nil {
		t.Fatal(err)
	}
	if err := yk.Close(); err != nil {
		t.Fatal(err)
	}
	if !card.Verified() {
		t.Error("closing without a reset ended the PIN's status")
	}
	daemon.PowerDown(name)
	if card.Verified() || daemon.Open(name) != 0 {
		t.Error("the card kept its state without power")
	}
	open(t, name)
}

func TestManyReadersAtOnce(t *testing.T) {
	var names []string
	for _, f := range firmwares {
		card := virtualpiv.New(virtualpiv.Options{Firmware: f.version, Serial: uint32(f.version[1])})
		name := "Yubico YubiKey CCID " + f.name
		daemon.Insert(name, card)
		t.Cleanup(func() { daemon.Remove(name) })
		names = append(names, name)
	}
	listed, err := piv.Cards()
	if err != nil || strings.Join(listed, "|") != strings.Join(names, "|") {
		t.Fatalf("readers %q, %v", listed, err)
	}
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() {
			for range 5 {
				yk, err := piv.Open(name)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := yk.Serial(); err != nil {
					t.Error(err)
				}
				if err := yk.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkSignEd25519(b *testing.B) {
	card := virtualpiv.New(virtualpiv.Options{})
	daemon.Insert(b.Name(), card)
	defer daemon.Remove(b.Name())
	yk, err := piv.Open(b.Name())
	if err != nil {
		b.Fatal(err)
	}
	public, err := yk.GenerateKey(piv.DefaultManagementKey, piv.SlotAuthentication, piv.Key{
		Algorithm: piv.AlgorithmEd25519, PINPolicy: piv.PINPolicyOnce, TouchPolicy: piv.TouchPolicyNever,
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := yk.Close(); err != nil {
		b.Fatal(err)
	}
	card.ClearLog()
	for b.Loop() {
		yk, err := piv.Open(b.Name())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := sign(yk, public, make([]byte, 200), crypto.Hash(0)); err != nil {
			b.Fatal(err)
		}
		if err := yk.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(card.Log()))/float64(b.N), "APDUs/op")
}
