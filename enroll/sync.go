// Syncing: what a registry shows, held against what this machine has verified before.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cargo-regkey/regkey/keys"
)

// Sync fetches what the registry has, verifies it against the pin, and moves the pin forward. It
// refuses an older keyset, a forked one, one that the rules do not allow, and a registry that
// no longer shows a revocation that it had taken; the error is then a [*DistrustError].
func (l *Lifecycle) Sync(ctx context.Context) (*SignedKeyset, error) {
	pinned, chain, received, err := l.look(ctx)
	if err != nil {
		return nil, err
	}
	return chain[len(chain)-1], l.record(chain, received, pinned)
}

// Check is [Lifecycle.Sync] that changes nothing on this machine.
func (l *Lifecycle) Check(ctx context.Context) (*SignedKeyset, error) {
	_, chain, _, err := l.look(ctx)
	if err != nil {
		return nil, err
	}
	return chain[len(chain)-1], nil
}

// look is Sync that writes nothing down: the pin, the versions from there to what stands, or the pin
// again, and the revocations.
func (l *Lifecycle) look(ctx context.Context) (pinned *SignedKeyset, chain []*SignedKeyset, received []*SignedRevocation, err error) {
	e, pinned, err := l.enrolled()
	if err != nil {
		return nil, nil, nil, err
	}
	latest, notes, err := l.latest(ctx, e.Account)
	if refusedAs(err, codeAccountUnknown) {
		return nil, nil, nil, l.gone(pinned)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	known, err := l.State().settled()
	if err != nil {
		return nil, nil, nil, err
	}
	chain, err = l.follow(ctx, pinned, latest, known)
	if err != nil {
		return nil, nil, nil, err
	}
	received, err = l.State().checkRevocations(l.indexes(), notes, chain)
	if len(chain) == 0 {
		chain = []*SignedKeyset{pinned}
	}
	return pinned, chain, received, err
}

// codeAccountUnknown is how a registry refuses to show an account that it does not have.
const codeAccountUnknown = "account-unknown"

// refusedAs reports whether err is a refusal with that code.
func refusedAs(err error, code string) bool {
	var refusal Refusal
	return errors.As(err, &refusal) && refusal.RefusalCode() == code
}

// gone says that the registry has no account whose keyset this machine has verified: it was rolled back to
// before the account's beginning, or the account was reset, or is hidden.
func (l *Lifecycle) gone(pinned *SignedKeyset) error {
	return l.distrust("the registry no longer knows the account "+pinned.Account, shown(pinned)+" of its keyset or a later one", "the answer that there is no such account")
}

// record writes down what was verified. The pin goes before the revocations: were one there without
// it, a version that the key had signed before would be refused on the next run.
func (l *Lifecycle) record(chain []*SignedKeyset, revocations []*SignedRevocation, pinned *SignedKeyset) error {
	for _, k := range chain {
		if k == pinned {
			continue
		}
		if err := l.State().keep(k); err != nil {
			return err
		}
	}
	if last := chain[len(chain)-1]; last != pinned {
		if err := l.State().pin(last); err != nil {
			return err
		}
	}
	for _, r := range revocations {
		if err := l.State().addRevocation(r); err != nil {
			return err
		}
	}
	if err := l.State().settle(func(keys.ID) bool { return true }); err != nil {
		return err
	}
	l.notice(pinned, chain)
	return nil
}

// notice tells what chain changes from pinned on; nothing on first contact.
func (l *Lifecycle) notice(pinned *SignedKeyset, chain []*SignedKeyset) {
	if pinned == nil || l.Noticed == nil {
		return
	}
	var changes []Change
	for _, k := range chain {
		if k.Version <= pinned.Version {
			continue
		}
		if c := Compare(pinned, k); !c.Empty() {
			changes = append(changes, c)
		}
		pinned = k
	}
	if len(changes) > 0 {
		l.Noticed(changes)
	}
}

// latest fetches the keyset that stands, and the revocations, and verifies as little as
// [Lifecycle.ReadKeyset].
func (l *Lifecycle) latest(ctx context.Context, account string) (*SignedKeyset, [][]byte, error) {
	note, revocations, err := l.Registry.Latest(ctx, account)
	if err != nil {
		return nil, nil, fmt.Errorf("fetching the keyset of %s: %w", account, err)
	}
	k, err := l.ReadKeyset(account, note)
	return k, revocations, err
}

// ReadKeyset parses what the registry shows as that account's keyset. Nothing of it is verified but whose it
// says to be; another one's, or none at all, is a [*DistrustError].
func (l *Lifecycle) ReadKeyset(account string, note []byte) (*SignedKeyset, error) {
	latest, err := ParseSignedKeyset(note)
	if err != nil {
		return nil, l.distrust("the registry sent no keyset", "the signed keyset of "+account, "something else ("+err.Error()+")")
	}
	if indexes := l.indexes(); latest.Account != account || !slices.Contains(indexes, latest.Registry) {
		return nil, l.distrust("the registry sent another keyset than was asked for",
			fmt.Sprintf("that of the account %s at %s", account, strings.Join(indexes, " or ")),
			fmt.Sprintf("that of %s at %s", latest.Account, latest.Registry))
	}
	return latest, nil
}

// shown names a version in a sentence.
func shown(k *SignedKeyset) string { return fmt.Sprintf("version %d (%v)", k.Version, k.Hash()) }

// follow fetches and verifies the versions after pinned, up to latest.
func (l *Lifecycle) follow(ctx context.Context, pinned, latest *SignedKeyset, revoked []keys.ID) ([]*SignedKeyset, error) {
	if latest.Version < pinned.Version {
		return nil, l.distrust("the registry shows an older keyset than this machine has verified, so it was rolled back",
			shown(pinned)+" or a later one", shown(latest))
	}
	if latest.Version == pinned.Version {
		if latest.Hash() != pinned.Hash() {
			return nil, l.distrust("the registry shows another keyset than this machine has verified", shown(pinned), shown(latest))
		}
		return nil, nil
	}
	v := newVerifier(Standing{Indexes: l.indexes(), Account: pinned.Account, Previous: pinned, Revoked: revoked})
	return l.fetch(ctx, v, latest)
}

// maxFetched is how many versions are read of a registry in one go. An account that changed its keys
// ten times a day for thirty years would have as many.
const maxFetched = 100_000

// fetch fetches, in batches, and verifies the versions up to last, which is what they must lead to.
func (l *Lifecycle) fetch(ctx context.Context, v *verifier, last *SignedKeyset) ([]*SignedKeyset, error) {
	var chain []*SignedKeyset
	account := v.standing.Account
	if n := last.Version - v.version(); n > maxFetched {
		return nil, l.distrust("the registry shows more versions than are believed", fmt.Sprintf("%d new versions at most", maxFetched), shown(last))
	}
	for v.version() <= last.Version {
		from := v.version()
		notes, _, err := l.Registry.Keysets(ctx, account, from)
		if err != nil {
			return nil, fmt.Errorf("fetching keysets from version %d: %w", from, err)
		}
		if len(notes) == 0 {
			return nil, l.distrust("the registry shows a keyset without those before it", fmt.Sprintf("version %d, on the way to %s", from, shown(last)), "nothing")
		}
		// What came later than last is for the next time: another machine was quicker.
		some, err := v.all(notes[:min(len(notes), last.Version-from+1)])
		chain = append(chain, some...)
		if err != nil {
			return nil, l.distrust("the registry shows a keyset that does not follow what this machine has verified", l.expected(v), "one that was refused ("+err.Error()+")")
		}
	}
	if end := v.standing.Previous; end.Hash() != last.Hash() {
		return nil, l.distrust("the registry shows two different keysets of one number", shown(last), shown(end))
	}
	return chain, nil
}

// expected is the next version that v would take.
func (l *Lifecycle) expected(v *verifier) string {
	if v.standing.Previous == nil {
		return "version 1 of the account's keyset"
	}
	return fmt.Sprintf("version %d by the rules, over %s", v.version(), shown(v.standing.Previous))
}
