// What the lifecycle itself writes into the journal, whichever command runs it.

package enroll

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/cargo-regkey/regkey/keys"
)

func randomHex(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails: see crypto/rand
	return hex.EncodeToString(raw)
}

// lists reports whether k has the intent's new key.
func (i *Intent) lists(k *SignedKeyset) bool {
	public, err := keys.ParsePublicKey(i.NewKey)
	if err != nil {
		return false
	}
	_, found := k.Entry(public.ID())
	return found
}

// progress notes how far the version k got, in every intent that it belongs to. It runs before bytes
// leave this machine, so that whoever reads the journal knows whether any have, also where another
// command than the one that signed them sends them.
func (l *Lifecycle) progress(k *SignedKeyset, state StepState) error {
	journal := OpenJournal(l.Home)
	intents, _ := journal.Intents() // a file that can't be read stops nobody's change, and is said elsewhere
	for _, i := range intents {
		s := i.Step(l.Index, k.Account)
		if s == nil || s.Closed() || !i.lists(k) {
			continue
		}
		if s.State == state && s.Version == k.Version {
			continue
		}
		s.State, s.Version = state, k.Version
		if err := journal.Save(i); err != nil {
			return err
		}
	}
	return nil
}
