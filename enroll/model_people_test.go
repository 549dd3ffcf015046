// The people of the model: what they write, rightly, carelessly and with bad intent.

package enroll

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"maps"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// A pen is somebody's key. Ed25519 keys sign without checking what they have signed, which a million
// steps would pay for.
type pen struct {
	public keys.PublicKey
	sign   func(message []byte) []byte
}

var pens = map[bool][]pen{false: makePens(false), true: makePens(true)}

func makePens(slow bool) []pen {
	var all []pen
	for n := range byte(people + 1) {
		if slow && n == people {
			key := p384(n)
			all = append(all, pen{key.Public(), func(message []byte) []byte {
				raw, err := key.Sign(context.Background(), message)
				if err != nil {
					panic(err)
				}
				return raw
			}})
			continue
		}
		private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n + 1}, ed25519.SeedSize))
		public, err := keys.NewPublicKey(keys.Ed25519, private[32:])
		if err != nil {
			panic(err)
		}
		all = append(all, pen{public, func(message []byte) []byte { return ed25519.Sign(private, message) }})
	}
	return all
}

func (w *world) person(n int) pen { return pens[w.slow][n] }

// anybody is a person.
func (w *world) anybody() int { return 1 + w.random.IntN(people) }

// manager is somebody who manages now; 0 if nobody does.
func (w *world) manager() int {
	from := w.random.IntN(people)
	for i := range people {
		if n := 1 + (from+i)%people; w.manages(n) {
			return n
		}
	}
	return 0
}

// step is one thing that somebody does; it says what, and what came of it.
func (w *world) step(t *testing.T) []string {
	w.now = w.now.Add(time.Duration(w.random.IntN(7200)) * time.Second)
	r := w.random
	switch choice := r.IntN(100); {
	case choice < 4 && w.version > 0:
		w.ended[w.known()] = true
		return []string{"revoked"}
	case choice < 12 && w.version > 0:
		return w.propose(t)
	case choice < 20 && len(w.past) > 0:
		l := w.past[r.IntN(len(w.past))]
		return []string{"replay", w.send(t, l)}
	case choice < 27 && len(w.past) > 0:
		return w.edit(t)
	}
	l, kind := w.draft(), "honest"
	switch r.IntN(3) {
	case 1:
		kind = "careless"
		w.careless(&l)
	case 2:
		kind = "hostile"
		kind = w.hostile(&l)
	}
	if !w.write(&l) {
		return []string{kind, "impossible"}
	}
	if code := w.send(t, l); code != "" {
		return []string{kind, code}
	}
	return []string{kind, "accepted"}
}

// known is a key that the account has, most of the time.
func (w *world) known() int {
	for range 5 {
		if n := w.anybody(); w.trusted[n].can != 0 {
			return n
		}
	}
	return w.anybody()
}

func (w *world) someRight() right {
	r := right{can: Can(1 + w.random.IntN(31))}
	if w.random.IntN(4) == 0 {
		r.can &^= Manage
		r.until = w.now.Truncate(time.Second).Add(time.Duration(w.random.IntN(100)) * time.Hour)
	}
	if w.random.IntN(4) == 0 {
		r.crates = "foo-*"
	}
	if r.can == 0 {
		r.can = Read
	}
	return r
}

// draft is a good version that somebody writes who manages, with everybody's consent.
func (w *world) draft() letter {
	l := letter{
		over: w.head, version: w.version + 1, issued: w.now.Truncate(time.Second),
		lines: map[int]right{}, named: maps.Clone(w.ended), signers: map[int]bool{},
	}
	if l.issued.Before(w.issued) {
		l.issued = w.issued
	}
	maps.Copy(l.named, w.named)
	for n, r := range w.trusted {
		if !l.named[n] {
			l.lines[n] = r
		}
	}
	for range w.random.IntN(3) {
		if n := w.anybody(); w.random.IntN(2) == 0 {
			delete(l.lines, n)
		} else if !l.named[n] {
			l.lines[n] = w.someRight()
		}
	}
	if n := w.anybody(); w.random.IntN(20) == 0 { // named as revoked, by no more than this version
		l.named[n] = true
		delete(l.lines, n)
	}
	if w.version == 0 {
		delete(l.named, 1)
		l.lines[1], l.signers[inviter] = right{can: CanEverything}, true
	} else if n := w.manager(); n != 0 {
		l.signers[n] = true
		if w.random.IntN(4) > 0 && !l.named[n] {
			l.lines[n] = w.trusted[n]
		}
	}
	for n := range l.lines {
		if _, listed := w.trusted[n]; !listed {
			l.signers[n] = true
		}
	}
	l.closed = w.random.IntN(200) == 0
	return l
}

// careless spoils one or two things without meaning to.
func (w *world) careless(l *letter) {
	r := w.random
	for range 1 + r.IntN(2) {
		n := w.anybody()
		switch r.IntN(10) {
		case 0:
			delete(l.signers, n)
		case 1:
			l.signers[n] = true
		case 2:
			delete(l.named, w.known())
			for _, n := range numbers(l.named) {
				if r.IntN(3) == 0 {
					delete(l.named, n)
				}
			}
		case 3: // an old clock, or one that is ahead
			l.issued = l.issued.Add(time.Duration(r.IntN(80)-40) * 24 * time.Hour)
		case 4:
			l.issued = l.issued.Add(time.Duration(r.IntN(120)-60) * time.Second)
		case 5: // an end for somebody who manages
			if line, listed := l.lines[n]; listed {
				line.until = w.now.Truncate(time.Second).Add(time.Hour)
				l.lines[n] = line
			}
		case 6: // nobody is left who manages
			for n, line := range l.lines {
				if line.can &^= Manage; line.can == 0 {
					line.can = Read
				}
				l.lines[n] = line
			}
		case 7: // an old copy of the keyset
			w.stale(l)
		case 8:
			l.elsewhere = true
		case 9: // a number is left out
			l.version++
		}
	}
}

// stale builds on a version that was sent before, whether or not it stands.
func (w *world) stale(l *letter) {
	if len(w.past) > 0 {
		old := w.past[w.random.IntN(len(w.past))]
		l.over, l.version = old.number, old.version+1
	}
}

// hostile is what thieves try.
func (w *world) hostile(l *letter) string {
	r := w.random
	thief := 9 + r.IntN(4)
	switch r.IntN(10) {
	case 0: // alone
		l.lines[thief], l.signers = right{can: CanEverything}, map[int]bool{thief: true}
	case 1: // with somebody's forged signature
		if n := w.manager(); n != 0 {
			l.lines[thief], l.signers = right{can: CanEverything}, map[int]bool{thief: true, n: false}
		}
	case 2: // a key whose owner has not signed
		l.lines[thief] = right{can: CanEverything}
		delete(l.signers, thief)
	case 3: // somebody who was revoked, or may not manage, signs
		delete(l.signers, w.manager())
		l.signers[w.known()] = true
		for _, n := range numbers(w.ended) {
			if r.IntN(2) == 0 {
				l.signers[n] = true
			}
		}
	case 4: // a revoked key comes back
		if n := w.anybody(); l.named[n] {
			delete(l.named, n)
			l.lines[n], l.signers[n] = right{can: CanEverything}, true
		}
	case 5: // a fork
		w.stale(l)
		return "fork"
	case 6: // the account begins again
		l.version, l.over, l.lines = 1, 0, map[int]right{thief: {can: CanEverything}}
		l.signers = map[int]bool{thief: true}
		if r.IntN(2) == 0 {
			l.signers[inviter] = r.IntN(2) == 0
		}
		return "bootstrap again"
	case 7: // a thief's signature among the others
		l.signers[thief] = true
	case 8, 9: // a little more for somebody who is listed: time, or crates
		n := w.known()
		line, listed := l.lines[n]
		switch {
		case !listed:
		case r.IntN(2) == 0:
			line.until = l.issued.Add(time.Hour)
		default:
			line.crates = "bar-*"
		}
		if listed {
			l.lines[n] = line
		}
	}
	return "hostile"
}

// write makes the letter's note; false if there is no such note.
func (w *world) write(l *letter) bool {
	text, ok := w.text(l)
	if !ok {
		return false
	}
	var signatures []signature
	message := noteMessage(text)
	for _, n := range sortedByID(w, l.signers) {
		p := w.person(n)
		raw := p.sign(message)
		if !l.signers[n] {
			raw[20] ^= 1
		} else {
			w.noteWriter(text, n)
		}
		signatures = append(signatures, signature{p.public.ID(), noteHash(p.public), raw})
	}
	k, err := ParseSignedKeyset(encodeNote(text, signatures))
	w.letters++
	l.number, l.note = w.letters, k
	return err == nil
}

func sortedByID(w *world, set map[int]bool) []int {
	all := numbers(set)
	for i := range all { // few enough
		for j := i; j > 0 && w.person(all[j]).public.ID().Compare(w.person(all[j-1]).public.ID()) < 0; j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
	return all
}

func (w *world) noteWriter(text []byte, n int) {
	hash := hashText(text)
	if w.wrote[hash] == nil {
		w.wrote[hash] = map[int]bool{}
	}
	w.wrote[hash][n] = true
}

// text is what the letter says, if a text can say it.
func (w *world) text(l *letter) ([]byte, bool) {
	k := &Keyset{Registry: testIndex, Account: testAccount, Version: l.version, Issued: l.issued, Closed: l.closed}
	if l.elsewhere && w.random.IntN(2) == 0 {
		k.Account = "another"
	} else if l.elsewhere {
		k.Registry = "sparse+https://another.example.com/"
	}
	if l.version > 1 {
		k.Previous = w.hashOf(l.over)
	}
	for n, r := range l.lines {
		e := Entry{Key: w.person(n).public, Can: r.can, Until: r.until}
		if r.crates != "" {
			e.Crates = []string{r.crates}
		}
		k.Keys = append(k.Keys, e)
	}
	for n := range l.named {
		k.Revoked = append(k.Revoked, w.person(n).public.ID())
	}
	k.Sort()
	text, err := k.Encode()
	return text, err == nil
}

// hashOf is the hash of a letter's text; of one that nobody wrote, any other.
func (w *world) hashOf(number int) Hash {
	if len(w.chain) > 0 && number == w.head {
		return w.chain[len(w.chain)-1].Hash()
	}
	for _, l := range w.past {
		if l.number == number {
			return l.note.Hash()
		}
	}
	return Hash{1}
}

// edit changes the text of something that was signed, and leaves the signatures as they are.
func (w *world) edit(t *testing.T) []string {
	old := w.past[w.random.IntN(len(w.past))]
	l := old
	l.lines, l.named, l.signers = maps.Clone(old.lines), maps.Clone(old.named), map[int]bool{}
	switch w.random.IntN(5) {
	case 0:
		l.lines[w.anybody()] = w.someRight()
	case 1:
		delete(l.lines, w.known())
	case 2:
		l.version, l.over = w.version+1, w.head
	case 3:
		l.issued = w.now.Truncate(time.Second)
	case 4:
		l.closed = !l.closed
	}
	text, ok := w.text(&l)
	if !ok {
		return []string{"edited text", "impossible"}
	}
	k, err := ParseSignedKeyset(encodeNote(text, old.note.signed.signatures))
	if err != nil {
		return []string{"edited text", "impossible"}
	}
	w.letters++
	l.number, l.note = w.letters, k
	for n, good := range old.signers {
		l.signers[n] = good && w.wrote[k.Hash()][n] // the text may be as it was
	}
	if k.Hash() == old.note.Hash() {
		l.number = old.number
	}
	return []string{"edited text", w.send(t, l)}
}

// propose is what somebody without a right asks for, honestly or not; what is accepted as a proposal
// and signed by somebody who manages must be accepted as a version.
func (w *world) propose(t *testing.T) []string {
	l := w.draft()
	for n := range l.signers {
		if w.trusted[n].can != 0 {
			delete(l.signers, n)
		}
	}
	if n := w.anybody(); w.trusted[n].can == 0 && !l.named[n] {
		l.lines[n], l.signers[n] = right{can: Read | Publish}, true
	}
	if w.random.IntN(2) == 0 { // no more than to be let in
		for n, r := range w.trusted {
			delete(l.lines, n)
			if !l.named[n] && (r.until.IsZero() || l.issued.Before(r.until)) {
				l.lines[n] = r
			}
		}
	}
	if w.random.IntN(3) == 0 {
		w.hostile(&l)
	}
	if !w.write(&l) {
		return []string{"impossible"}
	}
	err := w.standing().AcceptProposal(l.note)
	if want := w.allowsProposal(l); (err == nil) != want {
		t.Fatalf("the model allows the proposal: %v, AcceptProposal says: %v\n%+v\nover %+v, named %v, ended %v, at %v:\n%s", want, err, l, w.trusted, w.named, w.ended, w.now, l.note.Note)
	}
	if err != nil {
		return []string{"proposal refused"}
	}
	n := w.manager()
	if n == 0 || w.random.IntN(2) == 0 {
		return []string{"proposal accepted", w.send(t, l)} // without the managing signature it is nothing
	}
	p := w.person(n)
	text := l.note.Text
	signatures := append(l.note.signed.signatures[:0:0], l.note.signed.signatures...)
	signatures = append(signatures, signature{p.public.ID(), noteHash(p.public), p.sign(noteMessage(text))})
	for i := len(signatures) - 1; i > 0 && signatures[i].signer.Compare(signatures[i-1].signer) < 0; i-- {
		signatures[i], signatures[i-1] = signatures[i-1], signatures[i]
	}
	k, err := ParseSignedKeyset(encodeNote(text, signatures))
	if err != nil {
		t.Fatal(err)
	}
	w.noteWriter(text, n)
	l.note, l.signers = k, maps.Clone(l.signers)
	l.signers[n] = true
	if code := w.send(t, l); code != "" {
		t.Fatalf("an approved proposal is refused: %s\n%s", code, k.Note)
	}
	return []string{"proposal approved", "accepted"}
}
