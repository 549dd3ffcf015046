// A second machine: it joins with a key that is trusted, or proposes its own and is let in.

package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// elsewhere is another machine with an empty home before the same registry.
func (m *machine) elsewhere() *machine {
	m.t.Helper()
	other := machineAt(m.t, m.t.TempDir(), m.book)
	other.clock = m.clock
	return other
}

func (m *machine) joining(key string) JoinOptions {
	return JoinOptions{Account: testAccount, Key: m.record(key), Name: "lab"}
}

func (m *machine) asking(key string) ProposeOptions {
	return ProposeOptions{JoinOptions: m.joining(key)}
}

// manages is another machine of the account: it has the key "laptop", ed(1), in a restored home.
func (m *machine) manages() *machine {
	m.t.Helper()
	other := m.elsewhere()
	other.key("laptop", ed(1))
	_, err := other.Join(context.Background(), other.joining("laptop"))
	m.must(err)
	return other
}

func (m *machine) approve(code string) error {
	plan, err := m.FetchProposal(context.Background(), code)
	if err != nil {
		return err
	}
	_, err = plan.Run(context.Background())
	return err
}

// letIn is the whole of the second machine's command, with the first machine approving meanwhile.
func (m *machine) letIn(o ProposeOptions) (*Joined, error) {
	code, pauses := m.State().Proposing(), 0
	return m.AwaitApproval(context.Background(), o, func(context.Context) error {
		if pauses++; pauses > 3 {
			return errors.New("nobody approves")
		}
		return m.manages().approve(code)
	}, func(w *Waiting) { code = w.Code })
}

func TestJoin(t *testing.T) {
	ctx := context.Background()
	m := enrolled(t)
	m.key("ci", ed(2))
	m.key("gone", ed(3))
	m.must(m.enrol("ci", 0))
	m.must(m.enrol("gone", 0))
	m.must(m.revoke("gone"))
	other := m.elsewhere()
	other.key("laptop", ed(1))
	other.key("gone", ed(3))
	other.key("strange", ed(4))
	if _, err := other.Join(ctx, other.joining("strange")); !errors.Is(err, ErrNotTrusted) {
		t.Errorf("a strange key joins: %v", err)
	}
	if _, err := other.Join(ctx, other.joining("gone")); codeOf(err) != CodeKeyRevoked {
		t.Errorf("a revoked key joins: %v", err)
	}
	if _, err := LookupEnrolment(other.Home, testIndex); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("enrolled all the same: %v", err)
	}
	j, err := other.Join(ctx, other.joining("laptop"))
	other.must(err)
	if !j.FirstUse || j.Already || j.Hash != m.book.latest().Hash() || j.Entry.Can != CanEverything {
		t.Errorf("joined is %+v", j)
	}
	other.key("ci", ed(2))
	other.wants(4, "laptop", []string{"ci", "laptop"}, []string{"gone"})
	if history, err := other.State().History(); err != nil || len(history) != 4 {
		t.Errorf("kept are %d versions, %v", len(history), err)
	}
	if j, err := other.Join(ctx, other.joining("laptop")); err != nil || !j.Already {
		t.Errorf("once more: %+v, %v", j, err)
	}
	// With a code the registry is not the only one that vouches.
	third := m.elsewhere()
	third.key("ci", ed(2))
	o := third.joining("ci")
	o.Keyset = ProposalCode(m.book.latest().Text)
	j, err = third.Join(ctx, o)
	third.must(err)
	if j.FirstUse {
		t.Error("joined by a code, and first use is said")
	}
	if _, err := third.PlanEdit(ctx, EditOptions{Key: "ci", Retire: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a machine that can't manage retires a key: %v", err)
	}
}

func TestPropose(t *testing.T) {
	m := enrolled(t).elsewhere()
	m.key("desk", ed(2))
	m.key("laptop", ed(1)) // for the names alone
	j, err := m.letIn(m.asking("desk"))
	m.must(err)
	if !j.FirstUse || j.Entry.Can != CanByDefault || j.Version != 2 || j.Certificate == "" {
		t.Errorf("joined is %+v", j)
	}
	m.wants(2, "desk", []string{"desk", "laptop"}, nil)
	if m.State().Proposing() != "" {
		t.Error("the proposal still waits")
	}
	if j, err := m.letIn(m.asking("desk")); err != nil || !j.Already {
		t.Errorf("once more: %+v, %v", j, err)
	}
}

// What the approver is shown is all that the proposal does.
func TestApproverSeesEverything(t *testing.T) {
	ctx := context.Background()
	first := enrolled(t)
	m := first.elsewhere()
	m.key("desk", ed(2))
	read := m.key("desk-read", ed(3))
	o := m.asking("desk")
	o.Can, o.Crates, o.Until, o.Read = Publish|Read, []string{"foo-*"}, m.clock.Add(24*time.Hour), &read
	w, err := m.Propose(ctx, o)
	m.must(err)
	if w.Code != m.State().Proposing() || w.Base != ProposalCode(m.book.latest().Text) || !w.Entry.Same(o.entry()) {
		t.Errorf("waiting is %+v", w)
	}
	plan, err := first.FetchProposal(ctx, strings.ToUpper(strings.ReplaceAll(w.Code, "-", " ")))
	first.must(err)
	if plan.Code != w.Code || plan.With != "laptop" || plan.Done || len(plan.Change.Added) != 2 || len(plan.Change.Removed)+len(plan.Change.Changed)+len(plan.Change.Revoked) != 0 {
		t.Errorf("planned is %+v", plan)
	}
	for _, e := range plan.Change.Added {
		want := o.entry()
		if e.Key == read.Public {
			want = Entry{Key: read.Public, Can: Read, Until: want.Until}
		}
		if !e.Same(want) {
			t.Errorf("shown is %+v, want %+v", e, want)
		}
	}
	approved, err := plan.Run(ctx)
	first.must(err)
	if approved.Version != 2 {
		t.Errorf("approved is %+v", approved)
	}
	if plan, err := first.FetchProposal(ctx, w.Code); err != nil || !plan.Done {
		t.Errorf("once more: %+v, %v", plan, err)
	}
	first.key("desk", ed(2))
	first.key("desk-read", ed(3))
	first.wants(2, "laptop", []string{"desk…", "desk-read…", "laptop"}, nil)
}

// A proposal that tries more than to let its key in is refused, whatever the registry says of it.
func TestProposalsThatTryMore(t *testing.T) {
	ctx := context.Background()
	first := enrolled(t)
	first.key("ci", ed(2))
	first.must(first.enrol("ci", 0))
	base := first.book.latest()
	thief := ed(9)
	for name, c := range map[string]struct {
		change  func(k *Keyset)
		signers []keys.Signer
		code    string
	}{
		"another key in the manager's place": {func(k *Keyset) { k.Keys = []Entry{entry(ed(2), CanEverything), entry(thief, Read)} }, []keys.Signer{thief}, CodeProposal},
		"an old key widened": {func(k *Keyset) {
			k.Keys = []Entry{entry(ed(1), CanEverything), entry(ed(2), CanEverything), entry(thief, Read)}
		}, []keys.Signer{thief}, CodeProposal},
		"an old key dropped": {func(k *Keyset) { k.Keys = []Entry{entry(ed(1), CanEverything), entry(thief, Read)} }, []keys.Signer{thief}, CodeProposal},
		"a revocation": {func(k *Keyset) {
			k.Revoked = []keys.ID{ed(77).Public().ID()}
			k.Keys = append(k.Keys, entry(thief, Read))
		}, []keys.Signer{thief}, CodeProposal},
		"the account closed":    {func(k *Keyset) { k.Closed = true; k.Keys = append(k.Keys, entry(thief, Read)) }, []keys.Signer{thief}, CodeProposal},
		"three keys":            {func(k *Keyset) { k.Keys = append(k.Keys, entry(thief, Read), entry(ed(10), Read), entry(ed(11), Read)) }, []keys.Signer{thief, ed(10), ed(11)}, CodeProposal},
		"no key":                {func(k *Keyset) {}, []keys.Signer{thief}, CodeProposal},
		"another's key":         {func(k *Keyset) { k.Keys = append(k.Keys, entry(ed(10), Read)) }, []keys.Signer{thief}, CodeSigner},
		"a manager's signature": {func(k *Keyset) { k.Keys = append(k.Keys, entry(thief, Read)) }, []keys.Signer{thief, ed(1)}, CodeSigner},
		"another account":       {func(k *Keyset) { k.Account = "another"; k.Keys = append(k.Keys, entry(thief, Read)) }, []keys.Signer{thief}, CodeAccountMismatch},
		"another registry": {func(k *Keyset) {
			k.Registry = "sparse+https://evil.example.com/"
			k.Keys = append(k.Keys, entry(thief, Read))
		}, []keys.Signer{thief}, CodeRegistryMismatch},
		"from the future":   {func(k *Keyset) { k.Issued = first.clock.Add(time.Hour); k.Keys = append(k.Keys, entry(thief, Read)) }, []keys.Signer{thief}, CodeIssued},
		"a skipped version": {func(k *Keyset) { k.Version++; k.Keys = append(k.Keys, entry(thief, Read)) }, []keys.Signer{thief}, CodeVersion},
	} {
		t.Run(name, func(t *testing.T) {
			m := first.on(t).copy(true)
			next := follow(base)
			next.Issued = m.clock
			c.change(next)
			k := mustSign(t, next, c.signers...)
			code := ProposalCode(k.Text)
			m.book.asked = map[string]Submission{code: {Note: k.Note}}
			files, sent := m.tree(), len(m.line.sent)
			_, err := m.FetchProposal(ctx, code)
			if codeOf(err) != c.code {
				t.Errorf("%v", err)
			}
			if !sameTree(files, m.tree()) || len(m.line.sent) != sent {
				t.Error("something was changed or sent")
			}
		})
	}
}

// The account goes on while a proposal waits: the approver is told, and the second machine asks anew.
func TestProposalIsOvertaken(t *testing.T) {
	ctx := context.Background()
	first := enrolled(t)
	m := first.elsewhere()
	m.key("desk", ed(2))
	m.key("laptop", ed(1))
	m.key("ci", ed(3))
	w, err := m.Propose(ctx, m.asking("desk"))
	m.must(err)
	again, err := m.Propose(ctx, m.asking("desk"))
	m.must(err)
	if again.Code != w.Code {
		t.Error("asking twice makes two proposals")
	}
	first.key("ci", ed(3))
	first.must(first.enrol("ci", 0))
	var stale *StaleProposalError
	if err := first.approve(w.Code); !errors.As(err, &stale) || stale.Stands != 2 || stale.Built != 2 {
		t.Errorf("approving what is overtaken: %v", err)
	}
	if j, waits, err := m.CheckApproval(ctx, m.record("desk")); j != nil || waits || err != nil {
		t.Errorf("%+v, %v, %v", j, waits, err)
	}
	j, err := m.letIn(m.asking("desk"))
	m.must(err)
	if j.Version != 3 {
		t.Errorf("let in with version %d", j.Version)
	}
	m.wants(3, "desk", []string{"ci", "desk", "laptop"}, nil)
	// A registry that forgets what waits is asked again with the same bytes.
	late := first.elsewhere()
	late.key("late", ed(5))
	w, err = late.Propose(ctx, late.asking("late"))
	late.must(err)
	clear(late.book.asked)
	code := ""
	_, err = late.AwaitApproval(ctx, late.asking("late"), func(context.Context) error { return errLine }, func(w *Waiting) { code = w.Code })
	if !errors.Is(err, errLine) || code != w.Code {
		t.Errorf("%v, and %s instead of %s", err, code, w.Code)
	}
}

// Where reading needs a token, a code opens what stands, and only while it stands.
func TestProposeByCode(t *testing.T) {
	ctx := context.Background()
	first := enrolled(t)
	m := first.elsewhere()
	m.key("desk", ed(2))
	closed := fmt.Errorf("reading needs a token: %w", fs.ErrNotExist)
	shut := &liar{Registry: m.line, shut: closed}
	m.Registry = shut
	if _, err := m.Propose(ctx, m.asking("desk")); !errors.Is(err, closed) {
		t.Errorf("without a code: %v", err)
	}
	o := m.asking("desk")
	o.Keyset = ProposalCode(first.book.latest().Text)
	w, err := m.Propose(ctx, o)
	m.must(err)
	// Whoever comes back to wait needs no code: what was proposed is posted again.
	if again, err := m.Propose(ctx, m.asking("desk")); err != nil || again.Code != w.Code {
		t.Errorf("proposing again without a code: %+v, %v", again, err)
	}
	var stale *StaleProposalError
	other := m.asking("desk")
	other.Can = Read
	if _, err := m.Propose(ctx, other); !errors.As(err, &stale) || !stale.Own {
		t.Errorf("proposing something else without a code: %v", err)
	}
	first.must(first.approve(w.Code))
	j, err := m.AwaitApproval(ctx, o, func(context.Context) error { return errLine }, func(*Waiting) {})
	m.must(err)
	if j.FirstUse || j.Version != 2 {
		t.Errorf("joined is %+v", j)
	}
	late := first.elsewhere()
	late.key("late", ed(5))
	late.Registry = &liar{Registry: late.line, shut: closed}
	lateAsks := late.asking("late")
	lateAsks.Keyset = o.Keyset // of version 1, and version 2 stands
	if _, err := late.Propose(ctx, lateAsks); !errors.As(err, &stale) || !stale.Own {
		t.Errorf("with an old code: %v", err)
	}
}

// Keys that never manage are not proposed to.
func TestManagingIsRefusedToForeignKeys(t *testing.T) {
	ctx := context.Background()
	m := enrolled(t)
	foreign := m.key("foreign", ed(2))
	m.key("ci", ed(3))
	foreign.Origin = "imported"
	if foreign.MayManage() {
		t.Fatal("the record may manage: this test shows nothing")
	}
	_, err := m.PlanEnrolment(ctx, EnrolOptions{Key: foreign, Can: CanEverything})
	if err == nil || !strings.Contains(err.Error(), "never manages") {
		t.Errorf("enrolling: %v", err)
	}
	o := m.asking("ci")
	o.Key, o.Can = foreign, Manage
	if _, err := m.Propose(ctx, o); err == nil || !strings.Contains(err.Error(), "never manages") {
		t.Errorf("proposing: %v", err)
	}
	plan, err := m.PlanEnrolment(ctx, EnrolOptions{Key: foreign})
	m.must(err)
	m.must(second(plan.Run(ctx, keys.Secret{})))
	fresh := newMachine(t)
	record := fresh.key("foreign", ed(2))
	record.Origin = foreign.Origin
	first, err := fresh.PlanEnrolment(ctx, EnrolOptions{Account: testAccount, Key: record})
	fresh.must(err)
	if _, err := first.Run(ctx, testCode); err == nil || len(fresh.line.sent) != 0 {
		t.Errorf("the first key of an account: %v", err)
	}
	if !slices.Equal(m.line.kinds, slices.DeleteFunc(slices.Clone(m.line.kinds), func(kind string) bool { return kind == "propose" })) {
		t.Error("a proposal was sent")
	}
}

// A machine that is enrolled and does not manage asks for a further key in the same way. The key that signs
// there stays the one, unless it can't sign any more.
func TestProposeAFurtherKey(t *testing.T) {
	ctx := context.Background()
	m := enrolled(t)
	other := m.elsewhere()
	other.key("desk", ed(2))
	if _, err := other.letIn(other.asking("desk")); err != nil {
		t.Fatal(err)
	}
	signs := func(want string) {
		t.Helper()
		e, err := LookupEnrolment(other.Home, other.Index)
		if err != nil || e.Key != want || len(e.Certificates) < 2 {
			t.Fatalf("%q signs instead of %q: %+v, %v", e.Key, want, e, err)
		}
	}
	other.key("spare", ed(3))
	j, err := other.letIn(other.asking("spare"))
	if err != nil || j.FirstUse || j.Already {
		t.Fatalf("letting a further key in: %+v, %v", j, err)
	}
	signs("desk")

	// What is decided while the proposal waits stays.
	other.key("third", ed(4))
	w, err := other.Propose(ctx, other.asking("third"))
	m.must(err)
	m.must(other.UseKey("", "spare"))
	m.must(m.manages().approve(w.Code))
	if j, _, err := other.CheckApproval(ctx, other.record("third")); err != nil || j == nil {
		t.Fatalf("%+v, %v", j, err)
	}
	signs("spare")

	manager := m.manages()
	plan, err := manager.PlanRevocation(ctx, other.record("spare").Public.ID().String(), Lost)
	m.must(err)
	_, err = plan.Run(ctx)
	m.must(err)
	other.key("fourth", ed(5))
	if _, err := other.letIn(other.asking("fourth")); err != nil {
		t.Fatal(err)
	}
	signs("fourth")
}

// An end that came with the version which brought another key in is a rotation's; any other is nobody's wish.
func TestReplaced(t *testing.T) {
	ctx := context.Background()
	m := enrolled(t)
	m.key("ci", ed(2))
	m.must(m.enrol("ci", 0))
	until := m.clock.Add(240 * time.Hour)
	edit := func(o EditOptions) {
		t.Helper()
		plan, err := m.PlanEdit(ctx, o)
		m.must(err)
		_, err = plan.Run(ctx)
		m.must(err)
	}
	is := func(name string, want bool) {
		t.Helper()
		if got := m.State().Replaced(m.record(name).Public.ID()); got != want {
			t.Errorf("%s replaced: %v", name, got)
		}
	}
	is("ci", false)
	edit(EditOptions{Key: "ci", Until: &until})
	is("ci", false)
	m.key("laptop-2", ed(3))
	rotation, err := m.PlanRotation(ctx, RotateOptions{Old: "laptop", New: "laptop-2", Overlap: 24 * time.Hour})
	m.must(err)
	_, err = rotation.Run(ctx)
	m.must(err)
	is("laptop", true)
	is("ci", false)
	later := until.Add(time.Hour)
	edit(EditOptions{Key: "laptop", Until: &later})
	is("laptop", false)
}
