// How much the token adds to the signature. Raw and whole run in turns, so that both see the same machine.

package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha512"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// besides runs raw and whole in turns and reports the ratio of their medians as "x-raw".
func besides(b *testing.B, raw, whole func()) {
	var raws, wholes []time.Duration
	timed := func(f func()) time.Duration { start := time.Now(); f(); return time.Since(start) }
	b.ReportAllocs()
	for b.Loop() {
		raws = append(raws, timed(raw))
		wholes = append(wholes, timed(whole))
	}
	median := func(all []time.Duration) float64 { slices.Sort(all); return float64(all[len(all)/2]) }
	b.ReportMetric(median(raws), "raw-ns")
	b.ReportMetric(median(wholes), "token-ns")
	b.ReportMetric(median(wholes)/median(raws), "x-raw")
}

func BenchmarkVerify(b *testing.B) {
	for _, a := range []keys.Algorithm{keys.Ed25519, keys.P384} {
		b.Run(a.String(), func(b *testing.B) {
			public := testKey(b, a).Public()
			text := mustMint(b, a, publishRequest)
			tok, err := Verify(text, public)
			if err != nil {
				b.Fatal(err)
			}
			besides(b, rawVerify(b, public, tok), func() {
				if _, err := Verify(text, public); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// rawVerify is the signature check of the standard library alone, on keys and numbers made ready.
func rawVerify(b *testing.B, public keys.PublicKey, tok *Token) func() {
	m := message(public, tok.payload, tok.footer)
	if public.Algorithm() == keys.Ed25519 {
		raw := ed25519.PublicKey(public.Bytes())
		return func() {
			if !ed25519.Verify(raw, m, tok.signature) {
				b.Fatal("raw verification fails")
			}
		}
	}
	x, y := elliptic.UnmarshalCompressed(elliptic.P384(), public.Bytes())
	point := append([]byte{4}, append(x.FillBytes(make([]byte, 48)), y.FillBytes(make([]byte, 48))...)...)
	raw, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), point)
	if err != nil {
		b.Fatal(err)
	}
	r, s := new(big.Int).SetBytes(tok.signature[:48]), new(big.Int).SetBytes(tok.signature[48:])
	return func() {
		digest := sha512.Sum384(m)
		if !ecdsa.Verify(raw, digest[:], r, s) {
			b.Fatal("raw verification fails")
		}
	}
}

// Minting signs and then verifies, so it is compared with both together.
func BenchmarkMint(b *testing.B) {
	for _, a := range []keys.Algorithm{keys.Ed25519, keys.P384} {
		b.Run(a.String(), func(b *testing.B) {
			key := testKey(b, a)
			tok, err := Parse(mustMint(b, a, publishRequest))
			if err != nil {
				b.Fatal(err)
			}
			sign, verify := rawSign(b, key, tok), rawVerify(b, key.Public(), tok)
			besides(b, func() { sign(); verify() }, func() {
				if _, err := Mint(b.Context(), key, publishRequest, testTime); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// rawSign is the signature of the standard library alone.
func rawSign(b *testing.B, key *keys.SoftwareKey, tok *Token) func() {
	m := message(key.Public(), tok.payload, tok.footer)
	secret, err := base64url.DecodeString(string(key.Secret().Reveal())[len("k4.secret."):])
	if err != nil {
		b.Fatal(err)
	}
	if key.Public().Algorithm() == keys.Ed25519 {
		return func() { ed25519.Sign(secret, m) }
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), secret)
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		digest := sha512.Sum384(m)
		if _, err := private.Sign(nil, digest[:], crypto.SHA384); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	text := mustMint(b, keys.Ed25519, publishRequest)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

// A read token that was verified before, as in a build with hundreds of requests.
func BenchmarkAuthenticateRead(b *testing.B) {
	v, _ := newVerifier(b)
	text := mustMint(b, keys.P384, readRequest)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Authenticate(b.Context(), text, Read, testTime); err != nil {
			b.Fatal(err)
		}
	}
}
