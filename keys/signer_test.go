// Signatures: published vectors, their one form, and signers that are wrong.

package keys_test

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math/big"
	"strings"
	"testing"

	paseto "aidanwoods.dev/go-paseto"

	"github.com/cargo-regkey/regkey/keys"
)

// RFC 8032, section 7.1, tests 1 to 3.
var rfc8032 = []struct{ seed, public, message, signature string }{
	{
		"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
		"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
		"",
		"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
	},
	{
		"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
		"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
		"72",
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
	},
	{
		"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
		"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
		"af82",
		"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
	},
}

func TestRFC8032(t *testing.T) {
	for _, v := range rfc8032 {
		key, err := keys.NewEd25519Key(keys.NewSecret(unhex(t, v.seed)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(key.Public().Bytes(), unhex(t, v.public)) {
			t.Errorf("public = %x, want %s", key.Public().Bytes(), v.public)
		}
		signature, err := keys.Sign(context.Background(), key, unhex(t, v.message))
		if err != nil || !bytes.Equal(signature, unhex(t, v.signature)) {
			t.Errorf("signature = %x, %v, want %s", signature, err, v.signature)
		}
	}
	for _, size := range []int{0, 31, 33, 64} {
		if _, err := keys.NewEd25519Key(keys.NewSecret(make([]byte, size))); err == nil {
			t.Errorf("a seed of %d bytes is accepted", size)
		}
	}
}

// RFC 6979, section A.2.6, with SHA-384. Both s given there are above n/2, so ours are n − s.
const rfc6979Key = "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5"

var rfc6979 = []struct{ message, r, s string }{
	{
		"sample",
		"94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46",
		"99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8",
	},
	{
		"test",
		"8203b63d3c853e8d77227fb377bcf7b7b772e97892a80f36ab775d509d7a5feb0542a7f0812998da8f1dd3ca3cf023db",
		"ddd0760448d42d8a43af45af836fce4de8be06b485e9b61b827c2f13173923e06a739f040649a667bf3b828246baa5a5",
	},
}

func TestRFC6979(t *testing.T) {
	text := "k3.secret." + base64.RawURLEncoding.EncodeToString(unhex(t, rfc6979Key))
	key, err := keys.ParseSoftwareKey(secret(text))
	if err != nil {
		t.Fatal(err)
	}
	n := elliptic.P384().Params().N
	for _, v := range rfc6979 {
		signature, err := keys.Sign(context.Background(), key, []byte(v.message))
		if err != nil {
			t.Fatal(err)
		}
		high := new(big.Int).SetBytes(unhex(t, v.s))
		want := append(unhex(t, v.r), new(big.Int).Sub(n, high).FillBytes(make([]byte, 48))...)
		if !bytes.Equal(signature, want) {
			t.Errorf("%q: signature = %x, want %x", v.message, signature, want)
		}
		twin := append(unhex(t, v.r), unhex(t, v.s)...)
		if !key.Public().Verify([]byte(v.message), twin) || key.Public().CanonicalSignature(twin) {
			t.Errorf("%q: the twin with the high s must verify and not be canonical", v.message)
		}
	}
}

func TestSignaturesHaveOneForm(t *testing.T) {
	half := new(big.Int).Rsh(elliptic.P384().Params().N, 1)
	for _, a := range algorithms {
		key := generate(t, a)
		for i := range 64 {
			message := bytes.Repeat([]byte{byte(i)}, i)
			first, err := keys.Sign(context.Background(), key, message)
			if err != nil {
				t.Fatal(err)
			}
			second, err := key.Sign(context.Background(), message)
			if err != nil || !bytes.Equal(first, second) {
				t.Fatalf("%v: two signatures of one message differ (%v)", a, err)
			}
			if len(first) != a.SignatureSize() || !key.Public().CanonicalSignature(first) {
				t.Fatalf("%v: %d bytes, canonical %v", a, len(first), key.Public().CanonicalSignature(first))
			}
			if a == keys.P384 && new(big.Int).SetBytes(first[48:]).Cmp(half) > 0 {
				t.Fatal("p384: s is above n/2")
			}
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	message := []byte("the message as it was signed")
	for _, a := range algorithms {
		key, other := generate(t, a), generate(t, a)
		good, err := keys.Sign(context.Background(), key, message)
		if err != nil {
			t.Fatal(err)
		}
		if other.Public().Verify(message, good) {
			t.Errorf("%v: another key verifies", a)
		}
		for i := range good {
			for bit := range 8 {
				bad := bytes.Clone(good)
				bad[i] ^= 1 << bit
				if key.Public().Verify(message, bad) {
					t.Errorf("%v: bit %d of byte %d does not matter", a, bit, i)
				}
			}
		}
		for i := range message {
			bad := bytes.Clone(message)
			bad[i] ^= 1
			if key.Public().Verify(bad, good) {
				t.Errorf("%v: byte %d of the message does not matter", a, i)
			}
		}
		for _, bad := range [][]byte{nil, good[1:], good[:len(good)-1], append(bytes.Clone(good), 0), make([]byte, len(good))} {
			if key.Public().Verify(message, bad) {
				t.Errorf("%v: %d wrong bytes verify", a, len(bad))
			}
		}
	}
	// S + L is the same number modulo L; strict verification (RFC 8032, section 5.1.7) refuses it.
	key := generate(t, keys.Ed25519)
	good, _ := key.Sign(context.Background(), message)
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	sum := new(big.Int).Add(new(big.Int).SetBytes(reversed(good[32:])), order)
	if key.Public().Verify(message, append(bytes.Clone(good[:32]), reversed(sum.FillBytes(make([]byte, 32)))...)) {
		t.Error("ed25519: S + L verifies")
	}
}

func reversed(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[len(b)-1-i] = b[i]
	}
	return out
}

type fakeSigner struct {
	public    keys.PublicKey
	signature []byte
	err       error
}

func (f fakeSigner) Public() keys.PublicKey                       { return f.public }
func (f fakeSigner) Sign(context.Context, []byte) ([]byte, error) { return f.signature, f.err }

func TestSignFindsFaultySigners(t *testing.T) {
	ctx, message := context.Background(), []byte("message")
	for _, a := range algorithms {
		key := generate(t, a)
		good, err := key.Sign(ctx, message)
		if err != nil {
			t.Fatal(err)
		}
		twin := bytes.Clone(good)
		if a == keys.P384 {
			s := new(big.Int).SetBytes(good[48:])
			s.Sub(elliptic.P384().Params().N, s).FillBytes(twin[48:])
		} else {
			twin[63] ^= 0x80
		}
		elsewhere, err := key.Sign(ctx, []byte("another message"))
		if err != nil {
			t.Fatal(err)
		}
		for name, signature := range map[string][]byte{
			"nothing": nil, "another message": elsewhere, "another form": twin, "too long": append(bytes.Clone(good), 0),
		} {
			if _, err := keys.Sign(ctx, fakeSigner{public: key.Public(), signature: signature}, message); err == nil {
				t.Errorf("%v: %s is handed out as a signature", a, name)
			}
		}
		if _, err := keys.Sign(ctx, fakeSigner{signature: good}, message); err == nil {
			t.Errorf("%v: a signer without a key is believed", a)
		}
		fault := errors.New("the device is gone")
		if _, err := keys.Sign(ctx, fakeSigner{public: key.Public(), err: fault}, message); !errors.Is(err, fault) {
			t.Errorf("%v: %v", a, err)
		}
		wrong := keys.UncheckedKey(key, generate(t, a).Public())
		if _, err := keys.Sign(ctx, wrong, message); err == nil || !strings.Contains(err.Error(), wrong.Public().ID().String()) {
			t.Errorf("%v: a key under another's name: %v", a, err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := keys.Sign(ended, key, message); !errors.Is(err, context.Canceled) {
			t.Errorf("%v: an ended context: %v", a, err)
		}
	}
	if _, err := keys.Generate(0); err == nil {
		t.Error("a key of no algorithm is generated")
	}
}

func TestSignatureFromDER(t *testing.T) {
	n := elliptic.P384().Params().N
	half := new(big.Int).Rsh(n, 1)
	one, big1 := big.NewInt(1), func(x *big.Int, d int64) *big.Int { return new(big.Int).Add(x, big.NewInt(d)) }
	der := func(r, s *big.Int) []byte {
		out, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, c := range map[string]struct{ r, s, wantS *big.Int }{
		"smallest":    {one, one, one},
		"largest low": {big1(n, -1), half, half},
		"lowest high": {one, big1(half, 1), half}, // n is odd: n − (⌊n/2⌋+1) = ⌊n/2⌋
		"largest":     {big1(n, -1), big1(n, -1), one},
	} {
		got, err := keys.SignatureFromDER(der(c.r, c.s))
		want := append(c.r.FillBytes(make([]byte, 48)), c.wantS.FillBytes(make([]byte, 48))...)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x, %v, want %x", name, got, err, want)
		}
	}
	good := der(one, one) // 30 06 02 01 01 02 01 01
	for name, bad := range map[string][]byte{
		"nothing":          nil,
		"r is zero":        der(big.NewInt(0), one),
		"s is zero":        der(one, big.NewInt(0)),
		"r is negative":    der(big.NewInt(-1), one),
		"s is negative":    der(one, big.NewInt(-1)),
		"r is n":           der(n, one),
		"s is n":           der(one, n),
		"r is huge":        der(new(big.Int).Lsh(one, 4096), one),
		"trailing byte":    append(bytes.Clone(good), 0),
		"third integer":    {0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1},
		"one integer":      {0x30, 3, 2, 1, 1},
		"padded integer":   {0x30, 7, 2, 2, 0, 1, 2, 1, 1},
		"empty integer":    {0x30, 5, 2, 0, 2, 1, 1},
		"long-form length": {0x30, 0x81, 6, 2, 1, 1, 2, 1, 1},
		"indefinite":       {0x30, 0x80, 2, 1, 1, 2, 1, 1, 0, 0},
		"set":              append([]byte{0x31}, good[1:]...),
		"raw r‖s":          make([]byte, 96),
	} {
		if _, err := keys.SignatureFromDER(bad); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for i := range good {
		if _, err := keys.SignatureFromDER(good[:i]); err == nil {
			t.Errorf("the first %d bytes are accepted", i)
		}
	}
}

// TestSignaturesAgainstGoPaseto exchanges whole tokens with another implementation, both ways.
func TestSignaturesAgainstGoPaseto(t *testing.T) {
	ctx, payload := context.Background(), []byte(`{"data":"x"}`)
	for _, a := range algorithms {
		header := map[keys.Algorithm]string{keys.Ed25519: "v4.public.", keys.P384: "v3.public."}[a]
		key := generate(t, a)
		pae := func(message []byte) []byte {
			pieces := [][]byte{[]byte(header), message, nil, nil}
			if a == keys.P384 {
				pieces = append([][]byte{key.Public().Bytes()}, pieces...)
			}
			return preAuth(pieces)
		}
		signature, err := keys.Sign(ctx, key, pae(payload))
		if err != nil {
			t.Fatal(err)
		}
		ours := header + base64.RawURLEncoding.EncodeToString(append(bytes.Clone(payload), signature...))
		theirs := readAndMint(t, a, key, ours)
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(theirs, header))
		if err != nil {
			t.Fatal(err)
		}
		message, signature := raw[:len(raw)-a.SignatureSize()], raw[len(raw)-a.SignatureSize():]
		if !key.Public().Verify(pae(message), signature) {
			t.Errorf("%v: go-paseto's signature does not verify", a)
		}
	}
}

// readAndMint has go-paseto verify a token and mint one of its own with the same key.
func readAndMint(t *testing.T, a keys.Algorithm, key *keys.SoftwareKey, token string) string {
	t.Helper()
	reader := paseto.NewParserWithoutExpiryCheck()
	minted := paseto.NewToken()
	minted.SetString("data", "y")
	if a == keys.Ed25519 {
		theirs, err := paseto.NewV4AsymmetricSecretKeyFromBytes(rawSecret(t, key))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reader.ParseV4Public(theirs.Public(), token, nil); err != nil {
			t.Errorf("go-paseto refuses our v4 signature: %v", err)
		}
		return minted.V4Sign(theirs, nil)
	}
	theirs, err := paseto.NewV3AsymmetricSecretKeyFromBytes(rawSecret(t, key))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.ParseV3Public(theirs.Public(), token, nil); err != nil {
		t.Errorf("go-paseto refuses our v3 signature: %v", err)
	}
	return minted.V3Sign(theirs, nil)
}

// preAuth is PASETO's pre-authentication encoding.
func preAuth(pieces [][]byte) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(pieces)))
	for _, piece := range pieces {
		out = append(binary.LittleEndian.AppendUint64(out, uint64(len(piece))), piece...)
	}
	return out
}

// rawSecret is the key behind the PASERK: seed ‖ public key, or the scalar.
func rawSecret(t testing.TB, key *keys.SoftwareKey) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(string(key.Secret().Reveal())[len("k4.secret."):])
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
