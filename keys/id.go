// Key ids: the short names by which registries, tokens and people speak of keys.

package keys

import (
	"crypto/sha512"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// idSize is the length of the hash in an id: 33 bytes, so that base64 needs no padding
// (PASERK specification, "ID").
const idSize = 33

// An ID is a PASERK key id ("k4.pid.…" or "k3.pid.…"): a hash of a public key that names it
// and gives nothing away that the key would not. IDs are compared with == and sort as text.
// The zero value names no key.
type ID struct{ text string }

// ParseID accepts exactly the form that [PublicKey.ID] returns.
func ParseID(text string) (ID, error) {
	if _, _, err := splitPASERK(text, "pid", func(Algorithm) int { return idSize }); err != nil {
		return ID{}, fmt.Errorf("parsing key id: %w", err)
	}
	return ID{strings.Clone(text)}, nil
}

// ID is the key's PASERK id: the prefix "k4.pid." or "k3.pid.", then 33 bytes of
// H(prefix ‖ PASERK public text), H being BLAKE2b with a 33-byte digest for k4 and SHA-384,
// cut, for k3.
func (p PublicKey) ID() ID { return p.id }

// named is p with its id, which no PublicKey but the zero value is without: two keys are compared
// with all that they hold.
func (p PublicKey) named() PublicKey {
	data := []byte(p.algorithm.prefix() + "pid." + p.String())
	var digest []byte
	switch p.algorithm {
	case Ed25519:
		h, err := blake2b.New(idSize, nil)
		if err != nil {
			panic("keys: blake2b refuses a 33-byte digest: " + err.Error())
		}
		h.Write(data)
		digest = h.Sum(nil)
	case P384:
		sum := sha512.Sum384(data)
		digest = sum[:idSize]
	}
	p.id = ID{joinPASERK(p.algorithm, "pid", digest)}
	return p
}

// Algorithm is the algorithm of the key that id names, or 0 for the zero value.
func (id ID) Algorithm() Algorithm {
	switch {
	case strings.HasPrefix(id.text, "k4."):
		return Ed25519
	case strings.HasPrefix(id.text, "k3."):
		return P384
	}
	return 0
}

// IsZero reports whether id names no key.
func (id ID) IsZero() bool { return id.text == "" }

// String is the whole id.
func (id ID) String() string { return id.text }

// Compare orders ids by their text, byte for byte.
func (id ID) Compare(other ID) int { return strings.Compare(id.text, other.text) }

// MarshalText is [ID.String] for encoders. The zero value is an error.
func (id ID) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return nil, errors.New("encoding key id: there is none")
	}
	return []byte(id.text), nil
}

// UnmarshalText is [ParseID] for decoders.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}
