// The revocations that a registry shows, held against those that this machine knows.

package enroll

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/cargo-regkey/regkey/keys"
)

// checkRevocations parses and verifies the revocations that a registry shows, against the keys of
// every version that this machine has verified, those of chain among them, and returns the new
// ones. Those that it knows already must be among them. One that this machine can't judge, as it has
// not seen the versions that would tell, is left aside.
func (s *State) checkRevocations(indexes []string, notes [][]byte, chain []*SignedKeyset) ([]*SignedRevocation, error) {
	held, err := s.Revocations()
	if err != nil {
		return nil, err
	}
	lacking, known := map[keys.ID]bool{}, map[string]bool{}
	for _, r := range held {
		lacking[r.Key], known[string(r.Note)] = true, true
	}
	var fresh []*SignedRevocation
	for _, note := range notes {
		r, err := ParseSignedRevocation(note)
		if err != nil {
			return nil, distrust(indexes[0], "the registry sent no revocation", "a signed revocation", "something else ("+err.Error()+")")
		}
		if !slices.Contains(indexes, r.Registry) {
			return nil, distrust(indexes[0], "the registry sent another one's revocation", "revocations for "+strings.Join(indexes, " or "), "one for "+r.Registry)
		}
		delete(lacking, r.Key)
		if !known[string(note)] {
			fresh = append(fresh, r)
		}
	}
	for _, r := range held {
		if lacking[r.Key] {
			return nil, distrust(indexes[0], "the registry no longer shows a revocation that this machine knows", fmt.Sprintf("that of %v", r.Key), fmt.Sprintf("a list of %d without it", len(notes)))
		}
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	w, err := s.witnesses(chain)
	if err != nil {
		return nil, err
	}
	return w.judge(indexes[0], fresh)
}

// RecordRevocation keeps a revocation that a registry has taken, for every account of this machine there whose
// keysets show that it is good: no registry can hide it from this machine again. The caller holds the lock of
// the home folder.
func RecordRevocation(home string, r *SignedRevocation) error {
	all, err := ListEnrolments(home)
	if err != nil {
		return err
	}
	for _, e := range all {
		if e.Manual || e.Index != r.Registry && !slices.Contains(e.Former, r.Registry) {
			continue
		}
		s := OpenState(home, e.Index, e.Account)
		w, err := s.witnesses(nil)
		if err != nil {
			return err
		}
		good, err := w.judge(e.Index, []*SignedRevocation{r})
		if err != nil {
			continue // the registry knows more of it than this machine
		}
		for _, r := range good {
			if err := s.addSent(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// witnesses are the keys of the versions that this machine has verified.
type witnesses struct {
	keys  map[keys.ID]Entry // with all that they were ever allowed
	whole bool              // from version 1 on, without a hole
}

func (s *State) witnesses(chain []*SignedKeyset) (*witnesses, error) {
	history, err := s.History()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	w := &witnesses{keys: map[keys.ID]Entry{}}
	last := 0
	w.whole = true
	for _, k := range append(history, chain...) {
		w.whole = w.whole && k.Version <= last+1
		last = max(last, k.Version)
		for _, e := range k.Keys {
			before := w.keys[e.Key.ID()]
			w.keys[e.Key.ID()] = Entry{Key: e.Key, Can: e.Can | before.Can}
		}
	}
	return w, nil
}

// judge returns the revocations that are good, and leaves those aside that can't be judged: about keys
// that were never seen, by a signer who was not either, or who may have managed in a version that
// was not seen.
func (w *witnesses) judge(registry string, all []*SignedRevocation) ([]*SignedRevocation, error) {
	var good []*SignedRevocation
	for _, r := range all {
		signer, found := w.keys[r.Signer()]
		_, ours := w.keys[r.Key]
		may := found && (r.Signer() == r.Key || signer.Can.Has(Manage))
		if !may && (!found && !ours || !w.whole) {
			continue
		}
		if !may {
			return nil, distrust(registry, "the registry shows a revocation by a key that may not make it",
				fmt.Sprintf("that of %v by this key itself or by one that manages", r.Key), fmt.Sprintf("one by %v", r.Signer()))
		}
		if err := r.Verify(signer.Key); err != nil {
			return nil, distrust(registry, "the registry shows a forged revocation", fmt.Sprintf("a signature by %v", r.Signer()), "one that does not verify")
		}
		good = append(good, r)
	}
	return good, nil
}
