// What keys cost, beside the bare algorithm of the standard library.

package keys_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha512"
	"math/big"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

var benchMessage = make([]byte, 400) // about the size of a publish token's PAE

func BenchmarkVerify(b *testing.B) {
	for _, a := range algorithms {
		key := generate(b, a)
		signature, err := keys.Sign(context.Background(), key, benchMessage)
		if err != nil {
			b.Fatal(err)
		}
		public := key.Public()
		b.Run(a.String(), func(b *testing.B) {
			for b.Loop() {
				if !public.Verify(benchMessage, signature) {
					b.Fatal("refused")
				}
			}
		})
		raw := rawVerify(b, public, signature)
		b.Run(a.String()+"-raw", func(b *testing.B) {
			for b.Loop() {
				if !raw() {
					b.Fatal("refused")
				}
			}
		})
	}
}

func rawVerify(b *testing.B, public keys.PublicKey, signature []byte) func() bool {
	if public.Algorithm() == keys.Ed25519 {
		point := ed25519.PublicKey(public.Bytes())
		return func() bool { return ed25519.Verify(point, benchMessage, signature) }
	}
	x, y := elliptic.UnmarshalCompressed(elliptic.P384(), public.Bytes())
	uncompressed := append([]byte{4}, append(x.FillBytes(make([]byte, 48)), y.FillBytes(make([]byte, 48))...)...)
	point, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), uncompressed)
	if err != nil {
		b.Fatal(err)
	}
	r, s := new(big.Int).SetBytes(signature[:48]), new(big.Int).SetBytes(signature[48:])
	return func() bool {
		digest := sha512.Sum384(benchMessage)
		return ecdsa.Verify(point, digest[:], r, s)
	}
}

func BenchmarkSign(b *testing.B) {
	for _, a := range algorithms {
		key := generate(b, a)
		b.Run(a.String(), func(b *testing.B) {
			for b.Loop() {
				if _, err := keys.Sign(context.Background(), key, benchMessage); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParsePublicKey(b *testing.B) {
	for _, a := range algorithms {
		text := generate(b, a).Public().String()
		b.Run(a.String(), func(b *testing.B) {
			for b.Loop() {
				if _, err := keys.ParsePublicKey(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	s, _ := newStore(b)
	mustCreate(b, s, "k", generate(b, keys.Ed25519), "")
	for b.Loop() {
		if _, err := s.Lookup("k"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnlock(b *testing.B) {
	for _, a := range algorithms {
		s, _ := newStore(b)
		mustCreate(b, s, "k", generate(b, a), "")
		b.Run(a.String(), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Unlock(context.Background(), "k", nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
