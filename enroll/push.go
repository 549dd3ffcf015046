// Pushing: a registry that was restored from a backup gets back what this machine holds.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cargo-regkey/regkey/keys"
)

// Pushed says what a registry got back.
type Pushed struct {
	Account     string
	From, To    int // the version that the registry showed, 0 if it knew no keyset, and the one that stands now
	Revocations int
}

// Push gives the registry the versions after its own, each as the bytes that were signed, and the
// revocations that it lacks; then it syncs. It does so only where what the registry shows is the
// beginning of what this machine has verified: another keyset is a [*DistrustError]. Nothing is
// signed. A registry may refuse versions that were issued more than 30 days ago: then its operator has
// to help. One that knows neither the account nor the code of its version 1 is a [*DistrustError] too.
func (l *Lifecycle) Push(ctx context.Context) (*Pushed, error) {
	if _, _, err := l.Settle(ctx); err != nil {
		return nil, err
	}
	e, pinned, err := l.enrolled()
	if err != nil {
		return nil, err
	}
	held, err := l.State().Revocations()
	if err != nil {
		return nil, err
	}
	stands, shown, err := l.restored(ctx, e.Account)
	if err != nil {
		return nil, err
	}
	versions, err := l.missing(stands, pinned)
	if err != nil {
		return nil, err
	}
	pushed := &Pushed{Account: e.Account, To: pinned.Version}
	if stands != nil {
		pushed.From, pushed.To = stands.Version, max(stands.Version, pinned.Version)
	}
	lacking := slices.DeleteFunc(held, func(r *SignedRevocation) bool { return shown[r.Key] })
	if err := l.push(ctx, e.Account, versions, lacking, pushed); err != nil {
		if stands == nil && refusedAs(err, CodeBootstrap) {
			return nil, l.gone(pinned) // and it does not know the code of version 1 either
		}
		return nil, err
	}
	_, err = l.Sync(ctx)
	return pushed, err
}

// noneShown are the refusals by which a registry has nothing to show: it knows no keyset of the account; or
// reading needs a token, and by the version that it was set back to the key of this machine may not read.
var noneShown = []string{codeAccountUnknown, "key-unknown", "key-not-allowed", "key-expired"}

// restored is what the registry shows: nil if that is nothing.
func (l *Lifecycle) restored(ctx context.Context, account string) (*SignedKeyset, map[keys.ID]bool, error) {
	stands, notes, err := l.latest(ctx, account)
	if slices.ContainsFunc(noneShown, func(code string) bool { return refusedAs(err, code) }) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	shown := map[keys.ID]bool{}
	for _, note := range notes {
		if r, err := ParseSignedRevocation(note); err == nil {
			shown[r.Key] = true
		}
	}
	return stands, shown, nil
}

// missing are the versions that follow stands, up to the pin. Each names the one before by its hash,
// so the first of them shows whether stands is one that this machine has verified.
func (l *Lifecycle) missing(stands, pinned *SignedKeyset) ([]*SignedKeyset, error) {
	from := 1
	if stands != nil {
		from = stands.Version + 1
		if stands.Version == pinned.Version && stands.Hash() != pinned.Hash() {
			return nil, l.distrust("the registry shows another keyset than this machine has verified", shown(pinned), shown(stands))
		}
	}
	var versions []*SignedKeyset
	for number := from; number <= pinned.Version; number++ {
		k, err := l.State().Version(number)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("pushing to %s: it has the keyset up to version %d, and this machine has no copy of version %d: push from a machine that was enrolled when it was made", l.Index, from-1, number)
		}
		if err != nil {
			return nil, err
		}
		before := stands
		if len(versions) > 0 {
			before = versions[len(versions)-1]
		}
		if before != nil && k.Previous != before.Hash() {
			return nil, l.distrust("the registry shows another keyset than this machine has verified",
				fmt.Sprintf("version %d (%v)", before.Version, k.Previous), shown(before))
		}
		versions = append(versions, k)
	}
	return versions, nil
}

// push sends what is missing. A revocation goes right before the first version that names it: earlier,
// the versions between would lack it, and later, the key that signed it may manage no more.
func (l *Lifecycle) push(ctx context.Context, account string, versions []*SignedKeyset, lacking []*SignedRevocation, pushed *Pushed) error {
	revoke := func(due func(keys.ID) bool) error {
		for i := 0; i < len(lacking); {
			r := lacking[i]
			if !due(r.Key) {
				i++
				continue
			}
			if err := l.Registry.Revoke(ctx, r.Note); err != nil {
				return fmt.Errorf("pushing the revocation of %v: %w", r.Key, err)
			}
			pushed.Revocations++
			lacking = slices.Delete(lacking, i, i+1)
		}
		return nil
	}
	for _, k := range versions {
		named := func(id keys.ID) bool {
			_, found := slices.BinarySearchFunc(k.Revoked, id, keys.ID.Compare)
			return found
		}
		if err := revoke(named); err != nil {
			return err
		}
		if err := l.Registry.Submit(ctx, account, Submission{Note: k.Note}); err != nil {
			return fmt.Errorf("pushing version %d of the keyset: %w", k.Version, err)
		}
	}
	return revoke(func(keys.ID) bool { return true })
}
