// Secret values that cannot be printed by accident.

package keys

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
)

// A Secret holds private material: a key's text, a passphrase, a one-time code. It prints as
// "[secret]" under every fmt verb, in slog, and refuses to be encoded as JSON or text, also as
// an exported or unexported field of another struct, in a slice, map or pointer. The bytes sit
// behind a closure because fmt prints the unexported fields of a struct without asking them:
// a slice shows under %v, a pointer to one under %s, a function only its address.
//
// It does not promise that no copy stays in memory: Go's collector may have moved some.
type Secret struct{ reveal func() []byte }

// NewSecret keeps a copy of data.
func NewSecret(data []byte) Secret {
	kept := append([]byte(nil), data...)
	return Secret{func() []byte { return kept }}
}

// Reveal is the secret itself. Callers must not change it, and must not put it into an error,
// a log, an argument or an environment.
func (s Secret) Reveal() []byte {
	if s.reveal == nil {
		return nil
	}
	return s.reveal()
}

// IsZero reports whether s holds nothing, or an empty value.
func (s Secret) IsZero() bool { return len(s.Reveal()) == 0 }

const redacted = "[secret]"

// Format prints "[secret]" for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String is "[secret]".
func (s Secret) String() string { return redacted }

// LogValue is "[secret]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

var errSecret = errors.New("a secret is not to be encoded")

// MarshalText always fails.
func (s Secret) MarshalText() ([]byte, error) { return nil, errSecret }

// MarshalJSON always fails.
func (s Secret) MarshalJSON() ([]byte, error) { return nil, errSecret }

var (
	_ fmt.Formatter          = Secret{}
	_ slog.LogValuer         = Secret{}
	_ json.Marshaler         = Secret{}
	_ encoding.TextMarshaler = Secret{}
)
