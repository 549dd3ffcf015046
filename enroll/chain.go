// Chains: many versions of one keyset, verified one after the other.

package enroll

import (
	"fmt"

	"github.com/cargo-regkey/regkey/keys"
)

// VerifyChain verifies the signed notes of an account's keyset, oldest first and without a hole: after
// from, or from version 1 on where from is nil. How the registry was convinced of version 1 can't be
// told later (see [ByWhoever]). Each version is judged as of the time at which it was issued. The
// versions may name any of the index URLs. It returns those that are good, and with the first that
// is not an error that wraps its [*RuleError] or says why it is no keyset.
//
// The signatures are checked on all processors, and together: see [keys.FirstBad]. What that saves
// pays for more than a third of the reading and judging, which grows with the number of keys.
func VerifyChain(indexes []string, account string, notes [][]byte, from *SignedKeyset) ([]*SignedKeyset, error) {
	v := newVerifier(Standing{Indexes: indexes, Account: account, Previous: from, Bootstrap: ByWhoever()})
	return v.all(notes)
}

// A verifier reads and judges versions that were accepted some time ago.
type verifier struct {
	standing Standing
	known    *known
	signers  map[keys.PublicKey]*chainSigner
}

// newVerifier begins after standing.Previous; nil: at version 1.
func newVerifier(standing Standing) *verifier {
	standing.past = true
	v := &verifier{standing: standing, known: newKnown(), signers: map[keys.PublicKey]*chainSigner{}}
	if standing.Previous != nil {
		for _, e := range standing.Previous.Keys {
			v.known.keys[e.Key.String()] = e.Key
		}
	}
	return v
}

// version is the number of the version that must come next.
func (v *verifier) version() int {
	if v.standing.Previous == nil {
		return 1
	}
	return v.standing.Previous.Version + 1
}

// window is how many versions are read ahead of their signatures: enough to keep the processors
// busy, and few enough that a forger costs little.
const window = 64

// all verifies notes, which follow one another.
func (v *verifier) all(notes [][]byte) ([]*SignedKeyset, error) {
	verified := make([]*SignedKeyset, 0, len(notes))
	for len(notes) > 0 {
		n := min(window, len(notes))
		some, err := v.some(notes[:n])
		verified = append(verified, some...)
		if err != nil {
			return verified, err
		}
		notes = notes[n:]
	}
	return verified, nil
}

// some judges each of the notes by all but the signatures, as if those before it were good; then
// it checks the signatures of all of them.
func (v *verifier) some(notes [][]byte) (verified []*SignedKeyset, err error) {
	base := v.standing.Previous
	var checks []keys.Check
	var versions []int // which of those read each check is of
	v.standing.later = func(n *signedText, key keys.PublicKey) {
		checks, versions = append(checks, v.check(n, key)), append(versions, len(verified))
	}
	for _, note := range notes {
		var k *SignedKeyset
		if k, err = v.read(note); err != nil {
			break
		}
		verified = append(verified, k)
		v.standing.Previous = k
	}
	v.standing.later = nil
	first := keys.FirstBad(checks)
	if first == len(checks) {
		return verified, err
	}
	bad := versions[first]
	// The version with the bad signature is judged once more, for the sentence that says which.
	refused := verified[bad]
	verified = verified[:bad]
	if v.standing.Previous = base; bad > 0 {
		v.standing.Previous = verified[bad-1]
	}
	return verified, v.judge(refused)
}

// read parses the version that follows, and judges it.
func (v *verifier) read(note []byte) (*SignedKeyset, error) {
	k, err := v.known.parseSigned(note)
	if err != nil {
		return nil, fmt.Errorf("verifying version %d of the keyset: %w", v.version(), err)
	}
	return k, v.judge(k)
}

func (v *verifier) judge(k *SignedKeyset) error {
	v.standing.Now = k.Issued
	if err := v.standing.Accept(k); err != nil {
		return fmt.Errorf("verifying version %d of the keyset: %w", v.version(), err)
	}
	return nil
}

// A chainSigner is a key that signed versions of the chain, most likely many.
type chainSigner struct {
	hash     uint32 // see noteHash
	verifier *keys.Verifier
}

// check is the check of n's signature by key that is still to be made. Where n has none that could be
// good, it is the check of no signature, which fails.
func (v *verifier) check(n *signedText, key keys.PublicKey) keys.Check {
	by, found := v.signers[key]
	if !found {
		by = &chainSigner{noteHash(key), key.Verifier()}
		v.signers[key] = by
	}
	c := keys.Check{By: by.verifier, Message: n.message}
	if s, found := n.signature(key.ID()); found && s.framed(key, by.hash) {
		c.Signature = s.raw
	}
	return c
}
