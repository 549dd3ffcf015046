// What a key may sign, as far as this machine knows: asked before a person is asked.

package enroll

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// A LimitError says that the newest keyset which this machine has verified does not let a key sign.
type LimitError struct{ Detail string }

// Error is the sentence.
func (e *LimitError) Error() string { return e.Detail }

func limited(format string, args ...any) error { return &LimitError{fmt.Sprintf(format, args...)} }

// CheckUse fails with a [*LimitError] where the key may not do can to the crate ("" where the operation
// names none) in e's account, or not any more at that time: the registry would refuse it, and nobody
// is to be asked for a passphrase, a PIN or a touch in vain. It judges by what this machine has
// verified so far, and asks nobody; a key that no keyset here lists, and an account without one, are
// for the registry to judge.
func (e *Enrolment) CheckUse(home string, key keys.PublicKey, can Can, crate string, now time.Time) error {
	if e.Manual {
		return nil
	}
	state := OpenState(home, e.Index, e.Account)
	k, err := state.Keyset()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	id := key.ID()
	revoked, err := state.revoked()
	if err != nil {
		return err
	}
	entry, listed := k.Entry(id)
	switch {
	case slices.Contains(revoked, id) || slices.Contains(k.Revoked, id):
		return limited("it was revoked")
	case !listed:
		return nil
	case !entry.Alive(now):
		return limited("its time ended at %s", entry.Until.UTC().Format(timeLayout))
	case !entry.Can.Has(can):
		return limited("it may %v, and not %v", entry.Can, can)
	case !entry.Allows(can, crate):
		return limited("it may do that only to %s", strings.Join(entry.Crates, ", "))
	}
	return nil
}
