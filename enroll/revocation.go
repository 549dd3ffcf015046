// Revocations: documents that end one key and can add no trust.

package enroll

import (
	"errors"
	"fmt"

	"github.com/cargo-regkey/regkey/keys"
)

// A Reason says why a key was revoked.
type Reason string

// The reasons of a revocation.
const (
	Lost        Reason = "lost"
	Compromised Reason = "compromised"
	Superseded  Reason = "superseded"
	Unspecified Reason = "unspecified"
)

// ParseReason reads one of the four reasons.
func ParseReason(text string) (Reason, error) {
	switch r := Reason(text); r {
	case Lost, Compromised, Superseded, Unspecified:
		return r, nil
	}
	return "", fmt.Errorf("unknown reason %.20q: known are lost, compromised, superseded, unspecified", text)
}

// A Revocation ends one key at one registry, for ever.
type Revocation struct {
	Registry string // the index URL
	Key      keys.ID
	Reason   Reason
}

const revocationHeader = "regkey revocation v1"

// Encode is the text of the revocation. A revocation that [ParseRevocation] would not take back
// is an error.
func (r *Revocation) Encode() ([]byte, error) {
	text := r.write()
	if _, err := ParseRevocation(text); err != nil {
		return nil, fmt.Errorf("encoding revocation: %w", err)
	}
	return text, nil
}

func (r *Revocation) write() []byte {
	return fmt.Appendf(nil, "%s\nregistry: %s\nkey: %v\nreason: %s\n", revocationHeader, r.Registry, r.Key, r.Reason)
}

// ParseRevocation accepts exactly what [Revocation.Encode] returns. It checks no signature.
func ParseRevocation(text []byte) (*Revocation, error) {
	r, err := parseRevocation(text)
	if err != nil {
		return nil, fmt.Errorf("parsing revocation: %w", err)
	}
	if string(r.write()) != string(text) {
		return nil, errors.New("parsing revocation: not in its one encoding")
	}
	return r, nil
}

func parseRevocation(text []byte) (*Revocation, error) {
	lines, err := splitLines(text, revocationHeader)
	if err != nil {
		return nil, err
	}
	r := &Revocation{}
	if r.Registry, err = lines.index(); err != nil {
		return nil, err
	}
	id, err := lines.field("key")
	if err != nil {
		return nil, err
	}
	if r.Key, err = keys.ParseID(id); err != nil {
		return nil, err
	}
	reason, err := lines.field("reason")
	if err != nil {
		return nil, err
	}
	if r.Reason, err = ParseReason(reason); err != nil {
		return nil, err
	}
	return r, lines.end()
}
