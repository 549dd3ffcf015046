// Lies: whatever a registry shows that contradicts what was verified before is found, and changes nothing.

package enroll

import (
	"context"
	"errors"
	"maps"
	"slices"
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
}

func (l *liar) Latest(ctx context.Context, account string) ([]byte, [][]byte, error) {
	if l.shut != nil {
		return nil, nil, l.shut
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
	for name, lie := range map[string]*liar{
		"rolled back":                   latest(chain[1].Note),
		"rolled back to the first":      latest(chain[0].Note),
		"another version 3":             latest(forked3),
		"a version 4 on another 3":      both(fork(parse(forked3), same, ed(1))),
		"a stranger's version 4":        both(fork(chain[2], same, ed(9))),
		"a version 4 by nobody's right": both(fork(chain[2], func(k *Keyset) { k.Keys = append(k.Keys, entry(ed(9), CanEverything)) }, ed(9))),
		"a key that has not signed":     both(fork(chain[2], func(k *Keyset) { k.Keys = append(k.Keys, entry(ed(9), CanEverything)) }, ed(1))),
		"a revoked key signs":           both(fork(chain[2], same, ed(2))),
		"a revoked key comes back": both(fork(chain[2], func(k *Keyset) {
			k.Revoked = nil
			k.Keys = append(k.Keys, entry(ed(2), Read))
		}, ed(1), ed(2))),
		"a revoked line is gone":                  both(fork(chain[2], func(k *Keyset) { k.Revoked = nil }, ed(1))),
		"a version 5 at once":                     both(fork(parse(fork(chain[2], same, ed(1))), same, ed(1))),
		"two versions 4":                          latest(fork(chain[2], same, ed(1))),
		"a chain with a hole":                     {keysets: func(int, [][]byte) [][]byte { return nil }},
		"a chain from the start":                  {keysets: func(int, [][]byte) [][]byte { return [][]byte{chain[0].Note} }},
		"rubbish in the chain":                    {keysets: func(int, [][]byte) [][]byte { return [][]byte{[]byte("rubbish")} }},
		"rubbish":                                 latest([]byte("rubbish")),
		"nothing":                                 latest(nil),
		"another account's":                       both(foreign),
		"a hidden revocation":                     {latest: func(note []byte, _ [][]byte) ([]byte, [][]byte) { return note, nil }},
		"a stranger's revocation":                 revocations(revocation(ed(1).Public().ID(), ed(9))),
		"a revocation by a key without the right": revocations(revocation(ed(3).Public().ID(), ed(2))),
		"a forged revocation":                     revocations(encodeNote(forged.Text, forged.signed.signatures)),
		"rubbish as a revocation":                 revocations([]byte("rubbish")),
		"a revocation for elsewhere":              revocations(elsewhere.Note),
	} {
		t.Run(name, func(t *testing.T) {
			m := begun.on(t).copy(true)
			lie.Registry = m.line
			m.Registry = lie
			files := m.tree()
			for what, err := range map[string]error{
				"sync":   second(m.Sync(ctx)),
				"enrol":  m.enrol("new", 0),
				"rotate": m.rotate("laptop", "new", 0),
				"revoke": m.revoke("laptop"),
			} {
				var distrusted *DistrustError
				if !errors.As(err, &distrusted) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if len(m.line.sent) != 0 || slices.Contains(m.line.kinds, "revoke") {
				t.Error("something was sent")
			}
			if !sameTree(files, m.tree()) {
				t.Error("a file was changed")
			}
			m.Registry = m.line // the truth, again
			m.key("desk", ed(3))
			m.must(m.enrol("new", 0))
			m.wants(5, "laptop", []string{"desk", "laptop", "new"}, []string{"ci"})
		})
	}
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
