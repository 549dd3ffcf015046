// The rest of a key's life: its timeline, edits, ends, a registry from a backup, a registry that moved.

package enroll

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

func TestCompareAndHistory(t *testing.T) {
	ctx := context.Background()
	m := enrolled(t)
	twin := m.copy(false)
	m.key("ci", ed(2))
	m.must(m.enrol("ci", 0))
	patterns := []string{"foo-*"}
	m.must(m.edit(EditOptions{Key: "ci", Can: Publish, Crates: &patterns}))
	m.must(m.revoke("ci"))
	m.key("desk", p384(3))
	m.must(m.rotate("laptop", "desk", time.Hour))
	for _, machine := range []*machine{m, twin} {
		history, err := machine.History(ctx)
		m.must(err)
		if len(history) != 5 {
			t.Fatalf("%d versions", len(history))
		}
		first, added, changed, revoked, rotated := history[0], history[1], history[2], history[3], history[4]
		if len(first.Added) != 1 || first.Version != 1 || len(first.Signers) != 2 {
			t.Errorf("version 1: %+v", first)
		}
		if len(added.Added) != 1 || added.Added[0].Key != ed(2).Public() || len(added.Removed)+len(added.Changed) != 0 || len(added.Signers) != 2 {
			t.Errorf("version 2: %+v", added)
		}
		if len(changed.Changed) != 1 || changed.Changed[0].Before.Can != CanByDefault || changed.Changed[0].After.Can != Publish || !slices.Equal(changed.Changed[0].After.Crates, patterns) {
			t.Errorf("version 3: %+v", changed)
		}
		if len(revoked.Removed) != 1 || !slices.Equal(revoked.Revoked, []keys.ID{ed(2).Public().ID()}) || len(revoked.Signers) != 1 {
			t.Errorf("version 4: %+v", revoked)
		}
		if len(rotated.Added) != 1 || len(rotated.Changed) != 1 || rotated.Changed[0].After.Can.Has(Manage) || rotated.Empty() {
			t.Errorf("version 5: %+v", rotated)
		}
	}
	same := Compare(m.book.latest(), m.book.latest())
	if !same.Empty() {
		t.Errorf("a version differs from itself: %+v", same)
	}
}

func (m *machine) edit(o EditOptions) error {
	plan, err := m.PlanEdit(context.Background(), o)
	if err != nil {
		return err
	}
	_, err = plan.Run(context.Background())
	return err
}

func TestEdit(t *testing.T) {
	m := enrolled(t)
	m.key("ci", ed(2))
	m.key("strange", ed(3))
	m.must(m.enrol("ci", 0))
	soon, past, never := m.clock.Add(24*time.Hour+time.Millisecond), m.clock.Add(-time.Hour), time.Time{}
	all, bad := []string{}, []string{"*foo"}
	for name, o := range map[string]EditOptions{
		"the last manager retires":     {Key: "laptop", Retire: true},
		"the last manager loses it":    {Key: "laptop", Can: Publish},
		"an end for a manager":         {Key: "laptop", Until: &soon},
		"manage and an end":            {Key: "ci", Can: CanEverything, Until: &soon},
		"an end that has passed":       {Key: "ci", Until: &past},
		"no pattern":                   {Key: "ci", Crates: &bad},
		"retire and more":              {Key: "ci", Retire: true, Can: Read},
		"a key that is not trusted":    {Key: "strange", Can: Read},
		"a key that nobody has":        {Key: "nobody", Can: Read},
		"an id that nobody has listed": {Key: ed(9).Public().ID().String(), Can: Read},
	} {
		sent := len(m.line.sent)
		err := m.edit(o)
		if err == nil || len(m.line.sent) != sent {
			t.Errorf("%s: %v", name, err)
		}
		if name == "an end for a manager" && (codeOf(err) != CodeManagerUntil || !strings.Contains(err.Error(), "has no end")) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.HasPrefix(name, "the last manager") && codeOf(err) != CodeNoManager {
			t.Errorf("%s: %v", name, err)
		}
	}
	m.must(m.edit(EditOptions{Key: "ci", Can: Publish | Read, Until: &soon}))
	if e, _ := m.book.latest().Entry(ed(2).Public().ID()); e.Can != Publish|Read || !e.Until.Equal(soon.Truncate(time.Second)) {
		t.Errorf("%+v", e)
	}
	m.must(m.edit(EditOptions{Key: "ci", Can: Publish | Read})) // nothing to do
	m.wants(3, "laptop", []string{"ci…", "laptop"}, nil)
	due, err := m.Due(25 * time.Hour)
	m.must(err)
	if len(due) != 1 || due[0].Name != "ci" || due[0].Ended {
		t.Errorf("due are %+v", due)
	}
	if due, err := m.Due(time.Hour); err != nil || len(due) != 0 {
		t.Errorf("due within an hour are %+v, %v", due, err)
	}
	// Past its end it can still be prolonged, by its id too.
	m.clock = m.clock.Add(48 * time.Hour)
	if due, err := m.Due(0); err != nil || len(due) != 1 || !due[0].Ended {
		t.Errorf("ended are %+v, %v", due, err)
	}
	m.must(m.edit(EditOptions{Key: ed(2).Public().ID().String(), Until: &never, Crates: &all}))
	m.wants(4, "laptop", []string{"ci", "laptop"}, nil)
	// The key that signs here retires: another one takes its place.
	m.must(m.edit(EditOptions{Key: "ci", Can: CanEverything}))
	m.must(m.UseKey("yank", "laptop"))
	m.must(m.edit(EditOptions{Key: "laptop", Retire: true}))
	m.wants(6, "ci", []string{"ci"}, nil)
	m.must(m.edit(EditOptions{Key: "laptop", Retire: true}))
	m.wants(6, "ci", []string{"ci"}, nil)
	if e, err := LookupEnrolment(m.Home, testIndex); err != nil || len(e.Uses) != 0 {
		t.Errorf("%+v, %v", e, err)
	}
}

// A backup of the registry: it has forgotten everything after so many versions and revocations.
func (m *machine) restore(versions, revocations int) {
	m.book.chain, m.book.revoked = slices.Clone(m.book.chain[:versions]), slices.Clone(m.book.revoked[:revocations])
}

func TestPush(t *testing.T) {
	ctx := context.Background()
	m := enrolled(t)
	for n, name := range []string{"ci", "desk", "other"} {
		m.key(name, ed(byte(2+n)))
	}
	m.must(m.enrol("ci", 0))               // 2
	m.must(m.enrol("desk", CanEverything)) // 3
	m.must(m.revoke("ci"))                 // 4, signed by laptop
	m.must(m.rotate("laptop", "other", 0)) // 5: laptop, which signed the revocation, is gone
	m.must(m.revoke("desk"))               // 6
	for versions := range 7 {
		for revocations := range 3 {
			if versions < 4 && revocations > 0 || versions < 6 && revocations > 1 {
				continue // no backup has a revocation without the version that was made for it, in this order
			}
			if versions >= 4 && revocations < 1 {
				continue
			}
			back := m.copy(true)
			back.restore(versions, revocations)
			if versions < 6 {
				var distrusted *DistrustError
				if _, err := back.Sync(ctx); !errors.As(err, &distrusted) {
					t.Errorf("%d versions: before, %v", versions, err)
				}
			}
			pushed, err := back.Push(ctx)
			if err != nil {
				t.Errorf("%d versions, %d revocations: %v", versions, revocations, err)
				continue
			}
			if pushed.From != versions || pushed.To != 6 || pushed.Revocations != 2-revocations {
				t.Errorf("%d versions: pushed is %+v", versions, pushed)
			}
			back.wants(6, "other", []string{"other"}, []string{"ci", "desk"})
			for i, k := range back.book.chain {
				if string(k.Note) != string(m.book.chain[i].Note) {
					t.Errorf("version %d is not what was signed", i+1)
				}
			}
		}
	}
	// Interrupted anywhere, it is completed by running it again.
	for at := 1; at < 12; at++ {
		for _, failure := range []failure{lostBefore, lostAfter} {
			back := m.copy(true)
			back.restore(2, 0)
			back.line.calls, back.line.at, back.line.failure = 0, at, failure
			if _, err := back.Push(ctx); err == nil && back.line.calls >= at {
				t.Errorf("%s at %d went unnoticed", failure, at)
			}
			back.line.at = 0
			back.must(second(back.Push(ctx)))
			back.wants(6, "other", []string{"other"}, []string{"ci", "desk"})
		}
	}
	fork := m.copy(true)
	fork.restore(2, 0)
	next := follow(fork.book.latest())
	next.Issued = fork.clock
	fork.book.chain = append(fork.book.chain, mustSign(t, next, ed(1)))
	var distrusted *DistrustError
	if _, err := fork.Push(ctx); !errors.As(err, &distrusted) || len(fork.line.sent) != 0 {
		t.Errorf("over a fork: %v", err)
	}
	hole := m.copy(true)
	hole.restore(2, 0)
	m.must(os.Remove(filepath.Join(hole.State().dir, "keysets", "4.note")))
	if _, err := hole.Push(ctx); err == nil || errors.As(err, &distrusted) || len(hole.line.sent) != 0 || !strings.Contains(err.Error(), "no copy of version 4") {
		t.Errorf("with a hole: %v", err)
	}
}

const newIndex = "sparse+https://new.example.com/index/"

// moved is the machine as its user has it after the registry moved: cargo's configuration names the new
// index URL.
func (m *machine) moved(apart bool) *machine {
	m.t.Helper()
	after := m.copy(apart)
	after.book.index, after.book.former = newIndex, []string{testIndex}
	after.Index, after.Former = newIndex, []string{testIndex}
	return after
}

func (m *machine) move() error {
	plan, err := m.PlanMove(context.Background(), testIndex)
	if err != nil {
		return err
	}
	return plan.Move(context.Background())
}

func TestMove(t *testing.T) {
	ctx := context.Background()
	m := enrolled(t)
	m.key("ci", ed(2))
	m.key("new", ed(3))
	m.must(m.enrol("ci", 0))
	m.must(m.revoke("ci"))
	ahead := m.copy(false)
	ahead.key("desk", ed(4))
	m.key("desk", ed(4))
	ahead.must(ahead.enrol("desk", 0)) // version 4, still at the former index
	after := m.moved(true)
	plan, err := after.PlanMove(ctx, testIndex)
	after.must(err)
	if plan.Account != testAccount || plan.Key != "laptop" || plan.Pinned != 3 || plan.Version != 4 || plan.Done {
		t.Errorf("planned is %+v", plan)
	}
	after.must(plan.Move(ctx))
	after.must(after.move()) // again: nothing is left to do
	if _, err := LookupEnrolment(after.Home, testIndex); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the former enrolment is still there: %v", err)
	}
	e, err := LookupEnrolment(after.Home, newIndex)
	after.must(err)
	if e.Key != "laptop" || e.Account != testAccount || !slices.Equal(e.Former, []string{testIndex}) || len(e.Certificates) == 0 {
		t.Errorf("enrolled is %+v", e)
	}
	if history, err := after.State().History(); err != nil || len(history) != 4 {
		t.Errorf("%d versions, %v", len(history), err)
	}
	if kept, err := os.ReadDir(filepath.Join(after.Home, "former")); err != nil || len(kept) != 1 {
		t.Errorf("set aside are %v, %v", kept, err)
	}
	after.Former = nil // what discovery says no longer matters
	after.must(after.rotate("laptop", "new", 0))
	after.must(after.revoke("desk"))
	if latest := after.book.latest(); latest.Registry != newIndex || latest.Version != 6 {
		t.Errorf("what stands is version %d for %s", latest.Version, latest.Registry)
	}
	if history, err := after.History(ctx); err != nil || len(history) != 6 {
		t.Errorf("%d versions, %v", len(history), err)
	}
	// Who meets the account only now believes the claim, as everything else.
	late := after.elsewhere()
	late.Index, late.Former = newIndex, []string{testIndex}
	late.key("new", ed(3))
	if _, err := late.Join(ctx, late.joining("new")); err != nil {
		t.Errorf("joining after the move: %v", err)
	}
	if _, err := late.History(ctx); err != nil {
		t.Errorf("the history after joining: %v", err)
	}
}

// Signed bytes that waited at the former index are taken along, and arrive.
func TestMoveTakesAlongWhatWaits(t *testing.T) {
	m := enrolled(t)
	m.key("new", ed(3))
	m.line.at, m.line.failure = m.line.calls+2, lostBefore
	if err := m.rotate("laptop", "new", 0); !errors.Is(err, errLine) {
		t.Fatal(err)
	}
	after := m.moved(true)
	after.must(after.move())
	if !after.State().Pending() {
		t.Fatal("nothing waits after the move")
	}
	after.must(after.rotate("laptop", "new", 0))
	if latest := after.book.latest(); latest.Version != 2 || latest.Registry != testIndex {
		t.Errorf("version %d for %s", latest.Version, latest.Registry)
	}
	if e, err := LookupEnrolment(after.Home, newIndex); err != nil || e.Key != "new" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestMoveIsProved(t *testing.T) {
	ctx := context.Background()
	m := enrolled(t)
	m.key("ci", ed(2))
	m.must(m.enrol("ci", 0))
	m.must(m.revoke("ci"))
	for name, lie := range map[string]func(*machine){
		"no such account": func(m *machine) { m.book.chain = nil },
		"an older chain":  func(m *machine) { m.restore(2, 0) },
		"no revocation":   func(m *machine) { m.book.revoked = nil },
		"another chain":   func(m *machine) { m.book.chain[2] = forkOf(m, m.book.chain[1]) },
		"a longer other": func(m *machine) {
			m.book.chain = append(m.book.chain[:2], forkOf(m, m.book.chain[1]))
			m.book.chain = append(m.book.chain, forkOf(m, m.book.latest()))
		},
		"a third registry": func(m *machine) {
			m.book.chain = append(m.book.chain, elsewhereOf(m, "sparse+https://third.example.com/"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			after := m.on(t).moved(true)
			lie(after)
			files := after.tree()
			_, err := after.PlanMove(ctx, testIndex)
			var distrusted *DistrustError
			if !errors.As(err, &distrusted) || distrusted.Expected == "" || distrusted.Came == "" {
				t.Errorf("%v", err)
			}
			if !sameTree(files, after.tree()) {
				t.Error("a file was changed")
			}
		})
	}
	after := m.on(t).moved(true)
	after.Former = []string{"sparse+https://third.example.com/"}
	if _, err := after.PlanMove(ctx, testIndex); err == nil {
		t.Error("moved to a registry that does not say so")
	}
	if _, err := after.PlanMove(ctx, after.Former[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("moved from where nobody is enrolled: %v", err)
	}
}

// forkOf is another version after base than stands, signed by the manager.
func forkOf(m *machine, base *SignedKeyset) *SignedKeyset {
	next := follow(base)
	next.Issued = base.Issued.Add(time.Second)
	next.Keys = next.Keys[:0]
	for _, e := range base.Keys {
		if e.Can.Has(Manage) {
			next.Keys = append(next.Keys, e)
		}
	}
	return mustSign(m.t, next, ed(1))
}

func elsewhereOf(m *machine, index string) *SignedKeyset {
	next := follow(m.book.latest())
	next.Registry, next.Issued = index, m.book.latest().Issued.Add(time.Second)
	return mustSign(m.t, next, ed(1))
}

// A crash between any two writes of a move changes nothing in the end.
func TestMoveCrashes(t *testing.T) {
	m := enrolled(t)
	m.key("ci", ed(2))
	m.must(m.enrol("ci", 0))
	crashed := m.moved(true)
	plan, err := crashed.PlanMove(context.Background(), testIndex)
	crashed.must(err)
	crashed.must(plan.copy()) // and the former folder is still there
	crashed.must(crashed.move())
	if all, err := ListEnrolments(crashed.Home); err != nil || len(all) != 1 || all[0].Index != newIndex {
		t.Errorf("%v, %v", all, err)
	}
	half := m.moved(true)
	plan, err = half.PlanMove(context.Background(), testIndex)
	half.must(err)
	half.must(plan.l.State().keep(half.book.chain[0])) // no more than one version was written
	half.must(half.move())
	if _, err := half.Sync(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestPins(t *testing.T) {
	ctx := context.Background()
	m := enrolled(t)
	m.key("ci", ed(2))
	m.must(m.enrol("ci", 0))
	m.must(m.revoke("ci"))
	pins, err := ShowPins(m.Home)
	m.must(err)
	want := Pin{
		Index: testIndex, Account: testAccount, InUse: true, Version: 3, Hash: m.book.latest().Hash(),
		Issued: m.book.latest().Issued, Since: noon, Held: 3, Revocations: 1,
	}
	if len(pins) != 1 || pins[0].Hash != want.Hash || pins[0].Version != 3 || pins[0].Held != 3 || pins[0].Revocations != 1 || !pins[0].InUse || !pins[0].Since.Equal(noon) || !pins[0].Issued.Equal(want.Issued) {
		t.Errorf("%+v, want %+v", pins, want)
	}
	// The operator has restored a backup, everybody agrees to that, and the user says so.
	m.restore(2, 0)
	var distrusted *DistrustError
	if _, err := m.Join(ctx, m.joining("laptop")); !errors.As(err, &distrusted) {
		t.Errorf("before: %v", err)
	}
	folder, err := m.ResetPins()
	m.must(err)
	if _, err := os.Stat(filepath.Join(folder, "keyset.note")); err != nil {
		t.Error(err)
	}
	if _, err := m.ResetPins(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("once more: %v", err)
	}
	_, err = m.Join(ctx, m.joining("laptop"))
	m.must(err)
	m.wants(2, "laptop", []string{"ci", "laptop"}, nil)
}
