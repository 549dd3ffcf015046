// A laboratory for the lifecycle: machines with real key stores, and a strict registry in memory.

package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// A book is a registry without HTTP and storage. It judges keysets by Standing.Accept, the very
// function that a real registry judges by, and revocations as the protocol says. Like a registry
// that keeps only what it must, it recognises no older version than the newest when one is sent
// again.
type book struct {
	now     func() time.Time
	invite  keys.PublicKey
	chain   []*SignedKeyset
	revoked []*SignedRevocation
	asked   map[string]Submission // proposals by code
	former  []string              // after a move: the index URLs from before
	index   string                // after a move: the new one
}

// indexes are what documents may name.
func (b *book) indexes() []string {
	if b.index == "" {
		return []string{testIndex}
	}
	return append([]string{b.index}, b.former...)
}

// A no is a registry's refusal.
type no string

func (n no) Error() string       { return "refused: " + string(n) }
func (n no) RefusalCode() string { return string(n) }

func (b *book) latest() *SignedKeyset {
	if len(b.chain) == 0 {
		return nil
	}
	return b.chain[len(b.chain)-1]
}

func (b *book) Submit(_ context.Context, account string, s Submission) error {
	next, err := ParseSignedKeyset(s.Note)
	if err != nil {
		return no("keyset-malformed")
	}
	last := b.latest()
	if last != nil && next.Version <= last.Version {
		if bytes.Equal(next.Text, last.Text) {
			return nil
		}
		return no("keyset-conflict")
	}
	standing := b.standing(account)
	if err := standing.Accept(next); err != nil {
		return no(codeOf(err))
	}
	b.chain = append(b.chain, next)
	return nil
}

func (b *book) standing(account string) Standing {
	standing := Standing{Indexes: b.indexes(), Account: account, Previous: b.latest(), Now: b.now(), Bootstrap: ByInvite(b.invite)}
	for _, r := range b.revoked {
		standing.Revoked = append(standing.Revoked, r.Key)
	}
	return standing
}

func (b *book) Propose(_ context.Context, account string, s Submission) (Proposed, error) {
	k, err := ParseSignedKeyset(s.Note)
	if err != nil {
		return Proposed{}, no("keyset-malformed")
	}
	code := ProposalCode(k.Text)
	if _, found := b.asked[code]; !found {
		if err := b.standing(account).AcceptProposal(k); err != nil {
			return Proposed{}, no(codeOf(err))
		}
	}
	if b.asked == nil {
		b.asked = map[string]Submission{}
	}
	b.asked[code] = s
	return Proposed{Code: strings.ToUpper(code), Expires: b.now().Add(15 * time.Minute)}, nil
}

func (b *book) Proposal(_ context.Context, _, code string) (*Proposal, error) {
	s, found := b.asked[code]
	if !found {
		return nil, no("proposal-unknown")
	}
	p := &Proposal{Submission: s, Expires: b.now().Add(time.Minute)}
	k, err := ParseSignedKeyset(s.Note)
	if err != nil {
		return nil, err
	}
	if k.Version <= len(b.chain) {
		stands := b.chain[k.Version-1]
		p.Outdated = stands.Hash() != k.Hash()
		if !p.Outdated {
			p.Accepted = stands.Note
		}
	}
	return p, nil
}

func (b *book) KeysetByCode(ctx context.Context, account, code string) ([]byte, [][]byte, error) {
	if len(b.chain) == 0 || ProposalCode(b.latest().Text) != code {
		return nil, nil, no("keyset-unknown")
	}
	return b.Latest(ctx, account)
}

func (b *book) Latest(context.Context, string) ([]byte, [][]byte, error) {
	if len(b.chain) == 0 {
		return nil, nil, no("account-unknown")
	}
	var revocations [][]byte
	for _, r := range b.revoked {
		revocations = append(revocations, r.Note)
	}
	return b.latest().Note, revocations, nil
}

// Keysets answers in batches of two.
func (b *book) Keysets(_ context.Context, _ string, from int) ([][]byte, bool, error) {
	if len(b.chain) == 0 {
		return nil, false, no("account-unknown")
	}
	var notes [][]byte
	for _, k := range b.chain[min(from-1, len(b.chain)):] {
		if len(notes) == 2 {
			return notes, true, nil
		}
		notes = append(notes, k.Note)
	}
	return notes, false, nil
}

func (b *book) Revoke(_ context.Context, note []byte) error {
	r, err := ParseSignedRevocation(note)
	if err != nil || !slices.Contains(b.indexes(), r.Registry) {
		return no("revocation-malformed")
	}
	var signer Entry
	known := false
	for _, k := range b.chain {
		_, found := k.Entry(r.Key)
		known = known || found
		if e, found := k.Entry(r.Signer()); found && (r.Signer() == r.Key || k == b.latest() && e.Can.Has(Manage) && !b.ended(r.Signer())) {
			signer = e
		}
	}
	if !known || signer.Key.IsZero() || r.Verify(signer.Key) != nil {
		return no("revocation-signer")
	}
	if !b.ended(r.Key) {
		b.revoked = append(b.revoked, r)
	}
	return nil
}

func (b *book) ended(id keys.ID) bool {
	return slices.ContainsFunc(b.revoked, func(r *SignedRevocation) bool { return r.Key == id })
}

// A machine is one user's computer.
type machine struct {
	*Lifecycle
	t     *testing.T
	book  *book
	line  *line
	clock time.Time

	signed int // signatures that keys of this machine have made
}

// A counted signer tells its machine.
type counted struct {
	keys.Signer
	m *machine
}

func (c counted) Sign(ctx context.Context, message []byte) ([]byte, error) {
	c.m.signed++
	return c.Signer.Sign(ctx, message)
}

// testCode is the invite code of the account.
var testCode = keys.NewSecret([]byte("AAAAAA-AAAAA-AAAAA-AAAAA-AAAAE"))

// newMachine is a machine with an empty home, before a registry that has invited the account.
func newMachine(t *testing.T) *machine {
	t.Helper()
	invite, err := InviteKey(testCode)
	if err != nil {
		t.Fatal(err)
	}
	return machineAt(t, inMemory(t), &book{invite: invite.Public()})
}

func machineAt(t *testing.T, home string, b *book) *machine {
	m := &machine{t: t, book: b, line: &line{Registry: b}, clock: noon}
	store := keys.OpenStore(filepath.Join(home, "keys"))
	m.Lifecycle = &Lifecycle{
		Home: home, Index: testIndex, Registry: m.line, Keys: store, Now: func() time.Time { return m.clock },
		Unlock: func(ctx context.Context, name string) (keys.Signer, error) {
			key, err := store.Unlock(ctx, name, nil)
			if errors.Is(err, keys.ErrHardware) {
				return plugged(store, name)
			}
			if err != nil {
				return nil, err
			}
			return counted{key, m}, nil
		},
	}
	b.now = m.Now
	return m
}

// copy is another machine with the same files, before the same registry, or, with apart, before a
// copy of that.
func (m *machine) copy(apart bool) *machine {
	m.t.Helper()
	home := inMemory(m.t)
	err := filepath.WalkDir(m.Home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(m.Home, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(home, rest), 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(home, rest), data, 0o600)
	})
	if err != nil {
		m.t.Fatal(err)
	}
	b := m.book
	if apart {
		b = &book{invite: b.invite, chain: slices.Clone(b.chain), revoked: slices.Clone(b.revoked), asked: maps.Clone(b.asked), index: b.index, former: b.former}
	}
	twin := machineAt(m.t, home, b)
	twin.clock = m.clock
	return twin
}

// on is a registry's line for another test.
func (m *machine) on(t *testing.T) *machine { m.t = t; return m }

// key makes a key in the store.
func (m *machine) key(name string, key *keys.SoftwareKey) keys.Record {
	m.t.Helper()
	record, err := m.Keys.Create(context.Background(), keys.Record{Name: name, Created: noon}, key, keys.NoLock())
	if err != nil {
		m.t.Fatal(err)
	}
	return record
}

func (m *machine) record(name string) keys.Record {
	m.t.Helper()
	record, err := m.Keys.Lookup(name)
	if err != nil {
		m.t.Fatal(err)
	}
	return record
}

func (m *machine) enrol(name string, can Can) error {
	plan, err := m.PlanEnrolment(context.Background(), EnrolOptions{Account: testAccount, Key: m.record(name), Can: can})
	if err != nil {
		return err
	}
	_, err = plan.Run(context.Background(), testCode)
	return err
}

func (m *machine) rotate(from, to string, overlap time.Duration) error {
	plan, err := m.PlanRotation(context.Background(), RotateOptions{Old: from, New: to, Overlap: overlap})
	if err != nil {
		return err
	}
	_, err = plan.Run(context.Background())
	return err
}

func (m *machine) revoke(key string) error {
	plan, err := m.PlanRevocation(context.Background(), key, Lost)
	if err != nil || plan.Done {
		return err
	}
	_, err = plan.Run(context.Background())
	return err
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// enrolled is a machine whose key "laptop", ed(1), began the account.
func enrolled(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	m.key("laptop", ed(1))
	m.must(m.enrol("laptop", 0))
	m.clock = m.clock.Add(time.Hour)
	return m
}

// tree is every file of the machine with its mode and content.
func (m *machine) tree() map[string]string {
	m.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(m.Home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			all[path] = fmt.Sprint(info.Mode())
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = fmt.Sprintf("%v %s", info.Mode(), data)
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}

// wants checks that machine and registry agree on so many versions, on the keys listed (by name; a
// name with "…" behind it has an end), on those revoked, and on the key that signs here.
func (m *machine) wants(versions int, signs string, listed, revoked []string) {
	m.t.Helper()
	if len(m.book.chain) != versions {
		m.t.Fatalf("the registry has %d versions, want %d", len(m.book.chain), versions)
	}
	pin, err := m.State().Keyset()
	m.must(err)
	if !bytes.Equal(pin.Note, m.book.latest().Note) {
		m.t.Errorf("pinned is version %d, and not what stands:\n%s", pin.Version, pin.Note)
	}
	if m.State().Pending() {
		m.t.Error("signed bytes are still waiting")
	}
	if all, err := OpenJournal(m.Home).Intents(); err != nil || len(all) != 0 {
		m.t.Errorf("the journal still has %+v, %v", all, err)
	}
	e, err := LookupEnrolment(m.Home, testIndex)
	m.must(err)
	signing := e.Key
	if e.ReadKey != "" {
		signing += ", reading " + e.ReadKey
	}
	if signing != signs || e.Account != testAccount {
		m.t.Errorf("the key that signs is %q, want %q", signing, signs)
	}
	names := func(ids []keys.ID) []string {
		var all []string
		for _, id := range ids {
			record, err := m.Keys.Find(id)
			m.must(err)
			all = append(all, record.Name)
		}
		slices.Sort(all)
		return all
	}
	var ids, ended []keys.ID
	var limited []string
	for _, entry := range pin.Keys {
		ids = append(ids, entry.Key.ID())
		if !entry.Until.IsZero() {
			limited = append(limited, names([]keys.ID{entry.Key.ID()})...)
		}
	}
	for _, r := range m.book.revoked {
		ended = append(ended, r.Key)
	}
	got := names(ids)
	for i, name := range got {
		if slices.Contains(limited, name) {
			got[i] = name + "…"
		}
	}
	if !slices.Equal(got, listed) || !slices.Equal(names(ended), revoked) {
		m.t.Errorf("listed are %q, revoked %q; want %q and %q", got, names(ended), listed, revoked)
	}
	known, err := m.State().revoked()
	m.must(err)
	if !slices.Equal(names(known), revoked) {
		m.t.Errorf("this machine knows the revocations of %q, want %q", names(known), revoked)
	}
	m.chainIsGood()
}

// chainIsGood judges everything in the book anew, as somebody would who reads it from the beginning.
func (m *machine) chainIsGood() {
	m.t.Helper()
	standing := Standing{Indexes: []string{testIndex}, Account: testAccount, Bootstrap: ByWhoever()}
	for _, k := range m.book.chain {
		standing.Now = k.Issued
		if err := standing.Accept(k); err != nil {
			m.t.Errorf("version %d: %v", k.Version, err)
		}
		standing.Previous = k
	}
}
