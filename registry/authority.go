// What the verifier of tokens asks storage, and the state of an account that a change depends on.

package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/registry/verify"
	"github.com/cargo-regkey/regkey/token"
)

// keySource answers a token.Verifier from storage.
type keySource struct{ storage *storage.DB }

// LookupKey is the key as it stands; one that no keyset lists any more is unknown, unless it was revoked.
func (s keySource) LookupKey(ctx context.Context, id keys.ID) (token.Key, error) {
	key, err := s.storage.Key(ctx, id.String())
	if errors.Is(err, storage.ErrNotFound) {
		return token.Key{}, token.ErrUnknownKey
	}
	if err != nil {
		return token.Key{}, err
	}
	return tokenKey(key)
}

// tokenKey is what a verifier has to know of a key on file.
func tokenKey(k storage.Key) (token.Key, error) {
	if !k.Listed && k.Revoked.IsZero() {
		return token.Key{}, token.ErrUnknownKey
	}
	entry, err := keysetEntry(k)
	if err != nil {
		return token.Key{}, err
	}
	return token.Key{
		Public: k.Public, Account: k.Account, Until: k.Until, Revoked: !k.Revoked.IsZero(),
		May: func(op token.Operation, crate string) bool { return entry.Allows(need(op), crate) },
	}, nil
}

// keysetEntry is the line of the keyset that a key on file came from.
func keysetEntry(k storage.Key) (enroll.Entry, error) {
	can, err := enroll.ParseCan(k.Can)
	if err != nil {
		return enroll.Entry{}, fmt.Errorf("reading key %v on file: %w", k.Public.ID(), err)
	}
	return enroll.Entry{Key: k.Public, Can: can, Until: k.Until, Crates: k.Crates}, nil
}

// need is what a keyset must allow a key for an operation.
func need(op token.Operation) enroll.Can {
	can := enroll.CanFor(string(op))
	if can == 0 {
		panic("registry: no such operation: " + string(op))
	}
	return can
}

// spent answers a token.Verifier from storage.
type spent struct{ storage *storage.DB }

// Spend records a token as used.
func (s spent) Spend(ctx context.Context, replayKey [32]byte, until time.Time) (bool, error) {
	return s.storage.SpendToken(ctx, replayKey, until)
}

// unfrozen lets changes through only for accounts that the operator has not frozen.
func (s *Server) unfrozen(h handlerFunc) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		account, err := s.storage.Account(r.Context(), verify.GrantOf(r.Context()).Account)
		if err != nil {
			return err
		}
		if err := checkFrozen(account); err != nil {
			return err
		}
		return h(w, r)
	}
}

func checkFrozen(a storage.Account) error {
	if a.Frozen {
		return refuse(http.StatusForbidden, "account-frozen", "the account %q is frozen by the registry's operator and changes nothing until they lift that: "+
			"ask them why", a.Name)
	}
	return nil
}

// recheck judges the bearer once more, in the transaction that commits the change: key and account may have changed during an upload.
func (s *Server) recheck(ctx context.Context, tx *storage.Tx, grant *token.Grant) error {
	account, err := tx.Account(ctx, grant.Account)
	if err != nil {
		return err
	}
	if err := checkFrozen(account); err != nil {
		return err
	}
	stored, err := tx.Key(ctx, grant.KeyID.String())
	if err != nil {
		return err
	}
	key, err := tokenKey(stored)
	if errors.Is(err, token.ErrUnknownKey) {
		return unlisted(stored)
	}
	if err != nil {
		return err
	}
	return grant.RecheckKey(key, s.now())
}

// unlisted is the refusal of a key that was once enrolled.
func unlisted(k storage.Key) *verify.Error {
	return refuse(http.StatusForbidden, string(token.CodeKeyUnknown), "key %v is no longer in the keyset of account %q: "+
		"use the account's current key (`regkey status` shows it), or enrol a new one", k.Public.ID(), k.Account)
}

// explainMove tells somebody whose token is for a former index URL where the registry is now.
func (s *Server) explainMove(r *http.Request) *verify.Error {
	parsed, err := token.Parse(r.Header.Get("Authorization"))
	if err != nil || !slices.Contains(s.origin.Former, parsed.Index()) {
		return nil
	}
	return refuse(http.StatusForbidden, string(token.CodeWrongRegistry), "this registry has moved: the token is signed for %q, and the index URL is now %q: "+
		"put that into cargo's configuration, and run `regkey enroll` for it", parsed.Index(), s.index)
}

// explain says more than the verifier could: it knows no storage.
func (s *Server) explain(r *http.Request, refused *token.Error) *verify.Error {
	switch {
	case refused.Code == token.CodeReplayed && refused.Used != nil && refused.Used.Claims.Operation == token.Owners:
		return s.explainOwners(r, refused.Used)
	case refused.Code == token.CodeWrongRegistry:
		return s.explainMove(r)
	case refused.Code == token.CodeKeyUnknown:
		parsed, err := token.Parse(r.Header.Get("Authorization"))
		if err != nil {
			return nil
		}
		if key, err := s.storage.Key(r.Context(), parsed.KeyID().String()); err == nil {
			return unlisted(key)
		}
	}
	return nil
}
