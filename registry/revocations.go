// Revocations and the state of single keys over HTTP.

package registry

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry/storage"
)

// submitRevocation ends a key, at once and for ever.
func (s *Server) submitRevocation(w http.ResponseWriter, r *http.Request) error {
	body, err := readSubmission(r, maxNoteBody)
	if err != nil {
		return err
	}
	if body.Bootstrap != "" || body.Attestation != nil {
		return refuse(http.StatusBadRequest, "request-invalid", "a revocation is sent with nothing beside it: leave the other members out")
	}
	revocation, err := enroll.ParseSignedRevocation([]byte(body.Note))
	if err != nil {
		return refuse(http.StatusBadRequest, "revocation-malformed", "the signed revocation can't be read: %v; send the file as it was written", err)
	}
	if !slices.Contains(s.indexes, revocation.Registry) {
		return refuse(http.StatusForbidden, "revocation-wrong-registry", "the revocation is for the registry %q, and this one is %q: send it to that one", revocation.Registry, s.index)
	}
	status := http.StatusCreated
	err = s.storage.Vetted(r.Context(), func(tx *storage.Tx) error {
		_, err := s.judgeRevocation(r.Context(), tx, revocation)
		return err
	}, func(tx *storage.Tx) error {
		ended, err := s.judgeRevocation(r.Context(), tx, revocation)
		if err != nil {
			return err
		}
		err = tx.SaveRevocation(r.Context(), storage.Revocation{
			Key: revocation.Key, Account: ended.Account, Reason: string(revocation.Reason), Note: string(revocation.Note), Accepted: s.now(),
		})
		if errors.Is(err, storage.ErrExists) {
			status = http.StatusOK
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	if status == http.StatusCreated {
		s.log.InfoContext(r.Context(), "key revoked", "key", revocation.Key.String(), "reason", string(revocation.Reason), "signer", revocation.Signer().String())
	}
	return answer(w, status, struct{}{})
}

// judgeRevocation returns the key that is to end, if its signer may end it: the key itself, even one dropped long
// ago, or one that manages its account now.
func (s *Server) judgeRevocation(ctx context.Context, tx *storage.Tx, r *enroll.SignedRevocation) (storage.Key, error) {
	ended, err := tx.Key(ctx, r.Key.String())
	if errors.Is(err, storage.ErrNotFound) {
		return ended, refuse(http.StatusNotFound, "key-unknown", "this registry does not know key %v, so there is nothing to revoke", r.Key)
	}
	if err != nil {
		return ended, err
	}
	signer := ended
	if r.Signer() != r.Key {
		signer, err = s.manager(ctx, tx, ended.Account, r.Signer())
		if err != nil {
			return ended, err
		}
	}
	if err := r.Verify(signer.Public); err != nil {
		return ended, refuse(http.StatusForbidden, "revocation-signature", "the revocation's signature is not good: %v; send the file as it was written, or sign a new one", err)
	}
	return ended, nil
}

// manager is the key, if it may manage the account at this moment.
func (s *Server) manager(ctx context.Context, tx *storage.Tx, account string, id keys.ID) (storage.Key, error) {
	not := refuse(http.StatusForbidden, "revocation-signer", "the revocation is signed by %v, which neither is the key that it ends nor manages that key's account: sign it with one that does", id)
	key, err := tx.Key(ctx, id.String())
	if errors.Is(err, storage.ErrNotFound) {
		return key, not
	}
	if err != nil {
		return key, err
	}
	entry, err := keysetEntry(key)
	if err != nil {
		return key, err
	}
	if key.Account != account || !key.Listed || !key.Revoked.IsZero() || !entry.Can.Has(enroll.Manage) || !entry.Alive(s.now()) {
		return key, not
	}
	return key, nil
}

func keyUnknown() error {
	return refuse(http.StatusNotFound, "key-unknown", "this registry does not know such a key: check its id")
}

// serveKey tells what one key may do.
func (s *Server) serveKey(w http.ResponseWriter, r *http.Request) error {
	id, err := keys.ParseID(r.PathValue("key"))
	if err != nil {
		return keyUnknown()
	}
	key, err := s.storage.Key(r.Context(), id.String())
	if errors.Is(err, storage.ErrNotFound) {
		return keyUnknown()
	}
	if err != nil {
		return err
	}
	shown, err := showKey(id, key)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, shown)
}

// keyState is the answer of GET …/keys/{id}.
type keyState struct {
	Key     string   `json:"key"`
	Account string   `json:"account"`
	Can     []string `json:"can"` // nothing, once the key is dropped or revoked
	Crates  []string `json:"crates,omitempty"`
	Since   string   `json:"since"`
	Until   string   `json:"until,omitempty"`
	Revoked bool     `json:"revoked"`
	Reason  string   `json:"reason,omitempty"`

	Hardware *hardwareState `json:"hardware,omitzero"` // only of a key that was attested
}

// hardwareState is what an attestation has proved of a key.
type hardwareState struct {
	Serial   uint32 `json:"serial"`
	Firmware string `json:"firmware"`
	Slot     string `json:"slot"`
	PIN      string `json:"pin"`
	Touch    string `json:"touch"`
	Form     string `json:"form,omitempty"`
}

func showKey(id keys.ID, k storage.Key) (keyState, error) {
	state := keyState{
		Key: id.String(), Account: k.Account, Can: []string{}, Since: k.Since.Format(time.RFC3339),
		Revoked: !k.Revoked.IsZero(), Reason: k.Reason,
	}
	if k.Hardware != nil {
		shown := hardwareState(*k.Hardware)
		state.Hardware = &shown
	}
	if !k.Until.IsZero() {
		state.Until = k.Until.Format(time.RFC3339)
	}
	if k.Listed && !state.Revoked {
		entry, err := keysetEntry(k)
		if err != nil {
			return state, err
		}
		state.Can, state.Crates = entry.Can.Names(), k.Crates
	}
	return state, nil
}
