// Many signatures at once: each judged as it would be alone.

package keys_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"filippo.io/edwards25519"

	"github.com/cargo-regkey/regkey/keys"
)

// alone is what FirstBad must say.
func alone(checks []keys.Check, by []keys.PublicKey) int {
	for i, c := range checks {
		if !by[i].Verify(c.Message, c.Signature) {
			return i
		}
	}
	return len(checks)
}

// Among good signatures of several keys one stands that is changed somewhere, at each place.
func TestFirstBad(t *testing.T) {
	var checks []keys.Check
	for i := range 18 {
		key := generate(t, algorithms[i%9/8])
		verifier := key.Public().Verifier()
		for n := range 2 {
			message := bytes.Repeat([]byte{byte(i)}, i+n)
			signature, err := keys.Sign(t.Context(), key, message)
			if err != nil {
				t.Fatal(err)
			}
			checks = append(checks, keys.Check{By: verifier, Message: message, Signature: signature})
		}
	}
	if got := keys.FirstBad(checks); got != len(checks) {
		t.Fatalf("a good signature, number %d, is refused", got)
	}
	if keys.FirstBad(nil) != 0 {
		t.Error("of no checks one fails")
	}
	for i := range checks {
		for _, spoil := range []func(*keys.Check){
			func(c *keys.Check) { c.Signature = nil },
			func(c *keys.Check) { c.Signature = c.Signature[1:] },
			func(c *keys.Check) { c.Signature[rand.N(len(c.Signature))] ^= 1 << rand.N(8) },
			func(c *keys.Check) { c.Message = append(c.Message, 0) },
			func(c *keys.Check) { c.By = checks[(i+2)%len(checks)].By },
			func(c *keys.Check) { c.By = keys.PublicKey{}.Verifier() },
		} {
			before := checks[i]
			checks[i].Signature = bytes.Clone(before.Signature)
			if spoil(&checks[i]); keys.FirstBad(checks) != i {
				t.Errorf("check %d is spoiled, and %d is found", i, keys.FirstBad(checks))
			}
			if last := len(checks) - 1; i < last { // a later one that is bad too is not the first
				later := checks[last]
				if checks[last].Signature = nil; i%5 == 0 && keys.FirstBad(checks) != i {
					t.Errorf("checks %d and %d are spoiled, and %d is found", i, last, keys.FirstBad(checks))
				}
				checks[last] = later
			}
			checks[i] = before
		}
	}
}

// torsion are encodings of points whose order divides 8, some of them not canonical.
var torsion = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

// Signatures that the holder of a key makes so that verifiers disagree: R, A or both have a part of small
// order, or R is encoded otherwise. What crypto/ed25519 says of each alone holds for all at once.
func TestFirstBadOfTwistedSignatures(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	h := sha512.Sum512(seed)
	secret, _ := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	message := []byte("twisted")
	said := map[bool]int{}
	for _, a := range append([]string{""}, torsion[:8]...) {
		public := new(edwards25519.Point).ScalarBaseMult(secret)
		if a != "" {
			public.Add(public, point(t, a))
		}
		key, err := keys.NewPublicKey(keys.Ed25519, public.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for n := range byte(16) {
			for _, r := range torsion {
				nonce, _ := edwards25519.NewScalar().SetUniformBytes(bytes.Repeat([]byte{n}, 64))
				commitment := new(edwards25519.Point).ScalarBaseMult(nonce)
				commitment.Add(commitment, point(t, r))
				for _, encoded := range [][]byte{commitment.Bytes(), decoded(t, r)} {
					signature := twisted(secret, nonce, encoded, public.Bytes(), message)
					check := keys.Check{By: key.Verifier(), Message: message, Signature: signature}
					good := key.Verify(message, signature)
					if got := keys.FirstBad([]keys.Check{check}) == 1; got != good {
						t.Errorf("A with %q, R with %q: %v alone, %v among others", a, r, good, got)
					}
					said[good]++
				}
			}
		}
	}
	if said[true] == 0 || said[false] == 0 {
		t.Errorf("nothing was compared: %v", said)
	}
}

// twisted is the signature with S = nonce + H(R, A, M) · secret, whatever R and A are.
func twisted(secret, nonce *edwards25519.Scalar, r, public, message []byte) []byte {
	h := sha512.Sum512(append(append(bytes.Clone(r), public...), message...))
	k, _ := edwards25519.NewScalar().SetUniformBytes(h[:])
	return append(bytes.Clone(r), edwards25519.NewScalar().MultiplyAdd(k, secret, nonce).Bytes()...)
}

func decoded(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func point(t testing.TB, text string) *edwards25519.Point {
	t.Helper()
	p, err := new(edwards25519.Point).SetBytes(decoded(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Any bytes as a signature are judged alike.
func FuzzFirstBad(f *testing.F) {
	key, err := keys.NewEd25519Key(keys.NewSecret(bytes.Repeat([]byte{7}, ed25519.SeedSize)))
	if err != nil {
		f.Fatal(err)
	}
	good, err := keys.Sign(f.Context(), key, []byte("message"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("message"), good)
	for _, r := range torsion {
		f.Add([]byte("message"), append(decoded(f, r), good[32:]...))
	}
	verifier := key.Public().Verifier()
	f.Fuzz(func(t *testing.T, message, signature []byte) {
		checks := []keys.Check{
			{By: verifier, Message: []byte("message"), Signature: good},
			{By: verifier, Message: message, Signature: signature},
		}
		if got, want := keys.FirstBad(checks), alone(checks, []keys.PublicKey{key.Public(), key.Public()}); got != want {
			t.Fatalf("the first bad one is %d, and alone it is %d", got, want)
		}
	})
}
