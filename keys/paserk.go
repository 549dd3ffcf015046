// PASERK text: how keys and ids are written down.

package keys

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// base64url is the only encoding that PASERK allows: no padding, and no set bits that
// decode to nothing, so that one key has one text.
var base64url = base64.RawURLEncoding.Strict()

// splitPASERK cuts text ("k4.public.AAAA…") into its algorithm and decoded bytes, if its type is
// kind ("public", "secret", "pid"). No error repeats the text: it may be a secret.
func splitPASERK[T string | []byte](text T, kind string, size func(Algorithm) int) (Algorithm, []byte, error) {
	var algorithm Algorithm
	switch {
	case hasPrefix(text, "k4."+kind+"."):
		algorithm = Ed25519
	case hasPrefix(text, "k3."+kind+"."):
		algorithm = P384
	default:
		return 0, nil, fmt.Errorf("not a k4.%s or k3.%s text", kind, kind)
	}
	data := text[len("k4.")+len(kind)+len("."):]
	if len(data) != base64url.EncodedLen(size(algorithm)) {
		return 0, nil, fmt.Errorf("%s%s text has %d base64 characters instead of %d",
			algorithm.prefix(), kind, len(data), base64url.EncodedLen(size(algorithm)))
	}
	// The decoder of encoding/base64 skips line breaks; PASERK has none.
	for i := range len(data) {
		if data[i] == '\n' || data[i] == '\r' {
			return 0, nil, errors.New("line break inside base64")
		}
	}
	raw := make([]byte, size(algorithm))
	if _, err := base64url.Decode(raw, []byte(data)); err != nil {
		return 0, nil, fmt.Errorf("%s%s text is not strict unpadded base64url", algorithm.prefix(), kind)
	}
	return algorithm, raw, nil
}

func hasPrefix[T string | []byte](text T, prefix string) bool {
	return len(text) >= len(prefix) && string(text[:len(prefix)]) == prefix
}

// joinPASERK is the inverse of splitPASERK.
func joinPASERK(a Algorithm, kind string, raw []byte) string {
	var b strings.Builder
	b.WriteString(a.prefix())
	b.WriteString(kind)
	b.WriteByte('.')
	b.WriteString(base64url.EncodeToString(raw))
	return b.String()
}
