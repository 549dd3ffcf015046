// The client's half: one registry, this machine's keys, and what may happen between them.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// A Registry is a registry's key API, as much of it as the lifecycle needs. It carries bytes and
// knows no meaning. Where the registry has understood a request and says no, the error is, or
// wraps, a [Refusal]; every other error leaves open what the registry has done.
type Registry interface {
	// Submit sends a signed keyset. It is no error if that very text stands already.
	Submit(ctx context.Context, account string, s Submission) error
	// Latest is the keyset that stands and every revocation of the account's keys.
	Latest(ctx context.Context, account string) (note []byte, revocations [][]byte, err error)
	// Keysets are versions from on, oldest first; more says that others follow.
	Keysets(ctx context.Context, account string, from int) (notes [][]byte, more bool, err error)
	// Revoke sends a signed revocation. It is no error if the key is revoked already.
	Revoke(ctx context.Context, note []byte) error
}

// A Submission is what a registry is sent of a new version.
type Submission struct {
	Note []byte // the signed keyset
	// Attestations are the certificate chains (DER, the key's own first) by which makers of
	// hardware tokens vouch for keys that are new in the keyset. A chain names its key itself.
	Attestations [][][]byte
}

// A Refusal is an error by which a registry has said no, for good, to exactly what was sent.
type Refusal interface {
	error
	RefusalCode() string
}

// ErrManual says that the registry has no key API: keys are pasted into its website.
var ErrManual = errors.New("this registry has no key API: its keys are managed on its website")

// A DistrustError says that a registry's answer contradicts what this machine has verified before,
// or breaks the rules. Nothing was signed or changed.
type DistrustError struct{ Detail string }

// Error is the sentence.
func (e *DistrustError) Error() string { return e.Detail }

func distrust(format string, args ...any) error {
	return &DistrustError{fmt.Sprintf(format, args...)}
}

// A Lifecycle begins, changes and ends the trust in this machine's keys at one registry. Its
// caller holds the lock of the home folder. Every method may be run again after any failure: it
// then completes what was begun, or finds it done.
type Lifecycle struct {
	Home     string
	Index    string
	Registry Registry // unused where the enrolment is manual
	Keys     *keys.Store
	// Unlock opens a key of the store for signing; it may ask a person.
	Unlock func(ctx context.Context, name string) (keys.Signer, error)
	Now    func() time.Time
}

// State is the folder of this registry.
func (l *Lifecycle) State() *State { return OpenState(l.Home, l.Index) }

func (l *Lifecycle) now() time.Time { return l.Now().UTC().Truncate(time.Second) }

// Settle sends signed bytes that an earlier run left behind, and makes their outcome this
// machine's. If the registry refuses them, and does not show that they stood before another version
// followed, the old state stands and they are dropped. It reports what became of them: nil and
// false if there were none.
func (l *Lifecycle) Settle(ctx context.Context) (accepted *SignedKeyset, found bool, err error) {
	p, err := l.State().pending()
	if err != nil || p == nil {
		return nil, false, err
	}
	k, err := l.submit(ctx, p)
	var refusal Refusal
	if errors.As(err, &refusal) {
		return nil, true, nil
	}
	return k, true, err
}

// submit sends p, having stored it, and stores its outcome.
func (l *Lifecycle) submit(ctx context.Context, p *pending) (*SignedKeyset, error) {
	k, err := p.keyset()
	if err != nil {
		return nil, fmt.Errorf("reading the keyset that waits to be sent: %w", err)
	}
	s, err := p.submission(k)
	if err != nil {
		return nil, err
	}
	err = l.Registry.Submit(ctx, k.Account, s)
	var refusal Refusal
	if errors.As(err, &refusal) {
		err = l.refused(ctx, k, err)
	}
	if err != nil {
		return nil, fmt.Errorf("submitting version %d of the keyset: %w", k.Version, err)
	}
	if err := l.pinNewer(k); err != nil {
		return nil, err
	}
	if err := l.State().saveEnrolment(&p.Enrolment); err != nil {
		return nil, err
	}
	return k, l.State().clearPending()
}

// refused looks whether the registry refuses k only because it has long taken it: the answer got
// lost, and another machine has built on k since. Then it returns nil. Else it drops the signed
// bytes and returns refusal. While that can't be found out, they stay.
func (l *Lifecycle) refused(ctx context.Context, k *SignedKeyset, refusal error) error {
	notes, _, err := l.Registry.Keysets(ctx, k.Account, k.Version)
	var unseen Refusal
	// Before version 1 stands, this machine may have no key that reads there.
	if err != nil && !errors.As(err, &unseen) && k.Version > 1 {
		return fmt.Errorf("the registry refused it (%v) and can't be asked what stands: %w", refusal, err)
	}
	if err == nil && len(notes) > 0 {
		if shown, err := ParseSignedKeyset(notes[0]); err == nil && shown.Hash() == k.Hash() {
			return nil
		}
	}
	if err := l.State().clearPending(); err != nil {
		return fmt.Errorf("dropping a refused keyset: %v", err)
	}
	return refusal
}

// pinNewer moves the pin to k, unless it is there or further already: after an interruption the
// chain may have been fetched before k's own answer was noted.
func (l *Lifecycle) pinNewer(k *SignedKeyset) error {
	pinned, err := l.State().Keyset()
	if err == nil && pinned.Version >= k.Version {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.State().pin(k)
}

// change signs next by signers, stores it, and submits it.
func (l *Lifecycle) change(ctx context.Context, next *Keyset, after Enrolment, standing Standing, signers ...keys.Signer) (*SignedKeyset, error) {
	next.Sort()
	signed, err := SignKeyset(ctx, next, signers...)
	if err != nil {
		return nil, err
	}
	// What the registry would refuse is found here, before it has seen anything.
	if err := standing.Accept(signed); err != nil {
		return nil, err
	}
	p := &pending{Note: string(signed.Note), Enrolment: after}
	if p.Attestations, err = l.attestations(standing.added(signed)); err != nil {
		return nil, err
	}
	if err := l.State().setPending(p); err != nil {
		return nil, err
	}
	return l.submit(ctx, p)
}

// enrolled is the enrolment and the pin, or why there is none.
func (l *Lifecycle) enrolled() (*Enrolment, *SignedKeyset, error) {
	e, err := LookupEnrolment(l.Home, l.Index)
	if err != nil {
		return nil, nil, err
	}
	if e.Manual {
		return e, nil, ErrManual
	}
	k, err := l.State().Keyset()
	return e, k, err
}

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
	if len(chain) > 0 {
		pinned = chain[len(chain)-1]
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

// checkRevocations parses and verifies what a registry says is revoked. known may not have gone.
// A revocation whose signer this machine has never seen, which is about a key that it has never
// seen either, is left aside: it is not this machine's to judge.
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

// manager names a key of this machine that may manage in k, the preferred one first. A record that
// can't be read is in the way only where it might be the one.
func (l *Lifecycle) manager(k *SignedKeyset, preferred string, except ...keys.ID) (keys.Record, error) {
	revoked, err := l.State().revoked()
	if err != nil {
		return keys.Record{}, err
	}
	records, faults := l.Keys.List()
	slices.SortStableFunc(records, func(a, b keys.Record) int {
		switch {
		case a.Name == preferred:
			return -1
		case b.Name == preferred:
			return 1
		}
		return 0
	})
	for _, record := range records {
		id := record.Public.ID()
		e, found := k.Entry(id)
		if found && e.Can.Has(Manage) && !slices.Contains(revoked, id) && !slices.Contains(except, id) {
			return record, nil
		}
	}
	return keys.Record{}, errors.Join(fmt.Errorf("no key on this machine may manage the account %s: %w", k.Account, fs.ErrNotExist), faults)
}
