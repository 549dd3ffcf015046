// The client's half: one registry, this machine's keys, and what may happen between them.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
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
	Proposals
}

// Proposals are the part of a registry's key API by which a second machine asks to be let in.
type Proposals interface {
	// Propose posts a version that its new key alone has signed. It is no error if that very text
	// waits already.
	Propose(ctx context.Context, account string, s Submission) (Proposed, error)
	// Proposal is what waits, or was accepted, under the code (see [ProposalCode]). One that is not
	// known, or no longer, is a [Refusal].
	Proposal(ctx context.Context, account, code string) (*Proposal, error)
	// KeysetByCode is Latest for a machine that no key is trusted on yet, if the code is that of the
	// keyset which stands; else a [Refusal].
	KeysetByCode(ctx context.Context, account, code string) (note []byte, revocations [][]byte, err error)
}

// Proposed is a registry's answer to a proposal.
type Proposed struct {
	Code    string // as the registry computed it; the client computes its own
	Expires time.Time
}

// A Proposal is a version that waits for a managing signature.
type Proposal struct {
	Submission           // the note with the new key's signature alone
	Expires    time.Time // when the registry forgets it
	Accepted   []byte    // the signed keyset of the same text, once it stands; else nil
	Outdated   bool      // another version of that number stands: this one can't be accepted any more
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

// A NoManagerError says that no key of this machine may manage an account. It is an [fs.ErrNotExist].
type NoManagerError struct{ Account string }

// Error is the sentence.
func (e *NoManagerError) Error() string {
	return "no key on this machine may manage the account " + e.Account
}

// Is makes it an [fs.ErrNotExist].
func (e *NoManagerError) Is(target error) bool { return target == fs.ErrNotExist }

// ErrNotTrusted says that a key is not in the account's keyset.
var ErrNotTrusted = errors.New("not in the keyset")

// A DistrustError says that a registry's answer contradicts what this machine has verified before,
// or breaks the rules. Nothing was signed or changed.
type DistrustError struct {
	Registry string // its index URL
	Detail   string // what the registry did: a sentence that begins with "the registry"
	Expected string // what it would have shown, had it been honest
	Came     string // what it showed
}

// Error is one sentence of all four.
func (e *DistrustError) Error() string {
	detail := e.Detail
	if rest, ok := strings.CutPrefix(detail, "the registry "); ok && e.Registry != "" {
		detail = "the registry " + e.Registry + " " + rest
	}
	if e.Expected == "" {
		return detail
	}
	return detail + ": expected was " + e.Expected + ", and " + e.Came + " came"
}

func distrust(registry, detail, expected, came string) error {
	return &DistrustError{registry, detail, expected, came}
}

func (l *Lifecycle) distrust(detail, expected, came string) error {
	return distrust(l.Index, detail, expected, came)
}

// A Lifecycle begins, changes and ends the trust in this machine's keys at one registry. Its
// caller holds the lock of the home folder. Every method may be run again after any failure: it
// then completes what was begun, or finds it done.
type Lifecycle struct {
	Home     string
	Index    string
	Account  string   // empty: the one in use at the registry; else also one that is not enrolled yet
	Former   []string // index URLs from before moves, as discovery lists them; believed on first contact and by [Lifecycle.Move]
	Registry Registry // unused where the enrolment is manual
	Keys     *keys.Store
	// With names the key that signs wherever one that manages has to; empty: one that is here. A key
	// that is kept elsewhere signs only where it is named.
	With string
	// Unlock opens a key of the store for signing; it may ask a person.
	Unlock func(ctx context.Context, name string) (keys.Signer, error)
	// Noticed, if set, is told of the changes that others have made since this machine looked last, oldest
	// first, once they are verified and written down.
	Noticed func([]Change)
	Now     func() time.Time
}

// State is the folder of this registry's account.
func (l *Lifecycle) State() *State { return OpenState(l.Home, l.Index, l.Account) }

// indexes are the URLs that documents may name here: the registry's, then those from before moves
// which this machine has verified; without an enrolment, those that the registry claims.
func (l *Lifecycle) indexes() []string {
	former := l.Former
	if e, err := l.State().enrolment(); err == nil {
		former = e.Former
	}
	return append([]string{l.Index}, former...)
}

// fromScratch is what version 1 is judged by when a chain is read that others began.
func (l *Lifecycle) fromScratch(account string) Standing {
	return Standing{Indexes: l.indexes(), Account: account, Bootstrap: ByWhoever()}
}

func (l *Lifecycle) now() time.Time { return l.Now().UTC().Truncate(time.Second) }

// Settle sends the signed bytes that an earlier run left behind, and records the outcome on this
// machine. If the registry refuses them, and does not show that it had accepted them before another
// version followed, they are dropped and the old state stays. It returns the keyset if it was
// accepted, and whether there was one to send. Where the bytes go on waiting the error is a [*LeftError].
func (l *Lifecycle) Settle(ctx context.Context) (accepted *SignedKeyset, found bool, err error) {
	p, err := l.State().pending()
	if err != nil || p == nil {
		return nil, false, l.Left(err)
	}
	k, err := l.submit(ctx, p)
	var refusal Refusal
	if errors.As(err, &refusal) {
		return nil, true, nil
	}
	return k, true, l.Left(err)
}

// upToDate settles what an earlier run left, fetches and verifies what stands, and returns that with this machine's
// enrolment.
func (l *Lifecycle) upToDate(ctx context.Context) (*Enrolment, *SignedKeyset, error) {
	if _, _, err := l.Settle(ctx); err != nil {
		return nil, nil, err
	}
	base, err := l.Sync(ctx)
	if err != nil {
		return nil, nil, err
	}
	e, _, err := l.enrolled()
	return e, base, err
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
	if err := l.progress(k, StepSent); err != nil {
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
	if err := l.progress(k, StepAccepted); err != nil {
		return nil, err
	}
	return k, l.State().clearPending()
}

// refused finds out whether the registry refuses k only because it accepted k long ago: the answer
// got lost, and another machine has built on k since. Then it returns nil. Otherwise it drops the
// signed bytes and returns refusal. If it can't find out, or what the registry shows in k's place is
// no version that could stand there, the bytes stay.
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
		if err := l.standsInstead(k, notes[0]); err != nil {
			return err
		}
	}
	if err := l.State().clearPending(); err != nil {
		return fmt.Errorf("dropping a refused keyset: %v", err)
	}
	return refusal
}

// standsInstead checks that note follows what this machine has verified, as k does, where that is the version
// before k.
func (l *Lifecycle) standsInstead(k *SignedKeyset, note []byte) error {
	pinned, err := l.State().Keyset()
	if err != nil || pinned.Version != k.Version-1 {
		return nil
	}
	revoked, err := l.State().settled()
	if err != nil {
		return err
	}
	v := newVerifier(Standing{Indexes: l.indexes(), Account: k.Account, Previous: pinned, Revoked: revoked})
	if _, err := v.all([][]byte{note}); err != nil {
		return l.distrust("the registry refused a keyset, and shows one in its place that does not follow what this machine has verified",
			l.expected(v), "one that was refused ("+err.Error()+")")
	}
	return nil
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

// next is a draft of the version after base, and what it will be judged by: base's keys that are
// neither revoked nor past their end, and every revocation that is known here.
func (l *Lifecycle) next(base *SignedKeyset) (*Keyset, Standing, error) {
	revoked, err := l.State().revoked()
	if err != nil {
		return nil, Standing{}, err
	}
	issued := l.issued(base)
	next := &Keyset{
		Registry: l.Index, Account: base.Account, Version: base.Version + 1,
		Previous: base.Hash(), Issued: issued,
		Revoked: append(append([]keys.ID(nil), base.Revoked...), revoked...),
	}
	ended := make(map[keys.ID]bool, len(next.Revoked))
	for _, id := range next.Revoked {
		ended[id] = true
	}
	for _, e := range base.Keys {
		if !ended[e.Key.ID()] && e.Alive(issued) {
			next.Keys = append(next.Keys, e)
		}
	}
	standing := Standing{
		Indexes: l.indexes(), Account: base.Account, Previous: base, Now: issued, Revoked: revoked,
	}
	return next, standing, nil
}

// issued is the time of a version after base. It may be later than this machine's clock, which then
// runs behind that of the machine that signed base; the registry has accepted that one.
func (l *Lifecycle) issued(base *SignedKeyset) time.Time {
	if now := l.now(); now.After(base.Issued) {
		return now
	}
	return base.Issued
}

// change signs next by signers, stores it, and submits it.
func (l *Lifecycle) change(ctx context.Context, next *Keyset, after Enrolment, standing Standing, signers ...keys.Signer) (*SignedKeyset, error) {
	next.Sort()
	signed, err := SignKeyset(ctx, next, signers...)
	if err != nil {
		return nil, err
	}
	attestations, err := l.attestations(standing.added(signed))
	if err != nil {
		return nil, err
	}
	return l.send(ctx, signed, after, standing, attestations)
}

// send stores what is signed, and submits it. What the registry would refuse is found before. Where the bytes
// wait to be sent again the error is a [*LeftError].
func (l *Lifecycle) send(ctx context.Context, signed *SignedKeyset, after Enrolment, standing Standing, attestations [][]string) (*SignedKeyset, error) {
	if err := standing.Accept(signed); err != nil {
		return nil, err
	}
	p := &pending{Note: string(signed.Note), Attestations: attestations, Enrolment: after}
	if err := l.State().setPending(p); err != nil {
		return nil, l.Left(err) // which may be there all the same
	}
	if err := l.progress(signed, StepSigned); err != nil {
		return nil, l.Left(err)
	}
	k, err := l.submit(ctx, p)
	return k, l.Left(err)
}

// enrolled is the enrolment and the pinned keyset, or an error that says why there is none.
func (l *Lifecycle) enrolled() (*Enrolment, *SignedKeyset, error) {
	e, err := l.State().enrolment()
	if err != nil {
		return nil, nil, err
	}
	if e.Manual {
		return e, nil, ErrManual
	}
	k, err := l.State().Keyset()
	return e, k, err
}

// manager names a key of this machine that may manage in k, the preferred one first. Records that
// can't be read are an error only if no other key will do.
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
		if l.With != "" && record.Name != l.With || l.With == "" && record.Protection == keys.Elsewhere {
			continue
		}
		if found && e.Can.Has(Manage) && !slices.Contains(revoked, id) && !slices.Contains(except, id) {
			return record, nil
		}
	}
	if l.With != "" {
		return keys.Record{}, errors.Join(fmt.Errorf("key %s may not sign this for the account %s: it does not manage it, or would decide about itself: %w", l.With, k.Account, ErrNotTrusted), faults)
	}
	return keys.Record{}, errors.Join(&NoManagerError{k.Account}, faults)
}
