// Invite codes: how an operator lets the first key of an account in.

package enroll

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"github.com/cargo-regkey/regkey/keys"
)

// inviteBits is how much randomness is in a code: guessing a code is as hard as guessing a key.
const inviteBits = 128

var inviteEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// GenerateInvite makes a code for a person to type, 26 base32 characters in groups, and the
// public half of the key that grows from it, which is all that a registry keeps.
func GenerateInvite() (code keys.Secret, public keys.PublicKey, err error) {
	raw := make([]byte, inviteBits/8)
	if _, err := rand.Read(raw); err != nil {
		return keys.Secret{}, keys.PublicKey{}, fmt.Errorf("generating invite code: %w", err)
	}
	text := inviteEncoding.EncodeToString(raw)
	groups := []string{text[:6], text[6:11], text[11:16], text[16:21], text[21:]}
	code = keys.NewSecret([]byte(strings.Join(groups, "-")))
	key, err := InviteKey(code)
	if err != nil {
		return keys.Secret{}, keys.PublicKey{}, err
	}
	return code, key.Public(), nil
}

// InviteKey is the Ed25519 key of a code: its seed is HKDF-SHA256 (RFC 5869) of the code's 16
// bytes, without salt, with info "regkey invite v1". The key signs version 1 of the account's
// keyset, so the code itself never travels. Lower case, spaces and hyphens are taken as people
// type them; no error repeats any of the code.
func InviteKey(code keys.Secret) (*keys.SoftwareKey, error) {
	text := strings.ToUpper(strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -\t\r\n", r) {
			return -1
		}
		return r
	}, string(code.Reveal())))
	raw, err := inviteEncoding.DecodeString(text)
	if err != nil || len(raw) != inviteBits/8 || inviteEncoding.EncodeToString(raw) != text {
		return nil, errors.New("the invite code is not 26 characters of A-Z and 2-7: check for a typing mistake")
	}
	seed, err := hkdf.Key(sha256.New, raw, nil, "regkey invite v1", 32)
	if err != nil {
		return nil, fmt.Errorf("deriving the invite's key: %w", err)
	}
	return keys.NewEd25519Key(keys.NewSecret(seed))
}
