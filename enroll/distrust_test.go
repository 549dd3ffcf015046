// Lies: whatever a registry shows that contradicts what was verified before is found, and changes nothing.

package enroll

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// A liar changes what a registry answers.
type liar struct {
	Registry
	latest  func(note []byte, revocations [][]byte) ([]byte, [][]byte)
	keysets func(from int, notes [][]byte) [][]byte
	shut    error // reading needs what the machine does not have
	gone    bool  // there is no such account

	proposal func(p *Proposal)
}

func (l *liar) Proposal(ctx context.Context, account, code string) (*Proposal, error) {
	p, err := l.Registry.Proposal(ctx, account, code)
	if err == nil && l.proposal != nil {
		l.proposal(p)
	}
	return p, err
}

func (l *liar) Latest(ctx context.Context, account string) ([]byte, [][]byte, error) {
	if l.shut != nil {
		return nil, nil, l.shut
	}
	if l.gone {
		return nil, nil, no(codeAccountUnknown)
	}
	note, revocations, err := l.Registry.Latest(ctx, account)
	if err != nil || l.latest == nil {
		return note, revocations, err
	}
	note, revocations = l.latest(note, revocations)
	return note, revocations, nil
}

func (l *liar) Keysets(ctx context.Context, account string, from int) ([][]byte, bool, error) {
	if l.shut != nil {
		return nil, false, l.shut
	}
	notes, more, err := l.Registry.Keysets(ctx, account, from)
	if err != nil || l.keysets == nil {
		return notes, more, err
	}
	return l.keysets(from, notes), false, nil
}

func sameTree(a, b map[string]string) bool { return maps.Equal(a, b) }

// betrayed is a machine that has pinned version 3, which revokes ed(2); version 4, which adds
// ed(3), stands.
func betrayed(t *testing.T) *machine {
	t.Helper()
	m := enrolled(t)
	m.key("ci", ed(2))
	m.must(m.enrol("ci", 0))
	m.must(m.revoke("ci"))
	m.key("new", ed(4))
	other := m.copy(false)
	other.key("desk", ed(3))
	other.must(other.enrol("desk", CanEverything))
	return m
}

func TestLies(t *testing.T) {
	ctx := context.Background()
	begun := betrayed(t)
	chain := begun.book.chain
	fork := func(base *SignedKeyset, change func(*Keyset), signers ...keys.Signer) []byte {
		next := follow(base)
		next.Issued = base.Issued.Add(time.Second)
		change(next)
		return mustSign(t, next, signers...).Note
	}
	parse := func(note []byte) *SignedKeyset {
		k, err := ParseSignedKeyset(note)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	same := func(*Keyset) {}
	forked3 := fork(chain[1], func(k *Keyset) {
		k.Keys, k.Revoked = []Entry{entry(ed(1), CanEverything)}, []keys.ID{ed(2).Public().ID()}
	}, ed(1))
	foreign := fork(chain[2], func(k *Keyset) { k.Account = "someone-else" }, ed(1))
	revocation := func(key keys.ID, signer keys.Signer) []byte { return mustRevoke(t, key, Lost, signer).Note }
	forged, err := ParseSignedRevocation(revocation(ed(1).Public().ID(), ed(1)))
	if err != nil {
		t.Fatal(err)
	}
	forged.signed.signatures[0].raw[3] ^= 1
	elsewhere, err := SignRevocation(ctx, &Revocation{"sparse+https://other.example.com/", ed(1).Public().ID(), Lost}, ed(1))
	if err != nil {
		t.Fatal(err)
	}
	latest := func(lie []byte) *liar {
		return &liar{latest: func(_ []byte, r [][]byte) ([]byte, [][]byte) { return lie, r }}
	}
	both := func(lie []byte) *liar {
		l := latest(lie)
		l.keysets = func(from int, _ [][]byte) [][]byte {
			if from == 4 {
				return [][]byte{lie}
			}
			return nil
		}
		return l
	}
	revocations := func(lie ...[]byte) *liar {
		return &liar{latest: func(note []byte, r [][]byte) ([]byte, [][]byte) { return note, append(slices.Clone(r), lie...) }}
	}
	for name, c := range map[string]struct {
		*liar
		expected, came string // what the sentence says of either
	}{
		"rolled back":              {latest(chain[1].Note), "version 3 (sha256:", "version 2 (sha256:"},
		"rolled back to the first": {latest(chain[0].Note), "version 3 (" + chain[2].Hash().String(), "version 1 (" + chain[0].Hash().String()},
		"an account gone":          {&liar{gone: true}, "version 3 (" + chain[2].Hash().String(), "no such account"},
		"another version 3":        {latest(forked3), chain[2].Hash().String(), parse(forked3).Hash().String()},
		"a version 4 on another 3": {both(fork(parse(forked3), same, ed(1))), "version 4 by the rules, over version 3 (" + chain[2].Hash().String(), "the hash " + parse(forked3).Hash().String()},
		"a stranger's version 4":   {both(fork(chain[2], same, ed(9))), "version 4 by the rules", "no key that may manage"},
		"a version 4 by nobody's right": {
			both(fork(chain[2], func(k *Keyset) { k.Keys = append(k.Keys, entry(ed(9), CanEverything)) }, ed(9))), "version 4 by the rules", "no key that may manage",
		},
		"a key that has not signed": {
			both(fork(chain[2], func(k *Keyset) { k.Keys = append(k.Keys, entry(ed(9), CanEverything)) }, ed(1))), "version 4 by the rules", "has not signed it",
		},
		"an unknown signer":   {both(fork(chain[2], same, ed(1), ed(9))), "version 4 by the rules", "a signature by " + ed(9).Public().ID().String()},
		"a revoked key signs": {both(fork(chain[2], same, ed(2))), "version 4 by the rules", "no key that may manage"},
		"a revoked key comes back": {both(fork(chain[2], func(k *Keyset) {
			k.Revoked = nil
			k.Keys = append(k.Keys, entry(ed(2), Read))
		}, ed(1), ed(2))), "version 4 by the rules", ed(2).Public().ID().String() + " is revoked"},
		"a revoked line is gone": {both(fork(chain[2], func(k *Keyset) { k.Revoked = nil }, ed(1))), "version 4 by the rules", "lacks the line"},
		"a version 5 at once":    {both(fork(parse(fork(chain[2], same, ed(1))), same, ed(1))), "version 4 by the rules", "version 5"},
		"two versions 4":         {latest(fork(chain[2], same, ed(1))), "version 4 (sha256:", begun.book.latest().Hash().String()},
		"a chain with a hole":    {&liar{keysets: func(int, [][]byte) [][]byte { return nil }}, "version 4", "nothing"},
		"a chain from the start": {&liar{keysets: func(int, [][]byte) [][]byte { return [][]byte{chain[0].Note} }}, "version 4 by the rules", "version 1"},
		"rubbish in the chain":   {&liar{keysets: func(int, [][]byte) [][]byte { return [][]byte{[]byte("rubbish")} }}, "version 4 by the rules", "not a text"},
		"rubbish":                {latest([]byte("rubbish")), "the signed keyset of crates-team", "not a text"},
		"nothing":                {latest(nil), "the signed keyset of crates-team", "not a text"},
		"another account's":      {both(foreign), "the account crates-team", "someone-else"},
		"another index URL": {
			both(fork(chain[2], func(k *Keyset) { k.Registry = "sparse+https://evil.example.com/" }, ed(1))), "at " + testIndex, "sparse+https://evil.example.com/",
		},
		"endless versions": {latest(fork(parse(fork(chain[2], same, ed(1))), func(k *Keyset) { k.Version = maxVersion }, ed(1))), "100000 new versions", "version 1000000000"},
		"a hidden revocation": {
			&liar{latest: func(note []byte, _ [][]byte) ([]byte, [][]byte) { return note, nil }}, "that of " + ed(2).Public().ID().String(), "a list of 0",
		},
		"a stranger's revocation":                 {revocations(revocation(ed(1).Public().ID(), ed(9))), ed(1).Public().ID().String(), "one by " + ed(9).Public().ID().String()},
		"a revocation by a key without the right": {revocations(revocation(ed(3).Public().ID(), ed(2))), ed(3).Public().ID().String(), "one by " + ed(2).Public().ID().String()},
		"a forged revocation":                     {revocations(encodeNote(forged.Text, forged.signed.signatures)), "a signature by " + ed(1).Public().ID().String(), "does not verify"},
		"rubbish as a revocation":                 {revocations([]byte("rubbish")), "a signed revocation", "not a text"},
		"a revocation for elsewhere":              {revocations(elsewhere.Note), testIndex, "sparse+https://other.example.com/"},
	} {
		t.Run(name, func(t *testing.T) {
			m := begun.on(t).copy(true)
			c.Registry = m.line
			m.Registry = c.liar
			files := m.tree()
			restored := strings.HasPrefix(name, "rolled back") || name == "an account gone" || name == "a hidden revocation"
			for what, do := range m.operations() {
				if what == "push" && restored {
					continue // a registry from a backup shows just that, and gets back what it lost
				}
				err := do()
				var distrusted *DistrustError
				switch {
				case !errors.As(err, &distrusted):
					t.Errorf("%s: %v", what, err)
				case !strings.Contains(distrusted.Expected, c.expected) || !strings.Contains(distrusted.Came, c.came):
					t.Errorf("%s says that %q was expected, without %q, or that %q came, without %q", what, distrusted.Expected, c.expected, distrusted.Came, c.came)
				case !strings.Contains(err.Error(), distrusted.Expected) || !strings.Contains(err.Error(), distrusted.Came):
					t.Errorf("%s: the sentence leaves something out: %v", what, err)
				}
			}
			if len(m.line.sent) != 0 || slices.Contains(m.line.kinds, "revoke") || slices.Contains(m.line.kinds, "propose") {
				t.Error("something was sent")
			}
			if !sameTree(files, m.tree()) {
				t.Error("a file was changed")
			}
			if m.signed != 0 {
				t.Error("something was signed")
			}
			m.Registry = m.line // the truth, again
			m.key("desk", ed(3))
			m.must(m.enrol("new", 0))
			m.wants(5, "laptop", []string{"desk", "laptop", "new"}, []string{"ci"})
		})
	}
}

// operations are all that begin with a look at what the registry shows.
func (m *machine) operations() map[string]func() error {
	ctx := context.Background()
	until := m.clock.Add(time.Hour)
	return map[string]func() error{
		"sync":    func() error { return second(m.Sync(ctx)) },
		"history": func() error { return second(m.History(ctx)) },
		"enrol":   func() error { return m.enrol("new", 0) },
		"rotate":  func() error { return m.rotate("laptop", "new", 0) },
		"revoke":  func() error { return m.revoke("laptop") },
		"edit":    func() error { return m.edit(EditOptions{Key: "laptop", Until: &until}) },
		"retire":  func() error { return m.edit(EditOptions{Key: "laptop", Retire: true}) },
		"join":    func() error { return second(m.Join(ctx, m.joining("laptop"))) },
		"propose": func() error { return second(m.Propose(ctx, m.asking("new"))) },
		"await": func() error {
			return second(m.AwaitApproval(ctx, m.asking("new"), func(context.Context) error { return errLine }, func(*Waiting) {}))
		},
		"approve": func() error { return m.approve("aaaa-aaaa-aaaa-aaaa-aaaa") },
		"push":    func() error { return second(m.Push(ctx)) },
	}
}

// Lies to a machine that meets the account for the first time: it can tell only those that contradict
// themselves, and writes nothing down then.
func TestLiesAtFirstContact(t *testing.T) {
	ctx := context.Background()
	begun := betrayed(t)
	chain := begun.book.chain
	stranger := follow(chain[2])
	stranger.Issued = chain[2].Issued.Add(time.Second)
	bad := mustSign(t, stranger, ed(9)).Note
	foreign := follow(chain[2])
	foreign.Account = "someone-else"
	for name, lie := range map[string]*liar{
		"a stranger's version 4": {
			latest:  func(_ []byte, r [][]byte) ([]byte, [][]byte) { return bad, r },
			keysets: func(from int, notes [][]byte) [][]byte { return append(notesOf(chain[from-1:3]), bad) },
		},
		"no version 1":      {keysets: func(from int, notes [][]byte) [][]byte { return notesOf(chain[from:]) }},
		"nothing":           {keysets: func(int, [][]byte) [][]byte { return nil }},
		"another account's": {latest: func(_ []byte, r [][]byte) ([]byte, [][]byte) { return mustSign(t, foreign, ed(1)).Note, r }},
		"another's revocation": {latest: func(note []byte, r [][]byte) ([]byte, [][]byte) {
			return note, append(r, mustRevoke(t, ed(1).Public().ID(), Lost, ed(3)).Note[:50])
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := begun.on(t).elsewhere()
			m.key("laptop", ed(1))
			m.key("desk2", ed(7))
			lie.Registry = m.line
			m.Registry = lie
			files := m.tree()
			for what, err := range map[string]error{
				"join":    second(m.Join(ctx, m.joining("laptop"))),
				"propose": second(m.Propose(ctx, m.asking("desk2"))),
			} {
				var distrusted *DistrustError
				if !errors.As(err, &distrusted) || distrusted.Expected == "" || distrusted.Came == "" {
					t.Errorf("%s: %v", what, err)
				}
			}
			if !sameTree(files, m.tree()) || m.signed != 0 {
				t.Error("something was written or signed")
			}
		})
	}
}

// What a registry may say of proposals.
func TestLiesAboutProposals(t *testing.T) {
	ctx := context.Background()
	first := enrolled(t)
	m := first.elsewhere()
	m.key("desk", ed(2))
	w, err := m.Propose(ctx, m.asking("desk"))
	m.must(err)
	own := m.book.asked[w.Code]
	k, err := ParseSignedKeyset(own.Note)
	m.must(err)
	thief := follow(m.book.latest())
	thief.Issued = k.Issued
	thief.Keys = append(thief.Keys, entry(ed(9), CanByDefault))
	theirs := mustSign(t, thief, ed(9)).Note
	vouched := mustSign(t, thief, ed(9), ed(1)).Note
	lies := map[string]func(p *Proposal){
		"another proposal":            func(p *Proposal) { p.Note = theirs },
		"rubbish":                     func(p *Proposal) { p.Note = []byte("rubbish") },
		"accepted without a manager":  func(p *Proposal) { p.Accepted = own.Note },
		"another accepted":            func(p *Proposal) { p.Accepted = vouched },
		"rubbish accepted":            func(p *Proposal) { p.Accepted = []byte("rubbish") },
		"accepted by the thief alone": func(p *Proposal) { p.Accepted = theirs },
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			approver, asker := first.on(t), m.on(t)
			operations := map[string]func() error{}
			accepted := strings.Contains(name, "accepted")
			if accepted {
				operations["await"] = func() error {
					return second(asker.AwaitApproval(ctx, asker.asking("desk"), func(context.Context) error { return errLine }, func(*Waiting) {}))
				}
			} else {
				operations["approve"] = func() error { return approver.approve(w.Code) }
			}
			approver.Registry, asker.Registry = &liar{Registry: approver.line, proposal: lie}, &liar{Registry: asker.line, proposal: lie}
			defer func() { approver.Registry, asker.Registry = approver.line, asker.line }()
			before, sent, signed := []map[string]string{approver.tree(), asker.tree()}, len(approver.line.sent), approver.signed+asker.signed
			for what, do := range operations {
				var distrusted *DistrustError
				if err := do(); !errors.As(err, &distrusted) || distrusted.Expected == "" || distrusted.Came == "" {
					t.Errorf("%s: %v", what, err)
				}
			}
			if !sameTree(before[0], approver.tree()) || !sameTree(before[1], asker.tree()) || len(approver.line.sent) != sent || approver.signed+asker.signed != signed {
				t.Error("something was written, sent or signed")
			}
		})
	}
	first.on(t)
	m.on(t)
	first.must(first.approve(w.Code)) // the truth, again
	m.key("laptop", ed(1))
	if _, err := m.letIn(m.asking("desk")); err != nil {
		t.Error(err)
	}
	m.wants(2, "desk", []string{"desk", "laptop"}, nil)
}

// What is not a lie: revocations that this machine can't judge, about keys that it has never seen.
func TestStrangeRevocationsAreLeftAside(t *testing.T) {
	m := betrayed(t)
	m.key("desk", ed(3))
	strange := mustRevoke(t, ed(70).Public().ID(), Lost, ed(71)).Note
	m.Registry = &liar{Registry: m.line, latest: func(note []byte, r [][]byte) ([]byte, [][]byte) { return note, append(slices.Clone(r), strange) }}
	_, err := m.Sync(context.Background())
	m.must(err)
	m.wants(4, "laptop", []string{"desk", "laptop"}, []string{"ci"})
}

// The signature lines of what "latest" shows are nobody's proof: pinned is the note that was verified.
func TestPinnedIsWhatWasVerified(t *testing.T) {
	m := betrayed(t)
	stands := m.book.latest()
	bad := slices.Clone(stands.signed.signatures)
	bad[0].raw = make([]byte, len(bad[0].raw))
	m.Registry = &liar{Registry: m.line, latest: func(_ []byte, r [][]byte) ([]byte, [][]byte) { return encodeNote(stands.Text, bad), r }}
	k, err := m.Sync(context.Background())
	m.must(err)
	m.key("desk", ed(3))
	m.wants(4, "laptop", []string{"desk", "laptop"}, []string{"ci"})
	if string(k.Note) != string(stands.Note) {
		t.Error("returned is another note than was verified")
	}
}

// A registry that says yes and does nothing is found out by the next look.
func TestEmptyPromise(t *testing.T) {
	m := enrolled(t)
	m.key("desk", ed(2))
	m.Registry = deaf{m.line}
	m.must(m.rotate("laptop", "desk", 0))
	m.Registry = m.line
	var distrusted *DistrustError
	if _, err := m.Sync(context.Background()); !errors.As(err, &distrusted) {
		t.Errorf("%v", err)
	}
}

type deaf struct{ Registry }

func (deaf) Submit(context.Context, string, Submission) error { return nil }
