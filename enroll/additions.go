// The rules for proposals: version n+1 as a machine wants it that may not manage.

package enroll

import (
	"slices"

	"github.com/cargo-regkey/regkey/keys"
)

// CodeProposal is the code of a proposal that does more than to add keys.
const CodeProposal = "proposal-not-additions"

// maxProposed is how many keys one proposal adds: a machine's key, and the one that reads for it.
const maxProposed = 2

// AcceptProposal is [Standing.Accept] for a version that lacks only the managing signature: every
// other rule holds, and it is signed by the keys that are new in it and nobody else. Whoever
// approves it shall have to look at nothing but the new keys, one or two. So it must leave the
// others as they are, but for those that are revoked or past their end, and must not close the
// account. Like Accept it comes to signatures last.
func (s Standing) AcceptProposal(next *SignedKeyset) error {
	if s.Previous == nil {
		return broken(CodeVersion, "the account has no keyset yet to which a key could be added: enrol its first key with a code")
	}
	for _, check := range []func(*SignedKeyset) error{s.checkPlace, s.checkTime, s.checkKeys, s.checkRevoked, s.checkAdditions} {
		if err := check(next); err != nil {
			return err
		}
	}
	added := s.added(next)
	expected := map[keys.ID]bool{}
	for _, e := range added {
		expected[e.Key.ID()] = true
	}
	for _, id := range next.Signers() {
		if !expected[id] {
			return broken(CodeSigner, "the proposal carries a signature by %v, which is not new in it: leave it out", id)
		}
	}
	return s.checkPossession(next, added)
}

// checkAdditions is what a proposal may not do besides adding keys.
func (s Standing) checkAdditions(next *SignedKeyset) error {
	if next.Closed {
		return broken(CodeProposal, "the proposal closes the account, and it may only add keys")
	}
	if n := len(s.added(next)); n < 1 || n > maxProposed {
		return broken(CodeProposal, "the proposal adds %d keys, and it may add one or two", n)
	}
	for _, id := range next.Revoked {
		if !slices.Contains(s.Revoked, id) && !slices.Contains(s.Previous.Revoked, id) {
			return broken(CodeProposal, "the proposal revokes key %v, and it may only add keys", id)
		}
	}
	listed := make(map[keys.PublicKey]Entry, len(next.Keys)) // by key: an id costs a hash
	for _, e := range next.Keys {
		listed[e.Key] = e
	}
	for _, before := range s.Previous.Keys {
		after, found := listed[before.Key]
		if !found && (!before.Alive(next.Issued) || slices.Contains(next.Revoked, before.Key.ID())) {
			continue
		}
		if !found || after.Can != before.Can || !after.Until.Equal(before.Until) || !slices.Equal(after.Crates, before.Crates) {
			return broken(CodeProposal, "the proposal changes what key %v may do, and it may only add keys", before.Key.ID())
		}
	}
	return nil
}
