// Long chains: what verifying them costs, and that nothing in them goes unnoticed.

package enroll

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// longChain is so many versions of an account that begins with base keys and then adds a key with every
// seventh version, drops it two versions later and moves another one's end; each is signed by the first key, which manages.
func longChain(t testing.TB, key func(byte) *keys.SoftwareKey, versions, base int) []*SignedKeyset {
	t.Helper()
	first := &Keyset{Registry: testIndex, Account: testAccount, Version: 1, Issued: noon}
	var signers []keys.Signer
	for n := range base {
		can := CanByDefault
		if n == 0 {
			can = CanEverything
		}
		first.Keys = append(first.Keys, entry(key(byte(1+n)), can))
		signers = append(signers, key(byte(1+n)))
	}
	all := []*SignedKeyset{mustSign(t, first, signers...)}
	for len(all) < versions {
		last := all[len(all)-1]
		next := follow(last)
		next.Issued = last.Issued.Add(time.Minute)
		signers := []keys.Signer{key(1)}
		guest := key(byte(101 + len(all)/7%100))
		switch len(all) % 7 {
		case 0:
			next.Keys = append(next.Keys, entry(guest, CanByDefault))
			signers = append(signers, guest)
		case 2:
			next.Keys = slices.DeleteFunc(next.Keys, func(e Entry) bool { return e.Key == guest.Public() })
		case 4:
			for i, e := range next.Keys {
				if e.Key == key(2).Public() {
					next.Keys[i].Until = next.Issued.Add(time.Hour * 24 * 365)
				}
			}
		}
		all = append(all, mustSign(t, next, signers...))
	}
	return all
}

func notesOf(chain []*SignedKeyset) [][]byte {
	var notes [][]byte
	for _, k := range chain {
		notes = append(notes, k.Note)
	}
	return notes
}

var algorithms = map[string]func(byte) *keys.SoftwareKey{"ed25519": ed, "p384": p384}

func TestVerifyChain(t *testing.T) {
	for name, key := range algorithms {
		t.Run(name, func(t *testing.T) {
			chain := longChain(t, key, 24, 3)
			notes := notesOf(chain)
			for from := range chain {
				var pinned *SignedKeyset
				if from > 0 {
					pinned = chain[from-1]
				}
				got, err := VerifyChain([]string{"x", testIndex}, testAccount, notes[from:], pinned)
				if err != nil || len(got) != len(chain)-from {
					t.Fatalf("from %d: %d versions, %v", from, len(got), err)
				}
				for i, k := range got {
					if !bytes.Equal(k.Note, notes[from+i]) || k.Hash() != chain[from+i].Hash() {
						t.Errorf("from %d: version %d is another", from, k.Version)
					}
				}
			}
			for name, lie := range map[string]struct {
				notes [][]byte
				good  int
			}{
				"a hole":         {slices.Delete(slices.Clone(notes), 9, 10), 9},
				"a version more": {slices.Insert(slices.Clone(notes), 9, notes[8]), 9},
				"the wrong way":  {[][]byte{notes[1], notes[0]}, 0},
				"rubbish":        {[][]byte{notes[0], []byte("rubbish")}, 1},
				"a signature of another version": {[][]byte{
					notes[0], encodeNote(chain[1].Text, chain[2].signed.signatures),
				}, 1},
			} {
				if got, err := VerifyChain([]string{testIndex}, testAccount, lie.notes, nil); err == nil || len(got) != lie.good {
					t.Errorf("%s: %d versions, %v", name, len(got), err)
				}
			}
			for name, err := range map[string]error{
				CodeRegistryMismatch: second(VerifyChain([]string{"x"}, testAccount, notes, nil)),
				CodeAccountMismatch:  second(VerifyChain([]string{testIndex}, "another", notes, nil)),
				CodeVersion:          second(VerifyChain([]string{testIndex}, testAccount, notes[1:], nil)),
			} {
				if codeOf(err) != name {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// What was read of a key line in one version is not taken for another line in the next.
func TestKnownLines(t *testing.T) {
	chain := longChain(t, ed, 10, 2)
	known := newKnown()
	for range 2 {
		for _, k := range chain {
			again, err := known.parseSigned(k.Note)
			if err != nil {
				t.Fatal(err)
			}
			if text, err := again.Encode(); err != nil || !bytes.Equal(text, k.Text) {
				t.Errorf("version %d reads back as\n%s(%v)", k.Version, text, err)
			}
		}
	}
	for _, change := range []func([]byte) []byte{
		func(text []byte) []byte {
			return bytes.Replace(text, []byte("can=manage"), []byte("can=manage,manage"), 1)
		},
		func(text []byte) []byte { return bytes.Replace(text, []byte(" can="), []byte("  can="), 1) },
		func(text []byte) []byte { return bytes.Replace(text, []byte("key: "), []byte("key: k"), 1) },
	} {
		if _, err := known.parseKeyset(change(slices.Clone(chain[3].Text))); err == nil {
			t.Error("a changed line is taken")
		}
	}
}

// A bare check is one signature of a chain, with everything found before.
type bareCheck struct {
	key          keys.PublicKey
	message, raw []byte
}

// measure verifies the notes, and does their bare signature checks and nothing else, so many times and
// in turns, a window at a time. Others use the machine too: of each window the best time counts.
func measure(t testing.TB, chain []*SignedKeyset, times int) (whole, bare time.Duration, checks int) {
	t.Helper()
	public := map[keys.ID]keys.PublicKey{}
	for first := 0; first < len(chain); first += window {
		part := chain[first:min(first+window, len(chain))]
		var all []bareCheck
		for _, k := range part {
			for _, e := range k.Keys {
				public[e.Key.ID()] = e.Key
			}
			for _, s := range k.signed.signatures {
				all = append(all, bareCheck{public[s.signer], k.signed.message, s.raw})
			}
		}
		var before *SignedKeyset
		if first > 0 {
			before = chain[first-1]
		}
		notes := notesOf(part)
		bestWhole, bestBare := time.Hour, time.Hour
		for range times {
			start := time.Now()
			for _, c := range all {
				if !c.key.Verify(c.message, c.raw) {
					t.Fatal("a signature does not verify")
				}
			}
			middle := time.Now()
			if got, err := VerifyChain([]string{testIndex}, testAccount, notes, before); err != nil || len(got) != len(part) {
				t.Fatal(err)
			}
			bestBare, bestWhole = min(bestBare, middle.Sub(start)), min(bestWhole, time.Since(middle))
		}
		whole, bare, checks = whole+bestWhole, bare+bestBare, checks+len(all)
	}
	return whole, bare, checks
}

// The cost of verifying a thousand versions, in bare signature checks of the same run on one core: with
// one core to do it on, and with all.
func BenchmarkVerifyChain(b *testing.B) {
	for _, name := range []string{"ed25519", "p384"} {
		for _, base := range []int{3, 12} {
			b.Run(fmt.Sprintf("%s/%d keys", name, base), func(b *testing.B) {
				chain := longChain(b, algorithms[name], 1000, base)
				for _, cores := range []int{1, runtime.NumCPU()} {
					before := runtime.GOMAXPROCS(cores)
					whole, bare, checks := measure(b, chain, 5+b.N)
					runtime.GOMAXPROCS(before)
					b.ReportMetric(float64(whole)/float64(bare), fmt.Sprintf("of-bare-checks/%d-cores", cores))
					b.ReportMetric(float64(bare.Nanoseconds())/float64(checks), "ns/check")
				}
			})
		}
	}
}
