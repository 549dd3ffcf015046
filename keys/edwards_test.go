// Our Ed25519 signing against crypto/ed25519: the same bytes, always. RFC 8032 itself is in signer_test.go.

package keys_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

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
