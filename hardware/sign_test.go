//go:build cgo && linux

// Making keys and signing with them, on each firmware, under each policy.

package hardware

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/hardware/attestation"
	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/keys"
)

var longMessage = []byte(strings.Repeat("a message that takes several commands; ", 20))

func roots() []*x509.Certificate {
	return []*x509.Certificate{virtualpiv.Root(), virtualpiv.Intermediate()}
}

func TestGenerateAndSign(t *testing.T) {
	for _, firmware := range firmwares {
		for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.P384} {
			for _, pin := range []PINPolicy{PINOnce, PINAlways, PINNever} {
				for _, touch := range []TouchPolicy{TouchAlways, TouchCached, TouchNever} {
					t.Run(fmt.Sprintf("%v %v %v %v", firmware, algorithm, pin, touch), func(t *testing.T) {
						generateAndSign(t, firmware, GenerateOptions{Algorithm: algorithm, PIN: pin, Touch: touch, PINSecret: secret(pin123)})
					})
				}
			}
		}
	}
}

func generateAndSign(t *testing.T, firmware [3]byte, o GenerateOptions) {
	card, _ := insert(t, virtualpiv.Options{Firmware: firmware})
	token := open(t, testSerial)
	key, err := token.Generate(t.Context(), o)
	if o.Algorithm == keys.Ed25519 && firmware[1] < 7 {
		if err == nil || len(card.Slots()) != 0 {
			t.Fatalf("made a key of an algorithm that the token doesn't have: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatalf("generating: %v", err)
	}
	facts, err := attestation.Verify(key.Attestation, roots(), time.Now())
	if err != nil || facts.Public != key.Public || facts.Serial != testSerial || facts.Slot != 0x9a || facts.PIN != o.PIN || facts.Touch != o.Touch {
		t.Fatalf("attestation: %+v, %v", facts, err)
	}
	p := &person{pin: pin123}
	signer := token.Signer(key, p)
	for range 2 {
		if _, err := keys.Sign(t.Context(), signer, longMessage); err != nil {
			t.Fatalf("signing: %v", err)
		}
	}
	want := map[PINPolicy]int{PINOnce: 0, PINAlways: 2, PINNever: 0}[o.PIN]
	if len(p.asked) != want || p.touches != p.done || card.PINTries() != 3 {
		t.Errorf("the PIN was asked for %d times, %d tries are left; %d touches were told, %d taken away", len(p.asked), card.PINTries(), p.touches, p.done)
	}
	if err := token.Close(); err != nil || card.Verified() || card.Managed() {
		t.Errorf("closed: %v; PIN verified: %v; management key: %v", err, card.Verified(), card.Managed())
	}
}
