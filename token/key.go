// The key on file: looking it up, and judging whether it may do what a token asks.

package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// lookup asks for the key and refuses an incomplete answer.
func (v *Verifier) lookup(ctx context.Context, id keys.ID) (Key, error) {
	key, err := v.Keys.LookupKey(ctx, id)
	if errors.Is(err, ErrUnknownKey) {
		return Key{}, refuse(CodeKeyUnknown, "this registry does not know key %v: "+
			"enrol it here, or check which key is enrolled for this registry", id)
	}
	if err != nil {
		return Key{}, fmt.Errorf("looking up key %v: %w", id, err)
	}
	if key.Account == "" || key.Public.Algorithm() != id.Algorithm() {
		return Key{}, fmt.Errorf("looking up key %v: the answer has no account, or a key of another algorithm", id)
	}
	return key, nil
}

// judge applies the rules on the key itself at a time, for what t asks.
func (k Key) judge(t *Token, now time.Time) error {
	op, name := t.claims.Operation, t.claims.Name
	switch {
	case k.Revoked:
		return refuse(CodeKeyRevoked, "key %v is revoked and will never be accepted again: "+
			"use another key of account %q, or enrol a new one", t.id, k.Account)
	case !k.Until.IsZero() && now.After(k.Until):
		return refuse(CodeKeyExpired, "key %v served until %s: use the account's current key, or enrol a new one",
			t.id, k.Until.UTC().Format(time.RFC3339))
	case k.May != nil && k.May(op, name):
		return nil
	case name != "":
		return refuse(CodeKeyNotAllowed, "key %v may not %s crate %.100q: use a key that may, "+
			"or have one that manages account %q allow it", t.id, op.verb(), name, k.Account)
	}
	return refuse(CodeKeyNotAllowed, "key %v may not %s: use a key that may, "+
		"or have one that manages account %q allow it", t.id, op.verb(), k.Account)
}

// verb is the operation as a message says it after "may not".
func (op Operation) verb() string {
	if op == Owners {
		return "see or change the owners of"
	}
	return string(op)
}
