// The rules by which one version of a keyset may follow another.

package enroll

import (
	"fmt"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// The clock's tolerance in both directions. The lower bound is generous because the chain itself
// stops replays: a client that was interrupted may send the very bytes that it signed days ago.
const (
	maxAhead = 30 * time.Second
	maxAge   = 30 * 24 * time.Hour
)

// Codes of [RuleError]: stable words that registries answer and programs read.
const (
	CodeRegistryMismatch = "keyset-wrong-registry"
	CodeAccountMismatch  = "keyset-wrong-account"
	CodeVersion          = "keyset-wrong-version"
	CodePrevious         = "keyset-wrong-previous"
	CodeClosed           = "keyset-closed"
	CodeIssued           = "keyset-wrong-time"
	CodeUnmanaged        = "keyset-unmanaged"
	CodePossession       = "keyset-possession"
	CodeSigner           = "keyset-unexpected-signer"
	CodeNoManager        = "keyset-no-manager"
	CodeManagerUntil     = "keyset-manager-until"
	CodeRevocations      = "keyset-revocations"
	CodeBootstrap        = "bootstrap-invalid"
	CodeKeyInUse         = "key-in-use"
	CodeKeyRevoked       = "key-revoked"
)

// A RuleError says which rule a keyset breaks.
type RuleError struct {
	Code   string // one of the Code constants
	Detail string // one sentence
}

// Error is the sentence.
func (e *RuleError) Error() string { return e.Detail }

func broken(code, format string, args ...any) error {
	return &RuleError{code, fmt.Sprintf(format, args...)}
}

// A Bootstrap says who vouches for version 1, which has no version before it with a managing key.
type Bootstrap struct {
	kind   bootstrapKind
	invite keys.PublicKey
}

type bootstrapKind int

const (
	bootstrapNone bootstrapKind = iota
	bootstrapInvite
	bootstrapVouched
	bootstrapUnknown
)

// ByInvite asks for a signature by the invite's key.
func ByInvite(public keys.PublicKey) Bootstrap { return Bootstrap{bootstrapInvite, public} }

// ByVoucher says that the registry has checked a credential of its own, so that version 1 is
// signed by its own keys alone. It is for registries that bootstrap by something else than a code;
// regkey-registry does not.
func ByVoucher() Bootstrap { return Bootstrap{kind: bootstrapVouched} }

// ByWhoever is for a client that reads a chain which another client began. It can't check how the
// registry was convinced, so one signature by an Ed25519 key that is not in the keyset is ignored.
func ByWhoever() Bootstrap { return Bootstrap{kind: bootstrapUnknown} }

// Standing is what a registry or a client knows when it judges a new version.
type Standing struct {
	// Indexes are the index URLs that a document may name: the registry's, then its former ones.
	Indexes []string
	// Account is the account whose keyset it is.
	Account string
	// Previous is the version that stands, already accepted; nil before version 1.
	Previous *SignedKeyset
	// Now is the registry's clock, or, when a client verifies a chain later, the time at which the
	// version was issued.
	Now time.Time
	// Revoked are the keys of this account for which a revocation is known.
	Revoked []keys.ID
	// Bootstrap is for version 1 only.
	Bootstrap Bootstrap
	// Vet, if set, is asked about every key that is new in the version, once the version is vouched
	// for; its error is returned as it is. A registry refuses here keys that are or were another
	// account's.
	Vet func(keys.ID) error

	// past says that the version was accepted some time ago, so that keys in Revoked may have been
	// revoked after it. Then it need not name them as revoked, and may list those that were trusted
	// before; but none of them can have authorised it.
	past bool
	// later, if set, is handed each signature to be verified, and Accept takes it for good meanwhile.
	later func(*signedText, keys.PublicKey)
}

// verify checks the signature by key, now or later.
func (s Standing) verify(n *signedText, key keys.PublicKey) error {
	if s.later != nil {
		s.later(n, key)
		return nil
	}
	return n.verify(key)
}

// Accept decides whether next may follow what stands. It returns nil, a [*RuleError], or an
// error of Vet. Cheap checks come before signatures, and a managing signature before Vet and the
// signatures of new keys, so that a stranger costs a registry at most one signature check.
func (s Standing) Accept(next *SignedKeyset) error {
	for _, check := range []func(Standing, *SignedKeyset) error{
		Standing.checkPlace, Standing.checkTime, Standing.checkKeys, Standing.checkRevoked, Standing.checkSignatures,
	} {
		if err := check(s, next); err != nil {
			return err
		}
	}
	return nil
}

// checkPlace is rule 1 without the times: the right chain, and the next link of it.
func (s Standing) checkPlace(next *SignedKeyset) error {
	if !slices.Contains(s.Indexes, next.Registry) {
		return broken(CodeRegistryMismatch, "the keyset is for the registry %q, not for %q", next.Registry, first(s.Indexes))
	}
	if next.Account != s.Account {
		return broken(CodeAccountMismatch, "the keyset is of the account %q, not of %q", next.Account, s.Account)
	}
	if s.Previous == nil {
		if next.Version != 1 {
			return broken(CodeVersion, "the keyset is version %d, but the account has none yet: the first is version 1", next.Version)
		}
		return nil
	}
	if s.Previous.Closed {
		return broken(CodeClosed, "the account %q was closed with version %d, and nothing follows it: use another account", s.Account, s.Previous.Version)
	}
	if next.Version != s.Previous.Version+1 {
		return broken(CodeVersion, "the keyset is version %d, but version %d stands: fetch that one, and build version %d on it", next.Version, s.Previous.Version, s.Previous.Version+1)
	}
	if next.Previous != s.Previous.Hash() {
		return broken(CodePrevious, "the keyset follows a version %d with the hash %v, but the one that stands has %v: fetch that one, and build on it", s.Previous.Version, next.Previous, s.Previous.Hash())
	}
	return nil
}

func first(list []string) string {
	if len(list) == 0 {
		return "this one"
	}
	return list[0]
}

func (s Standing) checkTime(next *SignedKeyset) error {
	if next.Issued.After(s.Now.Add(maxAhead)) {
		return broken(CodeIssued, "the keyset was issued at %s, which is in the future: check the clock of the machine that signed it", next.Issued.Format(timeLayout))
	}
	if next.Issued.Before(s.Now.Add(-maxAge)) {
		return broken(CodeIssued, "the keyset was issued at %s, more than 30 days ago: check the clock of the machine that signed it, and sign a new one", next.Issued.Format(timeLayout))
	}
	if s.Previous != nil && next.Issued.Before(s.Previous.Issued) {
		return broken(CodeIssued, "the keyset was issued at %s, before the version that it follows (%s): check the clock of the machine that signed it", next.Issued.Format(timeLayout), s.Previous.Issued.Format(timeLayout))
	}
	return nil
}

// checkKeys is rule 4, and the half of rule 3 that needs no signature.
func (s Standing) checkKeys(next *SignedKeyset) error {
	managers := 0
	for _, e := range next.Keys {
		if e.Can.Has(Manage) && !e.Until.IsZero() {
			return broken(CodeManagerUntil, "key %v may manage and has an end: a key with until= can't manage", e.Key.ID())
		}
		if e.Can.Has(Manage) {
			managers++
		}
	}
	if managers == 0 && !next.Closed {
		return broken(CodeNoManager, "no key in the keyset may manage: the account would be locked for ever")
	}
	if len(s.Revoked) == 0 {
		return nil
	}
	bound := next.Keys
	if s.past {
		bound = s.added(next)
	}
	revoked := make(map[keys.ID]bool, len(s.Revoked))
	for _, id := range s.Revoked {
		revoked[id] = true
	}
	for _, e := range bound {
		if revoked[e.Key.ID()] {
			return broken(CodeKeyRevoked, "key %v is revoked: a revoked key never comes back", e.Key.ID())
		}
	}
	return nil
}

// checkRevoked is rule 5, and that a revoked line never goes away.
func (s Standing) checkRevoked(next *SignedKeyset) error {
	var lacking keys.ID
	if s.Previous != nil {
		lacking = missing(s.Previous.Revoked, next.Revoked)
	}
	if !s.past && lacking.IsZero() {
		known := slices.Clone(s.Revoked)
		slices.SortFunc(known, keys.ID.Compare)
		lacking = missing(known, next.Revoked)
	}
	if !lacking.IsZero() {
		return broken(CodeRevocations, "the keyset lacks the line %q: revocations are carried along for ever", "revoked: "+lacking.String())
	}
	return nil
}

// missing is the first of wanted that is not in listed; both are sorted. Zero: all are.
func missing(wanted, listed []keys.ID) keys.ID {
	for _, id := range wanted {
		for len(listed) > 0 && listed[0].Compare(id) < 0 {
			listed = listed[1:]
		}
		if len(listed) == 0 || listed[0] != id {
			return id
		}
	}
	return keys.ID{}
}

// added are the entries whose key the version before does not list.
func (s Standing) added(next *SignedKeyset) []Entry {
	if s.Previous == nil {
		return next.Keys
	}
	var added []Entry
	before := s.Previous.Keys // sorted by id, as next's are
	for _, e := range next.Keys {
		for len(before) > 0 && before[0].Key != e.Key && before[0].Key.ID().Compare(e.Key.ID()) < 0 {
			before = before[1:]
		}
		if len(before) == 0 || before[0].Key != e.Key {
			added = append(added, e)
		}
	}
	return added
}

// find is the line of a key among entries that are sorted by id.
func find(entries []Entry, id keys.ID) (Entry, bool) {
	i, found := slices.BinarySearchFunc(entries, id, func(e Entry, id keys.ID) int { return e.Key.ID().Compare(id) })
	if !found {
		return Entry{}, false
	}
	return entries[i], true
}

// lists reports whether one of the entries, which are sorted by id, is the key's.
func lists(entries []Entry, id keys.ID) bool {
	_, found := find(entries, id)
	return found
}

// checkSignatures is rules 2 and 3: exactly one managing key of the version before (or the
// bootstrap), every new key, and nobody else.
func (s Standing) checkSignatures(next *SignedKeyset) error {
	added := s.added(next)
	for _, e := range added {
		if id := e.Key.ID(); !next.signed.signedBy(id) {
			return broken(CodePossession, "key %v is new in the keyset and has not signed it: nobody can enrol another's key", id)
		}
	}
	vouching, err := s.vouching(next, added)
	if err != nil {
		return err
	}
	for _, line := range next.signed.signatures {
		if id := line.signer; !lists(added, id) && id != vouching {
			return broken(CodeSigner, "the keyset carries a signature by %v, which no rule asks for: leave it out", id)
		}
	}
	return s.checkPossession(next, added)
}

// checkPossession asks Vet about the new keys and checks their signatures.
func (s Standing) checkPossession(next *SignedKeyset, added []Entry) error {
	for _, e := range added {
		if s.Vet != nil {
			if err := s.Vet(e.Key.ID()); err != nil {
				return err
			}
		}
		if err := s.verify(next.signed, e.Key); err != nil {
			return broken(CodePossession, "key %v is new in the keyset, but %v: sign it anew", e.Key.ID(), err)
		}
	}
	return nil
}

// noBootstrap is the same whether or not there is a code: nobody learns which accounts have one.
const noBootstrap = "the first keyset of the account is not signed with its invite code: " +
	"check the code and the account's name, or ask the operator for a new code"

// vouching finds and checks the signature that gives the version its authority, and returns its
// signer: zero where the registry itself vouches.
func (s Standing) vouching(next *SignedKeyset, added []Entry) (keys.ID, error) {
	if s.Previous != nil {
		return s.managing(next, added)
	}
	switch s.Bootstrap.kind {
	case bootstrapVouched:
		return keys.ID{}, nil
	case bootstrapUnknown:
		for _, id := range next.Signers() {
			if !lists(added, id) && id.Algorithm() == keys.Ed25519 {
				return id, nil
			}
		}
		return keys.ID{}, nil
	case bootstrapInvite:
		if err := s.verify(next.signed, s.Bootstrap.invite); err != nil {
			return keys.ID{}, broken(CodeBootstrap, noBootstrap)
		}
		return s.Bootstrap.invite.ID(), nil
	}
	return keys.ID{}, broken(CodeBootstrap, noBootstrap)
}

func (s Standing) managing(next *SignedKeyset, added []Entry) (keys.ID, error) {
	for _, line := range next.signed.signatures {
		id := line.signer
		e, found := find(s.Previous.Keys, id)
		if !found || lists(added, id) {
			continue
		}
		if slices.Contains(s.Revoked, id) {
			return keys.ID{}, broken(CodeUnmanaged, "the keyset is signed by %v, which is revoked: sign it with another key that manages", id)
		}
		if !e.Can.Has(Manage) || !e.Alive(s.Now) {
			continue
		}
		if err := s.verify(next.signed, e.Key); err != nil {
			return keys.ID{}, broken(CodeUnmanaged, "the managing key's signature is not good: %v; sign it anew", err)
		}
		return id, nil
	}
	return keys.ID{}, broken(CodeUnmanaged, "no key that may manage in version %d has signed the keyset: sign it with one that may", s.Previous.Version)
}
