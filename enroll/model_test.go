// Many random changes by honest, careless and hostile people, judged by Accept and by a model that
// shares nothing with it.

package enroll

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// A world is one account with the keys of owners (1 to 8), who are honest or careless, and of thieves
// (9 to 12), who have no right to anything. It keeps, by number, what the account trusts.
type world struct {
	random  *rand.Rand
	base    *SignedKeyset
	trusted map[int]Can
	revoked map[int]bool // by a revocation that the registry has
	now     time.Time
}

const people = 12

// person is the key with that number; two of them are P-384.
func person(n int) *keys.SoftwareKey {
	if n%6 == 0 {
		return p384(byte(n))
	}
	return ed(byte(n))
}

// A move is a change that somebody tries, told in numbers.
type move struct {
	keys    map[int]Can
	revoked map[int]bool
	closed  bool
	signers map[int]bool
	forged  int // the number under whose name somebody else's signature stands; 0: none
	stale   bool
}

// propose is a good move that one person makes, then some of it is spoiled.
func (w *world) propose() move {
	m := move{keys: map[int]Can{}, revoked: map[int]bool{}, signers: map[int]bool{}}
	for n, can := range w.trusted {
		if !w.revoked[n] {
			m.keys[n] = can
		}
	}
	for n := range w.revoked {
		m.revoked[n] = true
	}
	r := w.random
	for range r.IntN(3) {
		if n := 1 + r.IntN(people); r.IntN(2) == 0 {
			delete(m.keys, n)
		} else if _, listed := m.keys[n]; !w.revoked[n] && (!listed || r.IntN(2) == 0) {
			m.keys[n] = Can(1 + r.IntN(31))
		}
	}
	for n := range m.keys {
		if _, listed := w.trusted[n]; !listed {
			m.signers[n] = true
		}
	}
	if n := w.manager(); n != 0 {
		m.signers[n] = true
	}
	for range r.IntN(3) {
		w.spoil(&m)
	}
	return m
}

// manager is somebody who manages now; 0 if nobody does.
func (w *world) manager() int {
	for n := 1; n <= people; n++ {
		if w.trusted[n].Has(Manage) && !w.revoked[n] {
			return n
		}
	}
	return 0
}

func (w *world) spoil(m *move) {
	r := w.random
	n := 1 + r.IntN(people)
	switch r.IntN(8) {
	case 0:
		delete(m.signers, n)
	case 1:
		m.signers[n] = true
	case 2:
		delete(m.revoked, n)
	case 3:
		m.revoked[n] = true
		delete(m.keys, n)
	case 4:
		if !m.revoked[n] {
			m.keys[n] = CanEverything // a thief's key, or a revoked one, without a signature
		}
	case 5:
		m.forged = n
	case 6:
		m.stale = r.IntN(3) == 0
	case 7:
		m.closed = r.IntN(20) == 0
		if r.IntN(10) == 0 {
			clear(m.keys)
		}
	}
}

// allowed is the model's judgement, in the words of protocol.md.
func (w *world) allowed(m move) bool {
	if m.stale || m.signers[m.forged] {
		return false
	}
	managers := 0
	for n, can := range m.keys {
		if w.revoked[n] || m.revoked[n] {
			return false // a revoked key never comes back
		}
		if can.Has(Manage) {
			managers++
		}
		if _, listed := w.trusted[n]; !listed && !m.signers[n] {
			return false // nobody can enrol another's key
		}
	}
	if managers == 0 && !m.closed {
		return false
	}
	for n := range w.revoked {
		if !m.revoked[n] {
			return false
		}
	}
	for _, id := range w.base.Revoked {
		if !slices.ContainsFunc(numbers(m.revoked), func(n int) bool { return person(n).Public().ID() == id }) {
			return false
		}
	}
	authorities := 0
	for n := range m.signers {
		_, listed := w.trusted[n]
		_, stays := m.keys[n]
		if listed && w.trusted[n].Has(Manage) && !w.revoked[n] {
			authorities++
		} else if listed || !stays {
			return false // no rule asks for that signature
		}
	}
	return authorities == 1
}

func numbers(set map[int]bool) []int {
	var all []int
	for n := range set {
		all = append(all, n)
	}
	slices.Sort(all) // the same order in every run
	return all
}

// sign makes the move's note; nil if no such note can be made.
func (w *world) sign(t *testing.T, m move) *SignedKeyset {
	t.Helper()
	next := follow(w.base)
	next.Issued, next.Closed, next.Keys, next.Revoked = w.now, m.closed, nil, nil
	if m.stale {
		next.Previous[0]++
	}
	for n, can := range m.keys {
		next.Keys = append(next.Keys, entry(person(n), can))
	}
	for _, n := range numbers(m.revoked) {
		next.Revoked = append(next.Revoked, person(n).Public().ID())
	}
	next.Sort()
	var signers []keys.Signer
	for _, n := range numbers(m.signers) {
		signers = append(signers, person(n))
	}
	signed, err := SignKeyset(context.Background(), next, signers...)
	if err != nil {
		return nil
	}
	if !m.signers[m.forged] {
		return signed
	}
	lines := signed.signed.signatures
	for i := range lines {
		if lines[i].signer == person(m.forged).Public().ID() {
			lines[i].raw[20] ^= 1
		}
	}
	signed, err = ParseSignedKeyset(encodeNote(signed.Text, lines))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (w *world) begin(t *testing.T) {
	t.Helper()
	w.base = mustSign(t, &Keyset{
		Registry: testIndex, Account: testAccount, Version: 1, Issued: noon, Keys: []Entry{entry(person(1), CanEverything)},
	}, person(1))
	w.trusted, w.revoked, w.now = map[int]Can{1: CanEverything}, map[int]bool{}, noon
}

func (w *world) step(t *testing.T, did map[string]int) {
	w.now = w.now.Add(time.Minute)
	if w.base.Closed || w.manager() == 0 || len(w.revoked) > 6 {
		did["ended"]++
		w.begin(t)
	}
	if n := 1 + w.random.IntN(people); w.random.IntN(15) == 0 && w.trusted[n] != 0 {
		w.revoked[n] = true
		did["revoked"]++
	}
	m := w.propose()
	next := w.sign(t, m)
	if next == nil {
		did["impossible"]++
		return
	}
	standing := Standing{Indexes: []string{testIndex}, Account: testAccount, Previous: w.base, Now: w.now}
	for _, n := range numbers(w.revoked) {
		standing.Revoked = append(standing.Revoked, person(n).Public().ID())
	}
	err := standing.Accept(next)
	if want := w.allowed(m); (err == nil) != want {
		t.Fatalf("the model allows it: %v, Accept says: %v\nmove %+v\nover\n%s\nwith revoked %v\n%s", want, err, m, w.base.Text, w.revoked, next.Note)
	}
	if err != nil {
		did[codeOf(err)]++
		return
	}
	did["accepted"]++
	if len(next.Signers()) > 1 {
		did["accepted with new keys"]++
	}
	w.base, w.trusted = next, m.keys
	for n := range m.revoked {
		w.revoked[n] = true
	}
}

func TestModel(t *testing.T) {
	t.Parallel()
	steps := 3000
	if testing.Short() {
		steps = 1000
	}
	w := &world{random: rand.New(rand.NewPCG(17486, 3231))}
	w.begin(t)
	did := map[string]int{}
	for range steps {
		w.step(t, did)
	}
	t.Log(did)
	for _, must := range []string{
		"accepted", "accepted with new keys", "revoked", "ended", CodeUnmanaged, CodePossession, CodeSigner, CodeNoManager, CodeRevocations, CodePrevious,
	} {
		if did[must] == 0 {
			t.Errorf("%q never happened: the generator is too tame", must)
		}
	}
}
