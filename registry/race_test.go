// Clients that build on the same version at the same time.

package registry_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
)

// Of any number of clients with different versions n+1 one has its own, and the others are shown it. Round after round,
// as which of them comes first is not ours to say.
func TestRacingClients(t *testing.T) {
	for _, many := range []int{2, 10} {
		t.Run(fmt.Sprint(many), func(t *testing.T) {
			l := newLab(t)
			key := generate(t, keys.Ed25519)
			team := l.enrol("team", key)
			for range 10 {
				team.race(many, key)
			}
		})
	}
}

// race has many clients submit versions that each add a key of their own.
func (a *account) race(many int, manager *keys.SoftwareKey) {
	a.lab.t.Helper()
	var notes []*enroll.SignedKeyset
	for range many {
		added := generate(a.lab.t, keys.Ed25519)
		signed, err := enroll.SignKeyset(a.lab.t.Context(), a.draft(manages(manager), manages(added)), manager, added)
		check(a.lab.t, err)
		notes = append(notes, signed)
	}
	outcomes := make([]error, many)
	var ready, group sync.WaitGroup
	ready.Add(many)
	for i, signed := range notes {
		group.Go(func() {
			client := registryclient.New(a.lab.server.Index(), registryclient.Options{})
			_, discovered := client.Discover(a.lab.t.Context())
			ready.Done()
			ready.Wait() // so that all submissions are on their way together
			outcomes[i] = errors.Join(discovered, client.Submit(a.lab.t.Context(), a.name, enroll.Submission{Note: signed.Note}))
		})
	}
	group.Wait()
	var won []*enroll.SignedKeyset
	for i, err := range outcomes {
		if err == nil {
			won = append(won, notes[i])
		}
	}
	if len(won) != 1 {
		a.lab.t.Fatalf("%d of %d versions %d were accepted: %v", len(won), many, notes[0].Version, outcomes)
	}
	for _, err := range outcomes {
		var refused *registryclient.Error
		if err != nil && (!errors.As(err, &refused) || refused.Status != 409 || refused.Code != "keyset-conflict" || refused.Note != string(won[0].Note)) {
			a.lab.t.Errorf("a client that lost is told %v, want a conflict that shows what stands", err)
		}
	}
	a.standing = won[0]
	// The one that stands can be sent again, and another client finds it.
	client := registryclient.New(a.lab.server.Index(), registryclient.Options{})
	check(a.lab.t, client.Submit(a.lab.t.Context(), a.name, enroll.Submission{Note: won[0].Note}))
	if latest, _, err := client.Latest(a.lab.t.Context(), a.name); err != nil || string(latest) != string(won[0].Note) {
		a.lab.t.Errorf("what stands is shown as %q (%v)", latest, err)
	}
}
