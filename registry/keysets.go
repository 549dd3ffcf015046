// Keysets over HTTP: accounts submit the next version of what they trust, everybody reads the chain.

package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry/storage"
)

// Limits of one answer: whoever asks for the longest chain with the largest keysets costs a few megabytes at a time.
const (
	keysetsBatch     = 100     // notes
	keysetsBatchSize = 1 << 20 // bytes, which the last note may exceed
)

// accountUnknown is the one answer for an account that does not exist, one that has no keyset, and one that the asker may not see.
func accountUnknown() error {
	return refuse(http.StatusNotFound, "account-unknown", "this registry shows no keyset of such an account: check how its name is spelt")
}

// conflictError says that another keyset stands where the submitted one would go, and shows it.
type conflictError struct{ standing string }

// Error is the sentence that the answer carries.
func (e *conflictError) Error() string {
	return "another version of the keyset stands already: fetch it, and build the next version on it"
}

func (e *conflictError) write(w http.ResponseWriter) {
	type entry struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	_ = answer(w, http.StatusConflict, struct {
		Errors []entry `json:"errors"`
		Note   string  `json:"note"`
	}{[]entry{{"keyset-conflict", e.Error()}}, e.standing})
}

// submitKeyset takes version n+1 of an account's keyset. Submitting what stands already is a success, so that a client which did
// not see the answer can send the same bytes again.
func (s *Server) submitKeyset(w http.ResponseWriter, r *http.Request) error {
	account := r.PathValue("account")
	if enroll.CheckAccount(account) != nil {
		return refuse(http.StatusBadRequest, "request-invalid", "the request names no account: account names have 1 to 64 of a-z, 0-9 and -")
	}
	body, err := readSubmission(r, maxKeysetBody)
	if err != nil {
		return err
	}
	if body.Bootstrap != "" {
		return refuse(http.StatusBadRequest, "bootstrap-unsupported", "this registry begins accounts with one-time codes only: ask its operator for one")
	}
	next, err := enroll.ParseSignedKeyset([]byte(body.Note))
	if err != nil {
		return refuse(http.StatusBadRequest, "keyset-malformed", "the signed keyset can't be read: %v; sign it with a program that follows version 1 of regkey's protocol", err)
	}
	given := &attested{}
	if given.chains, err = body.chains(); err != nil {
		return err
	}
	var stands bool
	err = s.storage.Vetted(r.Context(), func(tx *storage.Tx) error {
		_, stands, err = s.judgeKeyset(r.Context(), tx, account, next, given)
		return err
	}, func(tx *storage.Tx) error {
		stands, err = s.followKeyset(r.Context(), tx, account, next, given)
		return err
	})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if !stands {
		status = http.StatusCreated
		s.log.InfoContext(r.Context(), "keyset accepted", "account", account, "version", next.Version, "keys", len(next.Keys), "closed", next.Closed)
	}
	return answer(w, status, map[string]int{"version": next.Version})
}

// followKeyset judges next against what stands and saves it. It reports whether next stood already.
func (s *Server) followKeyset(ctx context.Context, tx *storage.Tx, name string, next *enroll.SignedKeyset, given *attested) (stands bool, err error) {
	account, stands, err := s.judgeKeyset(ctx, tx, name, next, given)
	if err != nil || stands {
		return stands, err
	}
	if account.Version == 0 {
		if err := s.useInvite(ctx, tx, name); err != nil {
			return false, err
		}
	}
	return false, s.saveKeyset(ctx, tx, account, next, given)
}

// judgeKeyset returns the account, and whether next stands already; else next may follow.
func (s *Server) judgeKeyset(ctx context.Context, tx *storage.Tx, name string, next *enroll.SignedKeyset, given *attested) (account storage.Account, stands bool, err error) {
	account, err = tx.Account(ctx, name)
	unknown := errors.Is(err, storage.ErrNotFound)
	if err == nil && s.config.AuthRequired {
		unknown, err = fromStranger(ctx, tx, name, next)
	}
	if unknown {
		// The same words as for an account without a code: nobody learns which names exist.
		return account, false, enroll.Standing{Indexes: s.indexes, Account: name, Now: s.now()}.Accept(next)
	}
	if err != nil {
		return account, false, err
	}
	standing, err := s.standing(ctx, tx, account)
	if err != nil {
		return account, false, err
	}
	if p := standing.Previous; p != nil && next.Version <= p.Version && next.Account == name {
		// A client whose answer got lost may send a version again after others have built on it.
		stored, err := readKeyset(ctx, tx, name, next.Version)
		if err != nil {
			return account, false, err
		}
		if string(next.Text) == string(stored.Text) {
			return account, true, nil
		}
		return account, false, s.conflict(ctx, tx, standing, next)
	}
	if err := standing.Accept(next); err != nil {
		return account, false, s.discreet(err)
	}
	if err := checkFrozen(account); err != nil {
		return account, false, err
	}
	return account, false, s.judgeHardware(ctx, tx, standing.Previous, next, given)
}

// discreet takes the hash of what stands out of a refusal where reading needs a token: it is as good as the keyset's
// code, and a key that the account has dropped may still be answered.
func (s *Server) discreet(err error) error {
	var rule *enroll.RuleError
	if s.config.AuthRequired && errors.As(err, &rule) && rule.Code == enroll.CodePrevious {
		return &enroll.RuleError{Code: rule.Code, Detail: "the keyset follows another version than the one that stands: fetch that one, and build on it"}
	}
	return err
}

// fromStranger reports whether next is signed neither with the account's open code nor by a key that the account has or had. The first
// signature that claims to be by one decides, so that a stranger costs one check.
func fromStranger(ctx context.Context, tx *storage.Tx, account string, next *enroll.SignedKeyset) (bool, error) {
	for _, id := range next.Signers() {
		key, err := tx.Key(ctx, id.String())
		if err == nil && key.Account == account {
			return !next.SignedBy(key.Public), nil
		}
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return false, err
		}
	}
	invite, err := tx.Invite(ctx, account)
	if errors.Is(err, storage.ErrNotFound) {
		return true, nil
	}
	return !next.SignedBy(invite.Public), err
}

// standing is what the registry knows when it judges the account's next keyset.
func (s *Server) standing(ctx context.Context, tx *storage.Tx, account storage.Account) (enroll.Standing, error) {
	standing := enroll.Standing{Account: account.Name, Now: s.now(), Vet: s.vet(ctx, tx, account.Name)}
	revoked, err := tx.Revocations(ctx, account.Name)
	if err != nil {
		return standing, err
	}
	for _, r := range revoked {
		standing.Revoked = append(standing.Revoked, r.Key)
	}
	if account.Version > 0 {
		standing.Previous, err = readKeyset(ctx, tx, account.Name, account.Version)
		if err == nil {
			standing.Indexes = s.follows(standing.Previous.Registry)
		}
		return standing, err
	}
	standing.Indexes = s.indexes
	invite, err := tx.Invite(ctx, account.Name)
	switch {
	case err == nil:
		standing.Bootstrap = enroll.ByInvite(invite.Public)
	case !errors.Is(err, storage.ErrNotFound):
		return standing, err
	}
	return standing, nil
}

// follows are the index URLs that a keyset may name which follows one that names before: the present one, or that very one,
// as what was signed before a move may arrive after it. So a chain moves along with the registry, once, and never back.
// Only the registry can judge that, at the time: which URL was the present one is not in the chain.
func (s *Server) follows(before string) []string {
	if before == s.index || !slices.Contains(s.indexes, before) {
		return []string{s.index}
	}
	return []string{s.index, before}
}

func readKeyset(ctx context.Context, in interface {
	Keyset(ctx context.Context, account string, version int) (string, error)
}, account string, version int,
) (*enroll.SignedKeyset, error) {
	note, err := in.Keyset(ctx, account, version)
	if err != nil {
		return nil, err
	}
	return enroll.ParseSignedKeyset([]byte(note))
}

// vet refuses a key that belongs or ever belonged to another account, and one of the account's own that was revoked
// before a reset, when the chain that says so is no longer the account's.
func (s *Server) vet(ctx context.Context, tx *storage.Tx, account string) func(keys.ID) error {
	return func(id keys.ID) error {
		key, err := tx.Key(ctx, id.String())
		switch {
		case errors.Is(err, storage.ErrNotFound):
			return nil
		case err != nil:
			return err
		case key.Account != account:
			return &enroll.RuleError{Code: enroll.CodeKeyInUse, Detail: "key " + id.String() + " is or was enrolled for another account: make a new key for this one"}
		case !key.Revoked.IsZero():
			return &enroll.RuleError{Code: enroll.CodeKeyRevoked, Detail: "key " + id.String() + " is revoked and never comes back: make a new key"}
		}
		return nil
	}
}

// conflict is the answer to another keyset than the one that stands. Where reading needs a token it shows the standing one
// only to somebody whose keyset could have stood in its place.
func (s *Server) conflict(ctx context.Context, tx *storage.Tx, standing enroll.Standing, next *enroll.SignedKeyset) error {
	answer := &conflictError{standing: string(standing.Previous.Note)}
	if !s.config.AuthRequired {
		return answer
	}
	standing.Previous, standing.Indexes = nil, s.indexes
	if next.Version > 1 {
		before, err := readKeyset(ctx, tx, standing.Account, next.Version-1)
		if err != nil {
			return err
		}
		standing.Previous, standing.Indexes = before, s.follows(before.Registry)
	}
	if err := standing.Accept(next); err != nil {
		return err
	}
	return answer
}

// useInvite spends the account's code, which version 1 has shown to know. An expired one is told only to somebody who knew it.
func (s *Server) useInvite(ctx context.Context, tx *storage.Tx, account string) error {
	invite, err := tx.Invite(ctx, account)
	if err != nil {
		return err
	}
	if s.now().After(invite.Expires) {
		return &enroll.RuleError{Code: "bootstrap-expired", Detail: fmt.Sprintf(
			"the invite code of account %q expired at %s: ask the operator for a new one", account, invite.Expires.Format(time.RFC3339))}
	}
	return tx.VoidInvite(ctx, account)
}

func (s *Server) saveKeyset(ctx context.Context, tx *storage.Tx, account storage.Account, next *enroll.SignedKeyset, given *attested) error {
	now := s.now()
	var listed []storage.Key
	if !next.Closed { // a closed account's last keyset is a farewell: none of its keys serves any more
		for _, e := range next.Keys {
			listed = append(listed, storage.Key{
				Public: e.Key, Can: e.Can.String(), Crates: e.Crates, Since: now, Until: e.Until, Hardware: given.storedHardware(e.Key.ID()),
			})
		}
	}
	return tx.SaveKeyset(ctx, storage.Keyset{
		Account: account.Name, Epoch: account.Epoch, Version: next.Version, Note: string(next.Note), Closed: next.Closed, Accepted: now,
	}, listed)
}

// serveKeysets gives the chain in batches, from version "from" on.
func (s *Server) serveKeysets(w http.ResponseWriter, r *http.Request) error {
	from := 1
	if text := r.URL.Query().Get("from"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return refuse(http.StatusBadRequest, "request-invalid", "the parameter from is not the number of a version: give one from 1 on, or leave it out")
		}
		from = n
	}
	account, err := s.shownAccount(r)
	if err != nil {
		return err
	}
	notes, err := s.storage.Keysets(r.Context(), account.Name, from, keysetsBatch, keysetsBatchSize)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, struct {
		Notes []string `json:"notes"`
		More  bool     `json:"more"`
	}{notes, from+len(notes)-1 < account.Version && len(notes) > 0})
}

// latestKeyset is the keyset that stands, with every revocation of the account's keys.
type latestKeyset struct {
	Note        string   `json:"note"`
	Revocations []string `json:"revocations"`
}

func (s *Server) serveLatestKeyset(w http.ResponseWriter, r *http.Request) error {
	latest, err := s.latest(r)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, latest)
}

func (s *Server) latest(r *http.Request) (latestKeyset, error) {
	// Revocations first: a managing key that comes in meanwhile may sign one, which a client can only
	// verify with the keyset that lists the key.
	revoked, err := s.storage.Revocations(r.Context(), r.PathValue("account"))
	if err != nil {
		return latestKeyset{}, err
	}
	account, err := s.shownAccount(r)
	if err != nil {
		return latestKeyset{}, err
	}
	note, err := s.storage.Keyset(r.Context(), account.Name, account.Version)
	if err != nil {
		return latestKeyset{}, err
	}
	notes := make([]string, 0, len(revoked))
	for _, revocation := range revoked {
		notes = append(notes, revocation.Note)
	}
	return latestKeyset{note, notes}, nil
}

// shownAccount is the account that a request names, if there is anything to show of it.
func (s *Server) shownAccount(r *http.Request) (storage.Account, error) {
	return findShown(r.Context(), s.storage, r.PathValue("account"))
}

func findShown(ctx context.Context, in interface {
	Account(ctx context.Context, name string) (storage.Account, error)
}, name string,
) (storage.Account, error) {
	if enroll.CheckAccount(name) != nil {
		return storage.Account{}, accountUnknown()
	}
	account, err := in.Account(ctx, name)
	if errors.Is(err, storage.ErrNotFound) || err == nil && account.Version == 0 {
		return storage.Account{}, accountUnknown()
	}
	return account, err
}
