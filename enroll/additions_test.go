// What a proposal may do, and what it may not.

package enroll

import (
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// proposed is the scene in which ed(4) asks to be added, with its own signature alone.
func proposed(t *testing.T) *scene {
	first := firstVersion(t)
	s := &scene{standing: Standing{Indexes: []string{testIndex}, Account: testAccount, Previous: first, Now: noon}, next: follow(first)}
	s.next.Keys = append(s.next.Keys, entry(ed(4), CanByDefault))
	s.sign(ed(4))
	return s
}

func TestProposals(t *testing.T) {
	ending := noon.Add(-time.Minute)
	for name, test := range map[string]struct {
		change func(s *scene)
		code   string
	}{
		"a new key":          {func(*scene) {}, ""},
		"and one that reads": {func(s *scene) { s.next.Keys = append(s.next.Keys, entry(ed(5), Read)); s.sign(ed(4), ed(5)) }, ""},
		"one that manages":   {func(s *scene) { s.change(ed(4), func(e *Entry) { e.Can = CanEverything }) }, ""},
		"no new key":         {func(s *scene) { s.drop(ed(4)); s.sign(ed(1)) }, CodeProposal},
		"three keys": {func(s *scene) {
			s.next.Keys = append(s.next.Keys, entry(ed(5), Read), entry(ed(6), Read))
			s.sign(ed(4), ed(5), ed(6))
		}, CodeProposal},
		"one dropped":          {func(s *scene) { s.drop(ed(3)) }, CodeProposal},
		"one widened":          {func(s *scene) { s.change(ed(3), func(e *Entry) { e.Can = CanEverything }) }, CodeProposal},
		"one ended":            {func(s *scene) { s.change(ed(3), func(e *Entry) { e.Until = noon.Add(time.Hour) }) }, CodeProposal},
		"one narrowed":         {func(s *scene) { s.change(ed(3), func(e *Entry) { e.Crates = []string{"a"} }) }, CodeProposal},
		"closed":               {func(s *scene) { s.next.Closed = true }, CodeProposal},
		"signed by a manager":  {func(s *scene) { s.sign(ed(1), ed(4)) }, CodeSigner},
		"signed by a stranger": {func(s *scene) { s.sign(ed(4), ed(9)) }, CodeSigner},
		"not signed by itself": {func(s *scene) { s.sign(ed(9)) }, CodeSigner},
		"signed badly":         {func(s *scene) { s.wrong = ed(4) }, CodePossession},
		"one of two signed": {func(s *scene) {
			s.next.Keys = append(s.next.Keys, entry(ed(5), Read))
		}, CodePossession},
		"a revoked one left out": {func(s *scene) {
			s.standing.Revoked, s.next.Revoked = []keys.ID{ed(3).Public().ID()}, []keys.ID{ed(3).Public().ID()}
			s.drop(ed(3))
		}, ""},
		"one revoked by nobody": {func(s *scene) { s.next.Revoked = []keys.ID{ed(3).Public().ID()}; s.drop(ed(3)) }, CodeProposal},
		"a revocation missing":  {func(s *scene) { s.standing.Revoked = []keys.ID{ed(3).Public().ID()}; s.drop(ed(3)) }, CodeRevocations},
		"a revoked key":         {func(s *scene) { s.standing.Revoked = []keys.ID{ed(4).Public().ID()} }, CodeKeyRevoked},
		"one of another":        {func(s *scene) { s.standing.Vet = func(keys.ID) error { return broken(CodeKeyInUse, "taken") } }, CodeKeyInUse},
		"too far ahead":         {func(s *scene) { s.next.Version++ }, CodeVersion},
		"on another version":    {func(s *scene) { s.next.Previous[0]++ }, CodePrevious},
		"a managing key that ends": {func(s *scene) {
			s.change(ed(4), func(e *Entry) { e.Can, e.Until = CanEverything, noon.Add(time.Hour) })
		}, CodeManagerUntil},
		"before there is a keyset": {func(s *scene) { s.first(ByWhoever(), ed(1), p384(2)) }, CodeVersion},
	} {
		t.Run(name, func(t *testing.T) {
			s := proposed(t)
			test.change(s)
			if got := codeOf(s.propose(t)); got != test.code {
				t.Errorf("judged %q, want %q", got, test.code)
			}
		})
	}
	t.Run("one past its end left out", func(t *testing.T) {
		s := proposed(t)
		s.before(t, func(k *Keyset) {
			for i := range k.Keys {
				if k.Keys[i].Key == ed(3).Public() {
					k.Keys[i].Until = ending
				}
			}
		}, ed(1), p384(2), ed(3))
		s.drop(ed(3))
		if err := s.propose(t); err != nil {
			t.Error(err)
		}
	})
}
