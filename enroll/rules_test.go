// The rules between versions: every rule of the protocol once kept and once broken, by name, and
// what a stranger's note costs.

package enroll

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// A scene is one judgement: version 2 over firstVersion, which adds ed(4) and is signed by it and by ed(1).
type scene struct {
	standing Standing
	next     *Keyset
	signers  []keys.Signer
	wrong    keys.Signer // if set, its signature line is made over another text
}

func (s *scene) sign(signers ...keys.Signer) { s.signers = signers }

// drop takes keys out of the next version.
func (s *scene) drop(dropped ...*keys.SoftwareKey) {
	for _, key := range dropped {
		s.next.Keys = slices.DeleteFunc(s.next.Keys, func(e Entry) bool { return e.Key == key.Public() })
	}
}

func (s *scene) change(key *keys.SoftwareKey, change func(*Entry)) {
	for i := range s.next.Keys {
		if s.next.Keys[i].Key == key.Public() {
			change(&s.next.Keys[i])
		}
	}
}

// before replaces the version that stands.
func (s *scene) before(t *testing.T, change func(*Keyset), signers ...keys.Signer) {
	t.Helper()
	first := firstVersion(t).Keyset
	change(&first)
	s.standing.Previous = mustSign(t, &first, signers...)
	s.next.Previous = s.standing.Previous.Hash()
}

// first turns the scene into version 1 with the keys ed(1) and p384(2), judged with that bootstrap.
func (s *scene) first(b Bootstrap, signers ...keys.Signer) {
	s.standing.Previous, s.standing.Bootstrap = nil, b
	s.next.Version, s.next.Previous = 1, Hash{}
	s.next.Keys = []Entry{entry(ed(1), CanEverything), entry(p384(2), Read)}
	s.sign(signers...)
}

func (s *scene) judge(t *testing.T) error {
	t.Helper()
	return s.standing.Accept(s.signed(t))
}

func (s *scene) propose(t *testing.T) error {
	t.Helper()
	return s.standing.AcceptProposal(s.signed(t))
}

func (s *scene) signed(t *testing.T) *SignedKeyset {
	t.Helper()
	signed := mustSign(t, s.next, s.signers...)
	if s.wrong != nil {
		other := *s.next
		other.Issued = other.Issued.Add(-time.Second)
		bad := mustSign(t, &other, s.wrong).signed.signatures[0]
		for i, line := range signed.signed.signatures {
			if line.signer == bad.signer {
				signed.signed.signatures[i] = bad
			}
		}
		var err error
		if signed, err = ParseSignedKeyset(encodeNote(signed.Text, signed.signed.signatures)); err != nil {
			t.Fatal(err)
		}
	}
	return signed
}

var errVet = errors.New("vetted")

func TestRules(t *testing.T) {
	invite := ed(100)
	id := func(key *keys.SoftwareKey) keys.ID { return key.Public().ID() }
	until := func(at time.Time) func(*Entry) { return func(e *Entry) { e.Until = at } }
	can := func(c Can) func(*Entry) { return func(e *Entry) { e.Can = c } }
	for _, c := range []struct {
		name, code string
		set        func(*testing.T, *scene)
	}{
		{"an added key", "", func(*testing.T, *scene) {}},

		// Rule 1: the place.
		{"another registry", CodeRegistryMismatch, func(_ *testing.T, s *scene) { s.next.Registry = "sparse+https://evil.example.com/index/" }},
		{"the index without sparse+", CodeRegistryMismatch, func(_ *testing.T, s *scene) { s.next.Registry = testIndex[len("sparse+"):] }},
		{"no index known", CodeRegistryMismatch, func(_ *testing.T, s *scene) { s.standing.Indexes = nil }},
		{"a former index", "", func(_ *testing.T, s *scene) {
			s.standing.Indexes = []string{"sparse+https://new.example.com/", testIndex}
		}},
		{"another account", CodeAccountMismatch, func(_ *testing.T, s *scene) { s.next.Account = "crates" }},
		{"the same version", CodeVersion, func(_ *testing.T, s *scene) { s.next.Version, s.next.Previous = 1, Hash{} }},
		{"a version left out", CodeVersion, func(_ *testing.T, s *scene) { s.next.Version = 3 }},
		{"version 2 of nothing", CodeVersion, func(_ *testing.T, s *scene) { s.standing.Previous = nil }},
		{"another previous", CodePrevious, func(_ *testing.T, s *scene) { s.next.Previous[31] ^= 1 }},
		{"after the end", CodeClosed, func(t *testing.T, s *scene) { s.before(t, func(k *Keyset) { k.Closed = true }, ed(1), p384(2), ed(3)) }},

		// Rule 1: the time.
		{"30 seconds ahead", "", func(_ *testing.T, s *scene) { s.next.Issued = noon.Add(30 * time.Second) }},
		{"31 seconds ahead", CodeIssued, func(_ *testing.T, s *scene) { s.next.Issued = noon.Add(31 * time.Second) }},
		{"30 days late", "", func(_ *testing.T, s *scene) { s.standing.Now = noon.Add(30 * 24 * time.Hour) }},
		{"30 days and a second late", CodeIssued, func(_ *testing.T, s *scene) { s.standing.Now = noon.Add(30*24*time.Hour + time.Second) }},
		{"at the time of the version before", "", func(_ *testing.T, s *scene) { s.next.Issued = noon.Add(-time.Hour) }},
		{"a second before the version before", CodeIssued, func(_ *testing.T, s *scene) { s.next.Issued = noon.Add(-time.Hour - time.Second) }},

		// Rule 2: the managing signature.
		{"nobody who manages", CodeUnmanaged, func(_ *testing.T, s *scene) { s.sign(ed(4)) }},
		{"a key that only publishes", CodeUnmanaged, func(_ *testing.T, s *scene) { s.sign(ed(3), ed(4)) }},
		{"a stranger", CodeUnmanaged, func(_ *testing.T, s *scene) { s.sign(ed(9), ed(4)) }},
		{"a new key that would manage", CodeUnmanaged, func(_ *testing.T, s *scene) { s.change(ed(4), can(CanEverything)); s.sign(ed(4)) }},
		{"the other managing key", "", func(_ *testing.T, s *scene) { s.sign(p384(2), ed(4)) }},
		{"a revoked managing key", CodeUnmanaged, func(_ *testing.T, s *scene) {
			s.standing.Revoked, s.next.Revoked = []keys.ID{id(p384(2))}, []keys.ID{id(p384(2))}
			s.drop(p384(2))
			s.sign(p384(2), ed(4))
		}},
		{"a managing key past its until", CodeUnmanaged, func(t *testing.T, s *scene) {
			// No such version is ever accepted; were one on file, its key would still not manage.
			s.before(t, func(k *Keyset) {
				for i := range k.Keys {
					k.Keys[i].Until = noon
				}
			}, ed(1), p384(2), ed(3))
		}},
		{"a forged managing signature", CodeUnmanaged, func(_ *testing.T, s *scene) { s.wrong = ed(1) }},
		{"the managing key leaves", "", func(_ *testing.T, s *scene) { s.drop(ed(1)) }},

		// Rule 3: possession, and whose a key is.
		{"a new key has not signed", CodePossession, func(_ *testing.T, s *scene) { s.sign(ed(1)) }},
		{"a new key's signature is forged", CodePossession, func(_ *testing.T, s *scene) { s.wrong = ed(4) }},
		{"a dropped key comes back unsigned", CodePossession, func(t *testing.T, s *scene) {
			s.before(t, func(k *Keyset) {
				k.Keys = slices.DeleteFunc(k.Keys, func(e Entry) bool { return e.Key == ed(3).Public() })
			}, ed(1), p384(2))
		}},
		{"a dropped key comes back signed", "", func(t *testing.T, s *scene) {
			s.before(t, func(k *Keyset) {
				k.Keys = slices.DeleteFunc(k.Keys, func(e Entry) bool { return e.Key == ed(3).Public() })
			}, ed(1), p384(2))
			s.sign(ed(1), ed(3), ed(4))
		}},
		{"a key that stays may be given more", "", func(_ *testing.T, s *scene) { s.change(ed(3), can(CanEverything)) }},
		{"another account's key", CodeKeyInUse, func(_ *testing.T, s *scene) {
			s.standing.Vet = func(key keys.ID) error {
				if key != id(ed(4)) {
					return errVet // it is asked about new keys only
				}
				return broken(CodeKeyInUse, "taken")
			}
		}},
		{"what Vet says", "no rule: vetted", func(_ *testing.T, s *scene) { s.standing.Vet = func(keys.ID) error { return errVet } }},
		{"nothing new to vet", "", func(_ *testing.T, s *scene) {
			s.standing.Vet = func(keys.ID) error { return errVet }
			s.drop(ed(4))
			s.sign(ed(1))
		}},

		// Nobody else signs.
		{"a stranger beside", CodeSigner, func(_ *testing.T, s *scene) { s.sign(ed(1), ed(4), ed(9)) }},
		{"two managing keys", CodeSigner, func(_ *testing.T, s *scene) { s.sign(ed(1), p384(2), ed(4)) }},
		{"a key that stays beside", CodeSigner, func(_ *testing.T, s *scene) { s.sign(ed(1), ed(3), ed(4)) }},
		{"the invite's key beside", CodeSigner, func(_ *testing.T, s *scene) {
			s.standing.Bootstrap = ByInvite(invite.Public())
			s.sign(ed(1), ed(4), invite)
		}},
		{"a bootstrap after version 1", CodeUnmanaged, func(_ *testing.T, s *scene) { s.standing.Bootstrap = ByVoucher(); s.sign(ed(4)) }},

		// Rule 4: somebody manages.
		{"a managing key with an end", CodeManagerUntil, func(_ *testing.T, s *scene) { s.change(p384(2), until(noon.Add(time.Hour))) }},
		{"a publishing key with an end", "", func(_ *testing.T, s *scene) { s.change(ed(3), until(noon.Add(time.Hour))) }},
		{"nobody manages", CodeNoManager, func(_ *testing.T, s *scene) { s.change(ed(1), can(Publish)); s.drop(p384(2)) }},
		{"no keys", CodeNoManager, func(_ *testing.T, s *scene) { s.next.Keys = nil; s.sign(ed(1)) }},
		{"the end", "", func(_ *testing.T, s *scene) { s.next.Closed, s.next.Keys = true, nil; s.sign(ed(1)) }},
		{"an end that a stranger signs", CodeUnmanaged, func(_ *testing.T, s *scene) { s.next.Closed, s.next.Keys = true, nil; s.sign(ed(3)) }},

		// Rule 5: revocations.
		{"a revocation left out", CodeRevocations, func(_ *testing.T, s *scene) { s.standing.Revoked = []keys.ID{id(ed(7))} }},
		{"a revocation carried", "", func(_ *testing.T, s *scene) {
			s.standing.Revoked, s.next.Revoked = []keys.ID{id(ed(7))}, []keys.ID{id(ed(7))}
		}},
		{"a line of the version before left out", CodeRevocations, func(t *testing.T, s *scene) {
			s.before(t, func(k *Keyset) { k.Revoked = []keys.ID{id(ed(7))} }, ed(1), p384(2), ed(3))
		}},
		{"a revoked key is listed", CodeKeyRevoked, func(_ *testing.T, s *scene) { s.standing.Revoked = []keys.ID{id(ed(3))} }},
		{"a revoked key is new", CodeKeyRevoked, func(_ *testing.T, s *scene) { s.standing.Revoked = []keys.ID{id(ed(4))} }},
		{"a managing key revoked by a line", "", func(_ *testing.T, s *scene) { s.drop(p384(2)); s.next.Revoked = []keys.ID{id(p384(2))} }},

		// Version 1.
		{"a good invite", "", func(_ *testing.T, s *scene) { s.first(ByInvite(invite.Public()), ed(1), p384(2), invite) }},
		{"another invite", CodeBootstrap, func(_ *testing.T, s *scene) { s.first(ByInvite(invite.Public()), ed(1), p384(2), ed(101)) }},
		{"no invite's signature", CodeBootstrap, func(_ *testing.T, s *scene) { s.first(ByInvite(invite.Public()), ed(1), p384(2)) }},
		{"an invite's forged signature", CodeBootstrap, func(_ *testing.T, s *scene) {
			s.first(ByInvite(invite.Public()), ed(1), p384(2), invite)
			s.wrong = invite
		}},
		{"no invite at the registry", CodeBootstrap, func(_ *testing.T, s *scene) { s.first(Bootstrap{}, ed(1), p384(2), invite) }},
		{"an invite of no key", CodeBootstrap, func(_ *testing.T, s *scene) { s.first(ByInvite(keys.PublicKey{}), ed(1), p384(2)) }},
		{"an invite, and a key that has not signed", CodePossession, func(_ *testing.T, s *scene) { s.first(ByInvite(invite.Public()), ed(1), invite) }},
		{"an invite, and a stranger beside", CodeSigner, func(_ *testing.T, s *scene) { s.first(ByInvite(invite.Public()), ed(1), p384(2), ed(9), invite) }},
		{"an invite, and nobody who manages", CodeNoManager, func(_ *testing.T, s *scene) {
			s.first(ByInvite(invite.Public()), ed(1), p384(2), invite)
			s.change(ed(1), can(Publish))
		}},
		{"a voucher", "", func(_ *testing.T, s *scene) { s.first(ByVoucher(), ed(1), p384(2)) }},
		{"a voucher, and a key that has not signed", CodePossession, func(_ *testing.T, s *scene) { s.first(ByVoucher(), ed(1)) }},
		{"a voucher, and a forged signature", CodePossession, func(_ *testing.T, s *scene) { s.first(ByVoucher(), ed(1), p384(2)); s.wrong = ed(1) }},
		{"a voucher, and a stranger beside", CodeSigner, func(_ *testing.T, s *scene) { s.first(ByVoucher(), ed(1), p384(2), invite) }},
		{"whoever, by an invite", "", func(_ *testing.T, s *scene) { s.first(ByWhoever(), ed(1), p384(2), invite) }},
		{"whoever, by a voucher", "", func(_ *testing.T, s *scene) { s.first(ByWhoever(), ed(1), p384(2)) }},
		{"whoever, and two beside", CodeSigner, func(_ *testing.T, s *scene) { s.first(ByWhoever(), ed(1), p384(2), invite, ed(9)) }},
		{"whoever, and a P-384 key beside", CodeSigner, func(_ *testing.T, s *scene) { s.first(ByWhoever(), ed(1), p384(2), p384(9)) }},
		{"whoever, and a key that has not signed", CodePossession, func(_ *testing.T, s *scene) { s.first(ByWhoever(), ed(1), invite) }},
		{"whoever, after version 1", CodeUnmanaged, func(_ *testing.T, s *scene) { s.standing.Bootstrap = ByWhoever(); s.sign(ed(4), ed(9)) }},

		// A client that reads what was accepted long ago.
		{"read: a revocation that came after", "", func(_ *testing.T, s *scene) {
			s.standing.past, s.standing.Revoked = true, []keys.ID{id(ed(3)), id(ed(7))}
		}},
		{"read: a revoked key comes in", CodeKeyRevoked, func(_ *testing.T, s *scene) { s.standing.past, s.standing.Revoked = true, []keys.ID{id(ed(4))} }},
		{"read: a revoked key signs", CodeUnmanaged, func(_ *testing.T, s *scene) { s.standing.past, s.standing.Revoked = true, []keys.ID{id(ed(1))} }},
		{"read: a line of the version before left out", CodeRevocations, func(t *testing.T, s *scene) {
			s.standing.past = true
			s.before(t, func(k *Keyset) { k.Revoked = []keys.ID{id(ed(7))} }, ed(1), p384(2), ed(3))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &scene{standing: Standing{Indexes: []string{testIndex}, Account: testAccount, Previous: firstVersion(t), Now: noon}}
			s.next = follow(s.standing.Previous)
			s.next.Keys = append(s.next.Keys, entry(ed(4), CanByDefault))
			s.sign(ed(1), ed(4))
			c.set(t, s)
			err := s.judge(t)
			if got := codeOf(err); got != c.code {
				t.Errorf("code %q (%v), want %q", got, err, c.code)
			}
		})
	}
}

// strangersNote is as expensive a note as a stranger can send to an account that has a hundred keys: a
// hundred new P-384 keys, and a line by each, the last one by no managing key.
func strangersNote(t testing.TB) ([]byte, Standing) {
	t.Helper()
	previous := &Keyset{Registry: testIndex, Account: testAccount, Version: 1, Issued: noon.Add(-time.Hour), Keys: []Entry{entry(ed(1), CanEverything)}}
	for n := byte(100); n < 199; n++ {
		previous.Keys = append(previous.Keys, entry(p384(n), Manage))
	}
	base := mustSign(t, previous, ed(1)) // how it came to be does not matter here
	next := follow(base)
	next.Keys = []Entry{}
	var signatures []signature
	for n := byte(1); n <= 99; n++ {
		next.Keys = append(next.Keys, entry(p384(n), CanEverything))
		signatures = append(signatures, signature{p384(n).Public().ID(), noteHash(p384(n).Public()), make([]byte, 96)})
	}
	replayed, err := keys.Sign(context.Background(), p384(150), []byte("something else"))
	if err != nil {
		t.Fatal(err)
	}
	signatures = append(signatures, signature{p384(150).Public().ID(), noteHash(p384(150).Public()), replayed})
	next.Sort()
	text, err := next.Encode()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(signatures, func(a, b signature) int { return a.signer.Compare(b.signer) })
	return encodeNote(text, signatures), Standing{Indexes: []string{testIndex}, Account: testAccount, Previous: base, Now: noon}
}

// The first signature that is looked at is the managing one: it fails, and nothing else is asked or
// checked.
func TestStrangerCostsOneSignature(t *testing.T) {
	data, standing := strangersNote(t)
	asked := 0
	standing.Vet = func(keys.ID) error { asked++; return nil }
	next, err := ParseSignedKeyset(data)
	if err != nil {
		t.Fatal(err)
	}
	// All hundred lines are bad; which one was reported says which was checked, and a failure ends
	// the judging.
	if err := standing.Accept(next); codeOf(err) != CodeUnmanaged || asked != 0 {
		t.Errorf("%v, after asking about %d keys", err, asked)
	}
	standing.Previous, standing.Bootstrap = nil, ByInvite(ed(100).Public())
	first := next.Keyset
	first.Version, first.Previous = 1, Hash{}
	text, err := first.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if next, err = ParseSignedKeyset(encodeNote(text, next.signed.signatures)); err != nil {
		t.Fatal(err)
	}
	if err := standing.Accept(next); codeOf(err) != CodeBootstrap || asked != 0 {
		t.Errorf("version 1: %v, after asking about %d keys", err, asked)
	}
}

// BenchmarkRefuseStranger has beside it one signature check, which every signed request costs anyway.
func BenchmarkRefuseStranger(b *testing.B) {
	data, standing := strangersNote(b)
	b.Run("parse", func(b *testing.B) {
		for range b.N {
			if _, err := ParseSignedKeyset(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	next, err := ParseSignedKeyset(data)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("judge", func(b *testing.B) {
		for range b.N {
			if standing.Accept(next) == nil {
				b.Fatal("accepted")
			}
		}
	})
	b.Run("one P-384 signature", func(b *testing.B) {
		message := noteMessage([]byte("x"))
		raw, err := keys.Sign(context.Background(), p384(1), message)
		if err != nil {
			b.Fatal(err)
		}
		for range b.N {
			p384(1).Public().Verify(message, raw)
		}
	})
}
