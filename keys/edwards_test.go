// Our Ed25519 signing against crypto/ed25519: the same bytes, always.

package keys_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

// RFC 8032, section 7.1, tests 1 to 3.
func TestEd25519SigningVectors(t *testing.T) {
	for _, vector := range []struct{ seed, message, signature string }{
		{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "",
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
		{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72",
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
		{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82",
			"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
	} {
		seed, err1 := hex.DecodeString(vector.seed)
		message, err2 := hex.DecodeString(vector.message)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		key, err := keys.NewEd25519Key(keys.NewSecret(seed))
		if err != nil {
			t.Fatal(err)
		}
		signature, err := key.Sign(t.Context(), message)
		if err != nil || hex.EncodeToString(signature) != vector.signature {
			t.Errorf("signature is %x, %v instead of %s", signature, err, vector.signature)
		}
	}
}

func TestEd25519SigningIsTheStandardLibrarys(t *testing.T) {
	seed, message := make([]byte, ed25519.SeedSize), make([]byte, 300)
	for i := range 300 {
		// Random keys, and the two that are nothing but zeros or ones.
		switch i {
		case 0:
		case 1:
			copy(seed, bytes.Repeat([]byte{0xff}, len(seed)))
		default:
			_, _ = rand.Read(seed)
		}
		_, _ = rand.Read(message)
		private := ed25519.NewKeyFromSeed(seed)
		made, err := keys.NewEd25519Key(keys.NewSecret(seed))
		if err != nil {
			t.Fatal(err)
		}
		// Parsing derives the public key too, and must come to the same.
		key, err := keys.ParseSoftwareKey(made.Secret())
		if err != nil {
			t.Fatal(err)
		}
		want := ed25519.Sign(private, message[:i])
		signature, err := key.Sign(t.Context(), message[:i])
		if err != nil || !bytes.Equal(signature, want) {
			t.Fatalf("signature is %x, %v instead of %x, by the seed %x", signature, err, want, seed)
		}
	}
}
