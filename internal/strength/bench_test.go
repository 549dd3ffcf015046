// What judging costs, as it happens while a person waits: for a usual passphrase, and the longest.

package strength_test

import (
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/internal/strength"
	"github.com/cargo-regkey/regkey/keys"
)

func BenchmarkJudge(b *testing.B) {
	for name, text := range map[string]string{
		"usual": "quiver lantern mosaic drift", "longest": strings.Repeat("a1-", 4096/3), "one run": strings.Repeat("kwmtvrhq", 512) + "k",
	} {
		passphrase := keys.NewSecret([]byte(text))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				strength.Judge(passphrase, "laptop")
			}
		})
	}
}
