// Tests of keys: generating, importing, signing, and the policies of PIN and touch.

package virtualpiv

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha512"
	"testing"
	"time"
)

var (
	longMessage = bytes.Repeat([]byte("a long message "), 60)
	digest      = sha512.Sum384(longMessage)
)

// verifies checks a signature under the point of a slot.
func verifies(t *testing.T, algorithm byte, point, message, signature []byte) bool {
	t.Helper()
	if algorithm == AlgorithmEd25519 {
		return ed25519.Verify(point, message, signature)
	}
	curve := elliptic.P256()
	if algorithm == AlgorithmP384 {
		curve = elliptic.P384()
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		t.Fatal(err)
	}
	return ecdsa.VerifyASN1(public, message, signature)
}

func TestGenerateAndSign(t *testing.T) {
	for _, c := range []struct {
		name      string
		algorithm byte
		message   []byte
	}{
		{"P-256", AlgorithmP256, digest[:32]},
		{"P-384", AlgorithmP384, digest[:]},
		{"Ed25519", AlgorithmEd25519, longMessage},
		{"Ed25519, empty", AlgorithmEd25519, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := take(t, v574)
			point := u.generate(0x82, c.algorithm, PINOnce, Never)
			u.signed(statusSecurity, 0x82, c.algorithm, c.message)
			u.login(statusOK, "123456")
			if !verifies(t, c.algorithm, point, c.message, u.signed(statusOK, 0x82, c.algorithm, c.message)) {
				t.Error("signature does not verify")
			}
			u.signed(statusBadData, 0x83, c.algorithm, c.message)
			u.signed(statusBadData, 0x82, 0x07, c.message)
			if c.algorithm == AlgorithmP384 {
				u.signed(statusBadData, 0x82, c.algorithm, make([]byte, 49))
			}
		})
	}
}

func TestGenerateIsRefused(t *testing.T) {
	body := func(tags ...byte) []byte { return appendTLV(nil, 0xac, tags) }
	u := take(t, v543)
	u.want(statusSecurity, insGenerate, 0, 0x9a, body(0x80, 1, AlgorithmP384))
	u.admin()
	u.want(statusBadParameters, insGenerate, 0, 0x9b, body(0x80, 1, AlgorithmP384))
	u.want(statusBadParameters, insGenerate, 0, 0x96, body(0x80, 1, AlgorithmP384))
	u.want(statusBadData, insGenerate, 0, 0x9a, body(0x80, 1, AlgorithmEd25519))
	u.want(statusBadData, insGenerate, 0, 0x9a, body(0x80, 1, 0x07))
	u.want(statusBadData, insGenerate, 0, 0x9a, body(0x80, 1, AlgorithmP384, tagPINPolicy, 1, 4))
	u.want(statusBadData, insGenerate, 0, 0x9a, []byte{0xac, 5, 1})
	if len(u.card.Slots()) != 0 {
		t.Error("a refused command made a key")
	}
	u.want(statusOK, insGenerate, 0, 0x9c, body(0x80, 1, AlgorithmP384))
	u.want(statusOK, insGenerate, 0, 0x9e, body(0x80, 1, AlgorithmP384, tagPINPolicy, 1, 0))
	slots := u.card.Slots()
	if len(slots) != 2 || slots[0].PIN != PINAlways || slots[1].PIN != Never || slots[0].Touch != Never {
		t.Errorf("defaults of slots: %+v", slots)
	}
}

func TestPINPolicies(t *testing.T) {
	u := take(t, v574)
	u.generate(0x9a, AlgorithmEd25519, Never, Never)
	u.generate(0x9c, AlgorithmEd25519, PINAlways, Never)
	u.generate(0x9d, AlgorithmEd25519, PINOnce, Never)
	u.signed(statusOK, 0x9a, AlgorithmEd25519, digest[:])
	u.login(statusOK, "123456")
	u.signed(statusOK, 0x9d, AlgorithmEd25519, digest[:])
	u.signed(statusOK, 0x9d, AlgorithmEd25519, digest[:])
	u.signed(statusSecurity, 0x9c, AlgorithmEd25519, digest[:])
	u.login(statusOK, "123456")
	// A message in several parts is still the command right after the PIN.
	u.signed(statusOK, 0x9c, AlgorithmEd25519, longMessage)
	u.signed(statusSecurity, 0x9c, AlgorithmEd25519, digest[:])
	u.login(statusOK, "123456")
	u.want(statusOK, insVersion, 0, 0, nil)
	u.signed(statusSecurity, 0x9c, AlgorithmEd25519, digest[:])
}

func TestTouchPolicies(t *testing.T) {
	u := take(t, v574)
	u.generate(0x9a, AlgorithmEd25519, Never, TouchAlways)
	u.generate(0x9d, AlgorithmEd25519, Never, TouchCached)
	sign := func(status uint16, slot byte, asked int) {
		t.Helper()
		u.asked = 0
		u.signed(status, slot, AlgorithmEd25519, digest[:])
		if u.asked != asked {
			t.Errorf("the finger was asked %d times, want %d", u.asked, asked)
		}
	}
	sign(statusOK, 0x9a, 1)
	sign(statusOK, 0x9a, 1)
	sign(statusOK, 0x9d, 1)
	u.now = u.now.Add(14 * time.Second)
	sign(statusOK, 0x9d, 0)
	u.now = u.now.Add(time.Second)
	u.finger = false
	before := u.now
	sign(statusSecurity, 0x9d, 1)
	if waited := u.now.Sub(before); waited != TouchWait {
		t.Errorf("the card waited %v", waited)
	}
	u.finger = true
	sign(statusOK, 0x9d, 1)
	u.card.Reset()
	u.selectPIV()
	sign(statusOK, 0x9d, 1)
}

func TestCardCanBeSeenWhileItWaitsForAFinger(t *testing.T) {
	u := take(t, v574)
	u.generate(0x9a, AlgorithmEd25519, Never, TouchAlways)
	tries := -1
	u.card.SetFinger(func() bool { tries = u.card.PINTries(); return true })
	u.signed(statusOK, 0x9a, AlgorithmEd25519, digest[:])
	if tries != 3 {
		t.Errorf("%d tries seen from the finger", tries)
	}
}

func TestImport(t *testing.T) {
	u := take(t, v574)
	u.admin()
	seed := bytes.Repeat([]byte{9}, 32)
	policies := []byte{tagPINPolicy, 1, byte(Never), tagTouchPolicy, 1, byte(Never)}
	u.want(statusBadData, insImport, AlgorithmEd25519, 0x82, append(appendTLV(nil, 0x07, seed[:31]), policies...))
	u.want(statusBadData, insImport, AlgorithmP256, 0x82, append(appendTLV(nil, 0x06, bytes.Repeat([]byte{0xff}, 32)), policies...))
	u.want(statusOK, insImport, AlgorithmEd25519, 0x82, append(appendTLV(nil, 0x07, seed), policies...))
	point := []byte(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
	if !verifies(t, AlgorithmEd25519, point, digest[:], u.signed(statusOK, 0x82, AlgorithmEd25519, digest[:])) {
		t.Error("signature does not verify")
	}
	u.want(statusBadData, insAttest, 0x82, 0, nil)
	if slots := u.card.Slots(); len(slots) != 1 || slots[0].Generated {
		t.Errorf("slots %+v", slots)
	}
}

func TestMoveAndDelete(t *testing.T) {
	u := take(t, v574)
	u.want(statusSecurity, insMoveKey, 0x83, 0x82, nil)
	point := u.generate(0x82, AlgorithmP384, Never, Never)
	u.want(statusOK, insMoveKey, 0x83, 0x82, nil)
	u.want(statusNoReference, insMoveKey, 0x83, 0x82, nil)
	if !verifies(t, AlgorithmP384, point, digest[:], u.signed(statusOK, 0x83, AlgorithmP384, digest[:])) {
		t.Error("the moved key signs otherwise")
	}
	u.generate(0x82, AlgorithmP384, Never, Never)
	u.want(statusBadData, insMoveKey, 0x83, 0x82, nil)
	u.want(statusOK, insMoveKey, 0xff, 0x82, nil)
	if slots := u.card.Slots(); len(slots) != 1 || slots[0].Reference != 0x83 {
		t.Errorf("slots %+v", slots)
	}
	take(t, v543).want(statusUnknown, insMoveKey, 0x83, 0x82, nil)
}
