// How the vectors are made.

package enroll

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// A maker makes cases over version 2, where "laptop" and "desk" manage, "ci" may publish some crates, and
// the time of "tmp" is over.
type maker struct {
	t *testing.T
	v *vectors

	laptop, desk, ci, tmp, fresh, fresh384, stranger *keys.SoftwareKey

	first, second *SignedKeyset
}

func makeVectors(t *testing.T) *vectors {
	t.Helper()
	m := &maker{
		t: t, v: &vectors{Index: testIndex, Account: testAccount},
		laptop: ed(1), desk: p384(2), ci: ed(3), tmp: ed(4), fresh: ed(5), fresh384: p384(6), stranger: ed(7),
	}
	m.v.About = []string{
		"Documents of docs/protocol.md, sections 3 and 4. Each case comes when as many versions of the chain stand as \"after\" says, at the time \"now\";",
		"with \"revoked\" the registry has taken \"revocation\" before. \"refused\" is the registry's code, without it the document is taken.",
		"With \"later\" a client takes what the registry shows it all the same. The open code of the account is the first of \"invites\";",
		"those without \"public\" are no codes. The secrets are for tests alone.",
	}
	m.names()
	m.chain()
	m.versions()
	m.proposals()
	m.revocations()
	m.texts()
	m.notes()
	return m.v
}

func (m *maker) names() {
	for _, k := range []struct {
		name string
		key  *keys.SoftwareKey
	}{
		{"laptop", m.laptop}, {"desk", m.desk}, {"ci", m.ci}, {"tmp", m.tmp}, {"fresh", m.fresh}, {"fresh384", m.fresh384}, {"stranger", m.stranger},
	} {
		m.v.Keys = append(m.v.Keys, vectorKey{k.name, string(k.key.Secret().Reveal()), k.key.Public().String(), k.key.Public().ID().String()})
	}
	for _, code := range []string{
		"AAAAAA-AAAAA-AAAAA-AAAAA-AAAAE", "aaaaaaaaaaaaaaaaaaaaaaaaae", " AAAAAAAAAAA AAAAAAAAAA-AAAAE ", "UPRUKK-NUIIV-UBWWP-RRLLM-UTFUA",
		"", "AAAAAA-AAAAA-AAAAA-AAAAA-AAAA", "AAAAAA-AAAAA-AAAAA-AAAAA-AAAAF", "AAAAAA-AAAAA-AAAAA-AAAAA-AAAA1", "AAAAAA-AAAAA-AAAAA-AAAAA-AAAAE=",
	} {
		invite := vectorInvite{Code: code}
		if key, err := InviteKey(keys.NewSecret([]byte(code))); err == nil {
			invite.Public = key.Public().String()
		}
		m.v.Invites = append(m.v.Invites, invite)
	}
}

// invite is the key of the open code.
func (m *maker) invite(n int) *keys.SoftwareKey {
	key, err := InviteKey(keys.NewSecret([]byte(m.v.Invites[n].Code)))
	if err != nil {
		m.t.Fatal(err)
	}
	return key
}

func (m *maker) chain() {
	m.first = mustSign(m.t, &Keyset{
		Registry: testIndex, Account: testAccount, Version: 1, Issued: noon.AddDate(0, 0, -40),
		Keys: []Entry{entry(m.laptop, CanEverything)},
	}, m.laptop, m.invite(0))
	second := follow(m.first)
	second.Issued = noon.AddDate(0, 0, -35)
	second.Keys = append(second.Keys, entry(m.desk, CanEverything),
		Entry{Key: m.ci.Public(), Can: CanByDefault, Until: noon.AddDate(0, 0, 10), Crates: []string{"foo-*", "Bar_baz"}},
		Entry{Key: m.tmp.Public(), Can: Read, Until: noon.AddDate(0, 0, -1)})
	m.second = mustSign(m.t, second, m.laptop, m.desk, m.ci, m.tmp)
	for _, k := range []*SignedKeyset{m.first, m.second} {
		m.v.Chain = append(m.v.Chain, vectorVersion{string(k.Note), k.Hash().String(), ProposalCode(k.Text)})
	}
	m.v.Revocation = string(mustRevoke(m.t, m.ci.Public().ID(), Lost, m.desk).Note)
}

// next is version 3 with "fresh" in it.
func (m *maker) next() *Keyset {
	k := follow(m.second)
	k.Issued, k.Keys = noon, append(slices.Clone(k.Keys), entry(m.fresh, CanByDefault))
	return k
}

func (m *maker) add(c vectorCase) {
	if c.Now == "" {
		c.Now = noon.Format(time.RFC3339)
	}
	m.v.Cases = append(m.v.Cases, c)
}

// case3 is a case over version 2: change makes it of [maker.next].
func (m *maker) case3(c vectorCase, change func(*Keyset), signers ...keys.Signer) {
	k := m.next()
	if change != nil {
		change(k)
	}
	c.After, c.Note = 2, string(mustSign(m.t, k, signers...).Note)
	if c.Kind == "" {
		c.Kind = "keyset"
	}
	m.add(c)
}

// without takes keys out.
func without(gone ...*keys.SoftwareKey) func(*Keyset) {
	return func(k *Keyset) {
		for _, key := range gone {
			k.Keys = slices.DeleteFunc(k.Keys, func(e Entry) bool { return e.Key == key.Public() })
		}
	}
}

// changed changes the line of one key.
func changed(key *keys.SoftwareKey, change func(*Entry)) func(*Keyset) {
	return func(k *Keyset) {
		i := slices.IndexFunc(k.Keys, func(e Entry) bool { return e.Key == key.Public() })
		change(&k.Keys[i])
	}
}

func (m *maker) versions() {
	one := func(name, refused string, later bool, signers ...keys.Signer) {
		k := m.first.Keyset
		k.Keys = []Entry{entry(m.laptop, CanEverything), entry(m.fresh384, Read)}
		now := k.Issued.Format(time.RFC3339)
		m.add(vectorCase{Name: name, Kind: "keyset", Now: now, Note: string(mustSign(m.t, &k, signers...).Note), Refused: refused, Later: later})
	}
	one("version 1 with two keys", "", false, m.laptop, m.fresh384, m.invite(0))
	one("version 1 without the code's signature", CodeBootstrap, true, m.laptop, m.fresh384)
	one("version 1 by another code", CodeBootstrap, true, m.laptop, m.fresh384, m.invite(3))
	one("version 1 by two codes", CodeSigner, false, m.laptop, m.fresh384, m.invite(0), m.invite(3))
	one("version 1 without possession", CodePossession, false, m.laptop, m.invite(0))

	m.add(vectorCase{Name: "version 2 again", Kind: "keyset", After: 2, Note: string(m.second.Note)})
	m.case3(vectorCase{Name: "a new key"}, nil, m.laptop, m.fresh)
	m.case3(vectorCase{Name: "a new key, let in by a P-384 key"}, nil, m.desk, m.fresh)
	m.case3(vectorCase{Name: "a new P-384 key that manages"}, func(k *Keyset) {
		k.Keys = append(k.Keys, entry(m.fresh384, CanEverything))
	}, m.laptop, m.fresh, m.fresh384)
	m.case3(vectorCase{Name: "a rotation"}, func(k *Keyset) {
		without(m.laptop)(k)
		changed(m.fresh, func(e *Entry) { e.Can = CanEverything })(k)
	}, m.laptop, m.fresh)
	m.case3(vectorCase{Name: "nothing changes"}, without(m.fresh), m.desk)
	m.case3(vectorCase{Name: "a key that manages drops itself"}, without(m.fresh, m.laptop), m.laptop)
	m.case3(vectorCase{Name: "the account is closed"}, func(k *Keyset) { k.Closed, k.Keys = true, nil }, m.laptop)
	m.case3(vectorCase{Name: "a revoked line without a revocation"}, func(k *Keyset) {
		without(m.fresh, m.ci)(k)
		k.Revoked = []keys.ID{m.ci.Public().ID(), m.stranger.Public().ID()}
	}, m.laptop)
	m.case3(vectorCase{Name: "the revocation's line", Revoked: true}, func(k *Keyset) {
		without(m.ci)(k)
		k.Revoked = []keys.ID{m.ci.Public().ID()}
	}, m.laptop, m.fresh)
	m.timed()
	m.placed()
	m.broken()
}

func (m *maker) timed() {
	for _, c := range []struct {
		name, refused string
		issued        time.Time
		later         bool
	}{
		{"issued 30 s ahead", "", noon.Add(maxAhead), false}, {"issued 31 s ahead", CodeIssued, noon.Add(maxAhead + time.Second), true},
		{"issued 30 days ago", "", noon.Add(-maxAge), false}, {"issued a second more ago", CodeIssued, noon.Add(-maxAge - time.Second), true},
		{"issued before version 2", CodeIssued, m.second.Issued.Add(-time.Second), false},
	} {
		m.case3(vectorCase{Name: c.name, Refused: c.refused, Later: c.later}, func(k *Keyset) { k.Issued = c.issued }, m.laptop, m.fresh)
	}
	at := vectorCase{Name: "issued when version 2 was", Now: m.second.Issued.Format(time.RFC3339)}
	m.case3(at, func(k *Keyset) { k.Issued = m.second.Issued }, m.laptop, m.fresh)
}

func (m *maker) placed() {
	for _, c := range []struct {
		name, refused string
		change        func(*Keyset)
	}{
		{"another registry", CodeRegistryMismatch, func(k *Keyset) { k.Registry = "sparse+https://other.example.com/index/" }},
		{"the registry without its last slash", CodeRegistryMismatch, func(k *Keyset) { k.Registry = strings.TrimSuffix(k.Registry, "/") }},
		{"another account", CodeAccountMismatch, func(k *Keyset) { k.Account = "other" }},
		{"a version skipped", CodeVersion, func(k *Keyset) { k.Version = 4 }},
		{"another version 2", "keyset-conflict", func(k *Keyset) { k.Version = 2; k.Previous = m.first.Hash() }},
		{"another previous", CodePrevious, func(k *Keyset) { k.Previous = m.first.Hash() }},
	} {
		m.case3(vectorCase{Name: c.name, Refused: c.refused}, c.change, m.laptop, m.fresh)
	}
}

func (m *maker) broken() {
	for _, c := range []struct {
		name, refused string
		change        func(*Keyset)
		signers       []keys.Signer
	}{
		{"no managing signature", CodeUnmanaged, nil, []keys.Signer{m.fresh}},
		{"by a key that does not manage", CodeUnmanaged, nil, []keys.Signer{m.ci, m.fresh}},
		{"by a stranger", CodeUnmanaged, nil, []keys.Signer{m.stranger, m.fresh}},
		{"by the new key, which is to manage", CodeUnmanaged, changed(m.fresh, func(e *Entry) { e.Can = CanEverything }), []keys.Signer{m.fresh}},
		{"no possession", CodePossession, nil, []keys.Signer{m.laptop}},
		{"two managing signatures", CodeSigner, nil, []keys.Signer{m.laptop, m.desk, m.fresh}},
		{"a stranger beside", CodeSigner, nil, []keys.Signer{m.laptop, m.stranger, m.fresh}},
		{"a listed key beside", CodeSigner, nil, []keys.Signer{m.laptop, m.ci, m.fresh}},
		{"nobody manages", CodeNoManager, without(m.laptop, m.desk), []keys.Signer{m.laptop, m.fresh}},
		{"a key that manages with an end", CodeManagerUntil, changed(m.desk, func(e *Entry) { e.Until = noon.AddDate(1, 0, 0) }), []keys.Signer{m.laptop, m.fresh}},
	} {
		m.case3(vectorCase{Name: c.name, Refused: c.refused}, c.change, c.signers...)
	}
	m.case3(vectorCase{Name: "a revoked key is listed", Revoked: true, Refused: CodeKeyRevoked, Later: true}, nil, m.laptop, m.fresh)
	m.case3(vectorCase{Name: "the revocation's line is missing", Revoked: true, Refused: CodeRevocations, Later: true}, without(m.ci), m.laptop, m.fresh)
}

func (m *maker) proposals() {
	pair := func(k *Keyset) { k.Keys = append(k.Keys, Entry{Key: m.fresh384.Public(), Can: Read}) }
	for _, c := range []struct {
		name, refused string
		revoked       bool
		change        func(*Keyset)
		signers       []keys.Signer
	}{
		{"one key", "", false, nil, []keys.Signer{m.fresh}},
		{"two keys", "", false, pair, []keys.Signer{m.fresh, m.fresh384}},
		{"one that is to manage", "", false, changed(m.fresh, func(e *Entry) { e.Can = CanEverything }), []keys.Signer{m.fresh}},
		{"without the key that has ended", "", false, without(m.tmp), []keys.Signer{m.fresh}},
		{"without the revoked key", "", true, func(k *Keyset) { without(m.ci)(k); k.Revoked = []keys.ID{m.ci.Public().ID()} }, []keys.Signer{m.fresh}},
		{"three keys", CodeProposal, false, func(k *Keyset) { pair(k); k.Keys = append(k.Keys, entry(m.stranger, Read)) }, []keys.Signer{m.fresh, m.fresh384, m.stranger}},
		{"no key", CodeProposal, false, without(m.fresh), []keys.Signer{m.laptop}},
		{"a key less", CodeProposal, false, without(m.ci), []keys.Signer{m.fresh}},
		{"a right more", CodeProposal, false, changed(m.ci, func(e *Entry) { e.Can |= Owners }), []keys.Signer{m.fresh}},
		{"a crate less", CodeProposal, false, changed(m.ci, func(e *Entry) { e.Crates = e.Crates[:1] }), []keys.Signer{m.fresh}},
		{"another end", CodeProposal, false, changed(m.ci, func(e *Entry) { e.Until = noon.AddDate(0, 0, 11) }), []keys.Signer{m.fresh}},
		{"a revoked line", CodeProposal, false, func(k *Keyset) { k.Revoked = []keys.ID{m.stranger.Public().ID()} }, []keys.Signer{m.fresh}},
		{"closed", CodeProposal, false, func(k *Keyset) { k.Closed = true }, []keys.Signer{m.fresh}},
		{"one of two has signed", CodePossession, false, pair, []keys.Signer{m.fresh}},
		{"signed by one that manages", CodeSigner, false, nil, []keys.Signer{m.laptop, m.fresh}},
		{"for another version", CodeVersion, false, func(k *Keyset) { k.Version = 4 }, []keys.Signer{m.fresh}},
		{"for another account", CodeAccountMismatch, false, func(k *Keyset) { k.Account = "other" }, []keys.Signer{m.fresh}},
		{"over another version 2", CodePrevious, false, func(k *Keyset) { k.Previous = m.first.Hash() }, []keys.Signer{m.fresh}},
		{"in the future", CodeIssued, false, func(k *Keyset) { k.Issued = noon.Add(maxAhead + time.Second) }, []keys.Signer{m.fresh}},
		{"a key that manages with an end", CodeManagerUntil, false, changed(m.fresh, func(e *Entry) { e.Can, e.Until = Manage, noon.AddDate(1, 0, 0) }), []keys.Signer{m.fresh}},
		{"the revoked key is listed", CodeKeyRevoked, true, nil, []keys.Signer{m.fresh}},
	} {
		m.case3(vectorCase{Name: c.name, Kind: "proposal", Revoked: c.revoked, Refused: c.refused}, c.change, c.signers...)
	}
}

func (m *maker) revocations() {
	revoke := func(name, refused, text string, signers ...keys.Signer) {
		later := refused == "key-unknown" // a client may know less than its registry
		m.add(vectorCase{Name: name, Kind: "revocation", After: 2, Note: rawNote(m.t, text, signers...), Refused: refused, Later: later})
	}
	text := func(key *keys.SoftwareKey) string {
		return "regkey revocation v1\nregistry: " + testIndex + "\nkey: " + key.Public().ID().String() + "\nreason: lost\n"
	}
	ci := text(m.ci)
	revoke("by the key itself", "", ci, m.ci)
	revoke("by a key that manages", "", ci, m.desk)
	revoke("of the last but one that manages", "", text(m.laptop), m.laptop)
	for _, reason := range []string{"compromised", "superseded", "unspecified"} {
		revoke("with the reason "+reason, "", strings.Replace(ci, "lost", reason, 1), m.ci)
	}
	revoke("by a stranger", "revocation-signer", ci, m.stranger)
	revoke("by a key that does not manage", "revocation-signer", ci, m.tmp)
	revoke("of a key that nobody knows", "key-unknown", text(m.stranger), m.laptop)
	revoke("for another registry", "revocation-wrong-registry", strings.Replace(ci, "crates.example", "other.example", 1), m.ci)
	for _, c := range []struct{ name, old, new string }{
		{"another reason", "lost", "stolen"}, {"a reason in capitals", "lost", "Lost"}, {"no reason", "reason: lost\n", ""}, {"a line more", "lost\n", "lost\nissued: 2026-11-22T12:00:00Z\n"},
		{"two keys", "key: ", "key: " + m.tmp.Public().ID().String() + "\nkey: "}, {"CRLF", "\n", "\r\n"}, {"a trailing space", "lost\n", "lost \n"}, {"a public key", m.ci.Public().ID().String(), m.ci.Public().String()},
	} {
		revoke(c.name, "revocation-malformed", strings.Replace(ci, c.old, c.new, 1), m.ci)
	}
	revoke("by two", "revocation-malformed", ci, m.ci, m.laptop)
	revoke("a keyset", "revocation-malformed", string(m.second.Text), m.laptop)
	good := m.v.Revocation
	m.add(vectorCase{Name: "another text than was signed", Kind: "revocation", After: 2, Note: strings.Replace(good, "lost", "unspecified", 1), Refused: "revocation-signature"})
	m.add(vectorCase{Name: "P-384 with a high s", Kind: "revocation", After: 2, Note: resigned(m.t, good, m.desk, highS), Refused: "revocation-signature"})
}

// texts are violations of the grammar, signed as if they were none.
func (m *maker) texts() {
	good := string(mustSign(m.t, m.next(), m.laptop, m.fresh).Text)
	lines := strings.SplitAfter(good, "\n")
	public := m.fresh.Public().String()
	for _, c := range []struct{ name, old, new string }{
		{"CRLF", "v1\n", "v1\r\n"}, {"a byte order mark", "regkey", "\ufeffregkey"}, {"another kind", "keyset v1", "keyset v2"}, {"a trailing space", "team\n", "team \n"},
		{"two spaces", "account: ", "account:  "}, {"a tab", "account: ", "account:\t"}, {"no final newline", lines[len(lines)-2], strings.TrimSuffix(lines[len(lines)-2], "\n")},
		{"registry and account exchanged", lines[1] + lines[2], lines[2] + lines[1]}, {"previous and issued exchanged", lines[4] + lines[5], lines[5] + lines[4]},
		{"the account twice", lines[2], lines[2] + lines[2]}, {"an unknown field", lines[5], "label: x\n" + lines[5]}, {"no issued", lines[5], ""},
		{"an account in capitals", "crates-team", "Crates-Team"}, {"a version with a zero", "version: 3", "version: 03"}, {"a version with a sign", "version: 3", "version: +3"},
		{"a hash in capitals", lines[4], "previous: sha256:" + strings.ToUpper(lines[4][17:])}, {"a short hash", lines[4], lines[4][:len(lines[4])-3] + "\n"},
		{"a time with an offset", "12:00:00Z", "12:00:00+00:00"}, {"a time with a fraction", "12:00:00Z", "12:00:00.0Z"}, {"30 February", "2026-11-22T", "2026-02-30T"},
		{"closed: no", lines[5], lines[5] + "closed: no\n"}, {"keys unsorted", lines[6] + lines[7], lines[7] + lines[6]}, {"a key twice", lines[7], lines[7] + lines[7]},
		{"can out of order", "can=publish,yank,read\n", "can=yank,publish,read\n"}, {"an operation twice", "can=publish,yank,read\n", "can=publish,publish\n"},
		{"an unknown operation", "can=publish,yank,read\n", "can=unyank\n"}, {"no can", " can=publish,yank,read\n", "\n"}, {"crates before until", ` until=2026-12-02T12:00:00Z crates="foo-*,Bar_baz"`, ` crates="foo-*,Bar_baz" until=2026-12-02T12:00:00Z`},
		{"empty crates", `"foo-*,Bar_baz"`, `""`}, {"crates without quotes", `"foo-*,Bar_baz"`, `foo-*`}, {"a star in the middle", "foo-*", "f*o"}, {"patterns that mean the same", "foo-*", "bar-BAZ"},
		{"a padded key", public, public + "="}, {"a key with a stray bit", public, public[:len(public)-1] + "B"}, {"an id for a key", public, m.fresh.Public().ID().String()},
		{"listed and revoked", lines[len(lines)-2], lines[len(lines)-2] + "revoked: " + m.fresh.Public().ID().String() + "\n"},
		{"revoked before the keys", lines[6], "revoked: " + m.stranger.Public().ID().String() + "\n" + lines[6]},
	} {
		m.malformed(c.name, strings.Replace(good, c.old, c.new, 1))
	}
	m.malformed("a key of small order", strings.Replace(good, public, "k4.public."+base64.RawURLEncoding.EncodeToString(append([]byte{1}, make([]byte, 31)...)), 1))
	m.malformed("a key that is not canonically encoded", strings.Replace(good, public, "k4.public."+base64.RawURLEncoding.EncodeToString(slices.Concat([]byte{0xf0}, slices.Repeat([]byte{0xff}, 30), []byte{0x7f})), 1))
	m.malformed("a point off the curve", strings.Replace(good, m.desk.Public().String(), "k3.public.A"+strings.Repeat("_", 65), 1))
}

func (m *maker) malformed(name, text string) {
	note := rawNote(m.t, text, m.laptop, m.fresh)
	m.add(vectorCase{Name: name, Kind: "keyset", After: 2, Note: note, Refused: "keyset-malformed"})
}
