// Many random changes by honest, careless and hostile people, judged by the rules and by a model that
// shares nothing with them.

package enroll

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// A right is what the model knows of one key's line.
type right struct {
	can    Can
	until  time.Time
	crates string // one pattern, or none
}

// A world is one account with the keys of owners (1 to 8), who are honest or careless, and of thieves
// (9 to 12), who have no right to anything. Everything but random and chain is the model.
type world struct {
	random *rand.Rand
	chain  []*SignedKeyset // what Accept has let in

	trusted map[int]right // by the version that stands
	named   map[int]bool  // its revoked lines
	ended   map[int]bool  // revocations that the registry has
	head    int           // which letter stands, of all that were ever written; 0: none
	version int
	issued  time.Time
	closed  bool
	now     time.Time
	slow    bool // person 12 has a P-384 key

	letters int
	past    []letter              // what was sent before, to be sent again
	wrote   map[Hash]map[int]bool // who has ever signed which text: what no forger can add to
}

const (
	people  = 12
	inviter = 0 // the invite code's key
)

// A letter is a version that somebody sends, told in numbers, and the note that says so.
type letter struct {
	number, over int // which letter it is, and which one it follows
	version      int
	issued       time.Time
	closed       bool
	elsewhere    bool // another registry or another account is named
	lines        map[int]right
	named        map[int]bool
	signers      map[int]bool // whether the signature under that name is good
	note         *SignedKeyset
}

// manages reports whether the person may sign for the account now.
func (w *world) manages(n int) bool {
	r, listed := w.trusted[n]
	return listed && r.can.Has(Manage) && !w.ended[n] && (r.until.IsZero() || w.now.Before(r.until))
}

// allows is the model's judgement, in the words of docs/protocol.md.
func (w *world) allows(l letter) bool { return w.allowsContent(l) && w.allowsSigners(l) }

// allowsContent is allows, whoever signed.
func (w *world) allowsContent(l letter) bool {
	if w.closed || l.elsewhere || l.version != w.version+1 || l.over != w.head {
		return false
	}
	if l.issued.After(w.now.Add(30*time.Second)) || l.issued.Before(w.now.Add(-30*24*time.Hour)) || l.issued.Before(w.issued) {
		return false
	}
	return w.allowsKeys(l)
}

func (w *world) allowsKeys(l letter) bool {
	managers := 0
	for n, r := range l.lines {
		if w.ended[n] {
			return false // a revoked key never comes back
		}
		if r.can.Has(Manage) && !r.until.IsZero() {
			return false
		}
		if r.can.Has(Manage) {
			managers++
		}
	}
	for n := range w.ended {
		if !l.named[n] {
			return false
		}
	}
	for n := range w.named {
		if !l.named[n] {
			return false
		}
	}
	return managers > 0 || l.closed
}

// allowsSigners wants exactly one authority, every new key, and nobody else.
func (w *world) allowsSigners(l letter) bool {
	for n := range l.lines {
		if _, listed := w.trusted[n]; !listed && !l.signers[n] {
			return false // nobody can enrol another's key
		}
	}
	authorities := 0
	for n, good := range l.signers {
		_, before := w.trusted[n]
		_, after := l.lines[n]
		switch {
		case !good:
			return false
		case w.version == 0 && n == inviter, w.manages(n):
			authorities++
		case before || !after:
			return false // no rule asks for that signature
		}
	}
	return authorities == 1
}

// allowsProposal is for a version that only lets one or two keys in, and that these alone have signed.
func (w *world) allowsProposal(l letter) bool {
	added := 0
	for n, r := range l.lines {
		before, listed := w.trusted[n]
		if !listed {
			added++
		}
		if listed && before != r || listed == l.signers[n] {
			return false
		}
	}
	for n, r := range w.trusted {
		gone := l.named[n] || !r.until.IsZero() && !l.issued.Before(r.until)
		if _, listed := l.lines[n]; !listed && !gone {
			return false
		}
	}
	for n, good := range l.signers {
		if _, listed := l.lines[n]; !good || !listed {
			return false
		}
	}
	for n := range l.named {
		if !w.ended[n] && !w.named[n] {
			return false
		}
	}
	return w.version > 0 && added >= 1 && added <= 2 && !l.closed && w.allowsContent(l)
}

// standing is what a registry judges by.
func (w *world) standing() Standing {
	s := Standing{Indexes: []string{testIndex}, Account: testAccount, Now: w.now, Bootstrap: ByInvite(w.person(inviter).public)}
	if len(w.chain) > 0 {
		s.Previous = w.chain[len(w.chain)-1]
	}
	for _, n := range numbers(w.ended) {
		s.Revoked = append(s.Revoked, w.person(n).public.ID())
	}
	return s
}

// send has the rules and the model judge a letter, and holds against each other what they say.
func (w *world) send(t *testing.T, l letter) (code string) {
	t.Helper()
	err := w.standing().Accept(l.note)
	if want := w.allows(l); (err == nil) != want {
		t.Fatalf("the model allows it: %v, Accept says: %v\n%+v\nover %+v, ended %v, at %v:\n%s", want, err, l, w.trusted, w.ended, w.now, l.note.Note)
	}
	if len(w.past) < 300 {
		w.past = append(w.past, l)
	} else {
		w.past[w.random.IntN(len(w.past))] = l
	}
	if err != nil {
		return codeOf(err)
	}
	w.invariants(t, l)
	w.chain = append(w.chain, l.note)
	w.trusted, w.named, w.head, w.version, w.issued, w.closed = l.lines, l.named, l.number, l.version, l.issued, l.closed
	return ""
}

// invariants are what must be true whatever the rules are. They look at the version itself and at who
// has really signed it.
func (w *world) invariants(t *testing.T, l letter) {
	t.Helper()
	signed := w.wrote[l.note.Hash()]
	vouched := w.version == 0 && signed[inviter]
	for n := range w.trusted {
		vouched = vouched || w.manages(n) && signed[n]
	}
	if !vouched {
		t.Fatalf("trust changed, and nobody who manages has signed:\n%s", l.note.Note)
	}
	managers := 0
	for n := 1; n <= people; n++ {
		id := w.person(n).public.ID()
		e, listed := l.note.Entry(id)
		if !listed {
			continue
		}
		if e.Can.Has(Manage) {
			managers++
		}
		if _, before := w.trusted[n]; !before && !signed[n] {
			t.Fatalf("key %d is trusted and has not signed:\n%s", n, l.note.Note)
		}
		if w.ended[n] || w.named[n] {
			t.Fatalf("the revoked key %d is trusted again:\n%s", n, l.note.Note)
		}
	}
	if managers == 0 && !l.note.Closed {
		t.Fatalf("nobody manages the account, and nobody asked for that:\n%s", l.note.Note)
	}
}

func numbers(set map[int]bool) []int {
	var all []int
	for n := range set {
		all = append(all, n)
	}
	slices.Sort(all) // the same order in every run
	return all
}

// begin is an account without keys; its first version is as likely to be spoiled as any other.
func (w *world) begin() {
	w.chain, w.past, w.head, w.version, w.closed = nil, nil, 0, 0, false
	w.trusted, w.named, w.ended, w.wrote = map[int]right{}, map[int]bool{}, map[int]bool{}, map[Hash]map[int]bool{}
	w.now, w.issued, w.slow = noon, time.Time{}, w.random.IntN(10) == 0
}

// over reports whether nothing can follow any more, or enough has.
func (w *world) over() bool {
	if w.version == 0 {
		return false
	}
	managers := 0
	for n := 1; n <= people; n++ {
		if w.manages(n) {
			managers++
		}
	}
	return w.closed && w.random.IntN(8) == 0 || managers == 0 && !w.closed || len(w.ended)+len(w.named) > 9 || len(w.chain) >= 60
}

func TestModel(t *testing.T) {
	t.Parallel()
	steps, seed := 10_000, uint64(17486)
	if testing.Short() {
		steps = 1000
	}
	if text := os.Getenv("REGKEY_MODEL_STEPS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		steps = n
	}
	if text := os.Getenv("REGKEY_MODEL_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("seed %d, %d steps", seed, steps)
	w := &world{random: rand.New(rand.NewPCG(seed, 3231))}
	w.begin()
	did := map[string]int{}
	for range steps {
		if w.over() {
			did["ended"]++
			w.readAnew(t)
			w.begin()
		}
		for _, what := range w.step(t) {
			did[what]++
		}
	}
	t.Log(did)
	for _, must := range []string{
		"accepted", "honest", "careless", "hostile", "replay", "edited text", "fork", "bootstrap again", "revoked", "ended",
		"proposal accepted", "proposal refused", "proposal approved", "impossible",
		CodeUnmanaged, CodePossession, CodeSigner, CodeNoManager, CodeManagerUntil, CodeRevocations, CodePrevious, CodeVersion,
		CodeIssued, CodeBootstrap, CodeKeyRevoked, CodeRegistryMismatch, CodeAccountMismatch, CodeClosed,
	} {
		if did[must] == 0 && steps >= 5000 {
			t.Errorf("%q never happened: the generator is too tame", must)
		}
	}
}

// readAnew verifies the whole chain as somebody does who meets it at its end.
func (w *world) readAnew(t *testing.T) {
	t.Helper()
	if w.random.IntN(8) > 0 {
		return
	}
	got, err := VerifyChain([]string{testIndex}, testAccount, notesOf(w.chain), nil)
	if err != nil || len(got) != len(w.chain) {
		t.Fatalf("what was accepted is not verified later: %v", err)
	}
}
