// Warming, beside real use, and that it reaches what it is for.

package keys_test

import (
	"bytes"
	"context"
	"testing"

	"filippo.io/edwards25519"

	"github.com/cargo-regkey/regkey/keys"
)

func TestWarm(t *testing.T) {
	// Verifying with what is no point ends before any table is made.
	if !bytes.Equal(keys.Ed25519BasePoint(), edwards25519.NewGeneratorPoint().Bytes()) {
		t.Error("the dummy public key is not the base point")
	}
	for _, a := range append(algorithms, 0) {
		keys.Warm(a)
	}
	for _, a := range algorithms {
		if _, err := keys.Sign(context.Background(), generate(t, a), []byte("message")); err != nil {
			t.Errorf("%v: %v", a, err)
		}
	}
}
