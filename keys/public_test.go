// Public keys that must be refused, and the second opinion of other implementations.

package keys_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/hex"
	"strings"
	"testing"

	paseto "aidanwoods.dev/go-paseto"
	"filippo.io/edwards25519"

	"github.com/cargo-regkey/regkey/keys"
)

// The eight points of small order in their canonical encodings (for instance in libsodium's
// documentation and in "Taming the many EdDSAs", table 1), in hex.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000", // order 1
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // 2
	"0000000000000000000000000000000000000000000000000000000000000000", // 4
	"0000000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // 8
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
}

func TestSmallOrderIsRefused(t *testing.T) {
	seen := make(map[string]bool)
	for _, text := range smallOrder {
		raw := unhex(t, text)
		point, err := new(edwards25519.Point).SetBytes(raw)
		if err != nil || new(edwards25519.Point).MultByCofactor(point).Equal(edwards25519.NewIdentityPoint()) != 1 {
			t.Fatalf("%s is no point of small order: the test is wrong", text)
		}
		seen[text] = true
		if _, err := keys.NewPublicKey(keys.Ed25519, raw); err == nil || !strings.Contains(err.Error(), "small order") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if len(seen) != 8 {
		t.Fatalf("%d different points instead of 8", len(seen))
	}
}

// TestNonCanonicalIsRefused tries all encodings of y ≥ p with both signs, and the two points with x
// = 0 with the sign that says otherwise. RFC 8032, section 5.1.3, refuses them; crypto/ed25519 does
// not.
func TestNonCanonicalIsRefused(t *testing.T) {
	encodings := [][]byte{
		unhex(t, "0100000000000000000000000000000000000000000000000000000000000080"),
		unhex(t, "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
	}
	for low := 0xed; low <= 0xff; low++ {
		for _, high := range []byte{0x7f, 0xff} {
			raw := bytes.Repeat([]byte{0xff}, 32)
			raw[0], raw[31] = byte(low), high
			encodings = append(encodings, raw)
		}
	}
	notCanonical := 0
	for _, raw := range encodings {
		_, err := keys.NewPublicKey(keys.Ed25519, raw)
		if err == nil {
			t.Errorf("%x is accepted", raw)
		} else if strings.Contains(err.Error(), "canonical") {
			notCanonical++
		}
	}
	if notCanonical == 0 {
		t.Error("no encoding was refused for not being canonical: the check is not reached")
	}
}

func TestBadP384PointsAreRefused(t *testing.T) {
	curve := elliptic.P384().Params()
	good := generate(t, keys.P384).Public().Bytes()
	offCurve := append([]byte(nil), good...)
	for {
		offCurve[48]++
		if x, _ := elliptic.UnmarshalCompressed(elliptic.P384(), offCurve); x == nil {
			break
		}
	}
	large := append([]byte{2}, curve.P.Bytes()...) // x = p, which is 0 to who reduces it
	x, y := elliptic.UnmarshalCompressed(elliptic.P384(), good)
	uncompressed := append([]byte{4}, append(x.FillBytes(make([]byte, 48)), y.FillBytes(make([]byte, 48))...)...)
	for name, raw := range map[string][]byte{
		"off the curve":         offCurve,
		"x not reduced":         large,
		"x of all ones":         append([]byte{3}, bytes.Repeat([]byte{0xff}, 48)...),
		"the identity":          {0},
		"the identity, padded":  make([]byte, 49),
		"uncompressed":          uncompressed,
		"uncompressed prefix":   append([]byte{4}, good[1:]...),
		"compact prefix":        append([]byte{5}, good[1:]...),
		"no prefix":             good[1:],
		"one byte short":        good[:48],
		"one byte long":         append(append([]byte(nil), good...), 0),
		"nothing":               nil,
		"another curve's point": unhex(t, "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
	} {
		if _, err := keys.NewPublicKey(keys.P384, raw); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for _, a := range []keys.Algorithm{0, 3, 255} {
		if _, err := keys.NewPublicKey(a, good); err == nil {
			t.Errorf("%v: a key is accepted", a)
		}
	}
	for _, size := range []int{0, 31, 33, 49} {
		if _, err := keys.NewPublicKey(keys.Ed25519, make([]byte, size)); err == nil {
			t.Errorf("ed25519: %d bytes are accepted", size)
		}
	}
}

func TestPublicKeyIsItsOwn(t *testing.T) {
	for _, a := range algorithms {
		key := generate(t, a).Public()
		raw := key.Bytes()
		again, err := keys.NewPublicKey(a, raw)
		if err != nil || again != key {
			t.Fatalf("%v: %v", a, err)
		}
		raw[1] ^= 1
		if again != key || !bytes.Equal(again.Bytes(), key.Bytes()) {
			t.Errorf("%v: changing the bytes given changes the key", a)
		}
		if key == generate(t, a).Public() {
			t.Errorf("%v: two keys are the same", a)
		}
	}
}

// TestKeysAgainstGoPaseto asks another implementation what the public half of a key is.
func TestKeysAgainstGoPaseto(t *testing.T) {
	for range 8 {
		key := generate(t, keys.Ed25519)
		v4, err := paseto.NewV4AsymmetricSecretKeyFromBytes(rawSecret(t, key))
		if err != nil {
			t.Fatal(err)
		}
		if got := v4.Public().ExportHex(); got != hex.EncodeToString(key.Public().Bytes()) {
			t.Errorf("v4: %s, want %x", got, key.Public().Bytes())
		}
		key = generate(t, keys.P384)
		v3, err := paseto.NewV3AsymmetricSecretKeyFromBytes(rawSecret(t, key))
		if err != nil {
			t.Fatal(err)
		}
		if got := v3.Public().ExportHex(); got != hex.EncodeToString(key.Public().Bytes()) {
			t.Errorf("v3: %s, want %x", got, key.Public().Bytes())
		}
	}
}
