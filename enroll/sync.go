// Syncing: what a registry shows, held against what this machine has verified before.

package enroll

import (
	"context"
	"fmt"

	"github.com/cargo-regkey/regkey/keys"
)

// Sync fetches what the registry has, verifies it against the pin, and moves the pin forward. It
// refuses an older keyset, a forked one, one that the rules do not allow, and a registry that
// no longer shows a revocation that it had taken; the error is then a [*DistrustError].
func (l *Lifecycle) Sync(ctx context.Context) (*SignedKeyset, error) {
	e, pinned, err := l.enrolled()
	if err != nil {
		return nil, err
	}
	note, notes, err := l.Registry.Latest(ctx, e.Account)
	if err != nil {
		return nil, fmt.Errorf("fetching the keyset of %s: %w", e.Account, err)
	}
	latest, err := ParseSignedKeyset(note)
	if err != nil {
		return nil, distrust("the registry sent no keyset for %s: %v", e.Account, err)
	}
	known, err := l.State().revoked()
	if err != nil {
		return nil, err
	}
	chain, err := l.chain(ctx, pinned, latest, known)
	if err != nil {
		return nil, err
	}
	received, err := checkRevocations(l.Index, notes, known, append([]*SignedKeyset{pinned}, chain...))
	if err != nil {
		return nil, err
	}
	// The pin goes first: were a revocation there without it, a version that the key had signed before
	// would be refused on the next run.
	for _, k := range chain {
		if err := l.State().keep(k); err != nil {
			return nil, err
		}
		pinned = k
	}
	if len(chain) > 0 {
		if err := l.State().pin(pinned); err != nil {
			return nil, err
		}
	}
	for _, r := range received {
		if err := l.State().addRevocation(r); err != nil {
			return nil, err
		}
	}
	return pinned, nil
}

// chain fetches and verifies the versions after pinned, up to latest.
func (l *Lifecycle) chain(ctx context.Context, pinned, latest *SignedKeyset, revoked []keys.ID) ([]*SignedKeyset, error) {
	if latest.Version < pinned.Version {
		return nil, distrust("the registry shows version %d of the keyset, but this machine has verified version %d: it was rolled back", latest.Version, pinned.Version)
	}
	if latest.Version == pinned.Version {
		if latest.Hash() != pinned.Hash() {
			return nil, distrust("the registry shows another version %d of the keyset than this machine has verified: %v instead of %v", latest.Version, latest.Hash(), pinned.Hash())
		}
		return nil, nil
	}
	var chain []*SignedKeyset
	last := pinned
	for last.Version < latest.Version {
		notes, _, err := l.Registry.Keysets(ctx, pinned.Account, last.Version+1)
		if err != nil {
			return nil, fmt.Errorf("fetching keysets from version %d: %w", last.Version+1, err)
		}
		if len(notes) == 0 {
			return nil, distrust("the registry shows version %d of the keyset and not version %d before it", latest.Version, last.Version+1)
		}
		for _, note := range notes {
			if last.Version == latest.Version {
				break // another machine was quicker: its version is for the next time
			}
			next, err := ParseSignedKeyset(note)
			if err != nil {
				return nil, distrust("the registry sent no keyset as version %d: %v", last.Version+1, err)
			}
			standing := Standing{Indexes: []string{l.Index}, Account: pinned.Account, Previous: last, Now: next.Issued, Revoked: revoked, past: true}
			if err := standing.Accept(next); err != nil {
				return nil, distrust("the registry's version %d does not follow what this machine has verified: %v", next.Version, err)
			}
			chain, last = append(chain, next), next
		}
	}
	if last.Hash() != latest.Hash() {
		return nil, distrust("the registry shows two different versions %d of the keyset", latest.Version)
	}
	return chain, nil
}

// checkRevocations parses and verifies the revocations that a registry shows, against the keys of
// the versions seen. Those that this machine knows already must be among them. One whose key and
// signer are both in none of these versions is left aside: this machine can't judge it.
func checkRevocations(index string, notes [][]byte, known []keys.ID, seen []*SignedKeyset) ([]*SignedRevocation, error) {
	public := map[keys.ID]Entry{}
	for _, version := range seen {
		for _, e := range version.Keys {
			before := public[e.Key.ID()]
			public[e.Key.ID()] = Entry{Key: e.Key, Can: e.Can | before.Can}
		}
	}
	var verified []*SignedRevocation
	shown := map[keys.ID]bool{}
	for _, note := range notes {
		r, err := ParseSignedRevocation(note)
		if err != nil {
			return nil, distrust("the registry sent a revocation that is none: %v", err)
		}
		if r.Registry != index {
			return nil, distrust("the registry sent a revocation for another one, %s", r.Registry)
		}
		shown[r.Key] = true
		signer, found := public[r.Signer()]
		if _, ours := public[r.Key]; !found && !ours {
			continue
		}
		if !found || r.Signer() != r.Key && !signer.Can.Has(Manage) {
			return nil, distrust("the registry shows a revocation of %v signed by %v, which may not end it", r.Key, r.Signer())
		}
		if err := r.Verify(signer.Key); err != nil {
			return nil, distrust("the registry shows a forged revocation: %v", err)
		}
		verified = append(verified, r)
	}
	for _, id := range known {
		if !shown[id] {
			return nil, distrust("the registry no longer shows that %v is revoked", id)
		}
	}
	return verified, nil
}
