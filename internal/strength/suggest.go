// Passphrases drawn by lot.

package strength

import (
	"crypto/rand"
	"fmt"
	"math/big"

	"github.com/cargo-regkey/regkey/keys"
)

// The 23 letters that are not taken for another one, nor for a digit, when read or typed.
const letters = "abcdefghjkmnpqrstuvwxyz"

const (
	groups    = 3
	groupSize = 6 // so 18 letters, of log2 23 bits each: 81 bits
)

// Suggest is a passphrase of 81 bits from the operating system's randomness: three groups of six
// lower-case letters with hyphens between them, in which [Judge] finds no fault.
func Suggest() (keys.Secret, error) {
	for {
		text := make([]byte, 0, groups*(groupSize+1))
		for i := range groups * groupSize {
			if i > 0 && i%groupSize == 0 {
				text = append(text, '-')
			}
			n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
			if err != nil {
				return keys.Secret{}, fmt.Errorf("suggesting a passphrase: %w", err)
			}
			text = append(text, letters[n.Int64()])
		}
		// One in some hundred reads like three words, and a warning right after would surprise.
		if suggestion := keys.NewSecret(text); Judge(suggestion) == "" {
			return suggestion, nil
		}
	}
}
