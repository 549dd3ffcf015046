// Several accounts at one registry, the keys that each operation takes, and old folders.

package enroll

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/internal/faults"
)

// save writes an enrolment as Lifecycle does.
func save(t *testing.T, home string, e Enrolment) *State {
	t.Helper()
	s := OpenState(home, e.Index, e.Account)
	if err := s.saveEnrolment(&e); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFoldersOfAccounts(t *testing.T) {
	home := t.TempDir()
	one, two := Enrolment{Index: testIndex, Account: "one", Key: "k", Since: noon}, Enrolment{Index: testIndex, Account: "two", Key: "k", Since: noon}
	first, other := save(t, home, one), save(t, home, two)
	if first.folder() != folderOf(testIndex, "") || other.folder() != folderOf(testIndex, "two") || folderOf(testIndex, "two") == folderOf(testIndex, "one") {
		t.Errorf("folders are %s and %s", first.folder(), other.folder())
	}
	inUse := func() string {
		e, err := LookupEnrolment(home, testIndex)
		if err != nil {
			return err.Error()
		}
		return e.Account
	}
	if got := inUse(); got != "one" {
		t.Errorf("nobody chose, and %q is in use", got)
	}
	for _, account := range []string{"two", "one", "two"} {
		if err := Use(home, testIndex, account); err != nil || inUse() != account {
			t.Errorf("using %s: %v, %q is in use", account, err, inUse())
		}
		for _, want := range []string{"one", "two"} {
			if e, err := LookupAccount(home, testIndex, want); err != nil || e.Account != want {
				t.Errorf("looking up %s: %+v, %v", want, e, err)
			}
		}
	}
	for _, account := range []string{"three", "", "../x"} {
		if err := Use(home, testIndex, account); err == nil || inUse() != "two" {
			t.Errorf("using %q: %v", account, err)
		}
	}
	if all, err := ListEnrolments(home); err != nil || len(all) != 2 || all[0].Account != "one" || all[1].Account != "two" {
		t.Errorf("listed are %v, %v", all, err)
	}
	// The first account's folder goes; what is in use does not change for that, and the folder is free.
	if err := first.SetAside(noon); err != nil || inUse() != "two" {
		t.Errorf("%v, %q is in use", err, inUse())
	}
	if err := OpenState(home, testIndex, "two").SetAside(noon); err != nil {
		t.Fatal(err)
	}
	if _, err := LookupEnrolment(home, testIndex); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the account in use is gone, and another takes its place: %v", err)
	}
	if s := save(t, home, two); s.folder() != folderOf(testIndex, "") || inUse() != "two" {
		t.Errorf("the free folder is not taken: %s", s.folder())
	}
}

// An account that comes first without ever having had the first folder is in use all the same.
func TestFirstFolderWaits(t *testing.T) {
	home := t.TempDir()
	first := OpenState(home, testIndex, "one")
	if err := first.setPending(&pending{Note: "x", Enrolment: Enrolment{Index: testIndex, Account: "one"}}); err != nil {
		t.Fatal(err)
	}
	other := save(t, home, Enrolment{Index: testIndex, Account: "two", Key: "k", Since: noon})
	if e, err := LookupEnrolment(home, testIndex); err != nil || e.Account != "two" || other.folder() == first.folder() {
		t.Errorf("%+v, %v in %s", e, err, other.folder())
	}
}

// A file that can't be understood stops everything: another account would sign in silence.
func TestBrokenChoiceOfAccount(t *testing.T) {
	for _, text := range []string{"", "\n", "Two\n", "two\nthree\n", strings.Repeat("x", 200)} {
		home := t.TempDir()
		save(t, home, Enrolment{Index: testIndex, Account: "one", Key: "k", Since: noon})
		if err := os.WriteFile(inUseFile(home, testIndex), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if e, err := LookupEnrolment(home, testIndex); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %+v, %v", text, e, err)
		}
		if err := OpenState(home, testIndex, "").saveEnrolment(&Enrolment{Index: testIndex}); err == nil {
			t.Errorf("%q: written over", text)
		}
	}
	home := t.TempDir()
	OpenState(home, testIndex, "").put(t, "enrolment.toml", "rubbish")
	if _, err := LookupAccount(home, testIndex, "two"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("over a first folder that can't be read: %v", err)
	}
}

// A copied folder would be the same enrolment under another account's name.
func TestFolderOfAnotherAccount(t *testing.T) {
	home := t.TempDir()
	save(t, home, Enrolment{Index: testIndex, Account: "one", Key: "k", Since: noon})
	other := save(t, home, Enrolment{Index: testIndex, Account: "two", Key: "k", Since: noon})
	other.put(t, "enrolment.toml", "index = '"+testIndex+"'\naccount = 'three'\nkey = 'k'\nsince = 2026-11-22T12:00:00Z\n")
	if e, err := LookupAccount(home, testIndex, "two"); err == nil {
		t.Errorf("read as %+v", e)
	}
}

func TestTwoAccountsLive(t *testing.T) {
	ctx := context.Background()
	m := enrolled(t)
	m.key("club", ed(9))
	invite, err := InviteKey(testCode)
	m.must(err)
	second := machineAt(t, m.Home, &book{invite: invite.Public()})
	second.clock, second.Account = m.clock, "club"
	plan, err := second.PlanEnrolment(ctx, EnrolOptions{Account: "club", Key: second.record("club")})
	second.must(err)
	if plan.Step != EnrolFirst {
		t.Fatalf("the second account's first key is %q", plan.Step)
	}
	if _, err := plan.Run(ctx, testCode); err != nil {
		t.Fatal(err)
	}
	if _, err := second.PlanEnrolment(ctx, EnrolOptions{Account: testAccount, Key: second.record("club")}); err == nil {
		t.Error("a lifecycle of one account plans for another")
	}
	m.key("desk", ed(3))
	m.must(m.rotate("laptop", "desk", 0))
	m.wants(2, "desk", []string{"desk"}, nil)
	k, err := second.Sync(ctx)
	second.must(err)
	if k.Account != "club" || k.Version != 1 {
		t.Errorf("the other account is %s, version %d", k.Account, k.Version)
	}
	m.must(Use(m.Home, testIndex, "club"))
	if e, err := LookupEnrolment(m.Home, testIndex); err != nil || e.Key != "club" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestKeyFor(t *testing.T) {
	operations := []string{"publish", "yank", "unyank", "owners", "read"}
	for name, c := range map[string]struct {
		e    Enrolment
		want []string
	}{
		"one key":        {Enrolment{Key: "a"}, []string{"a", "a", "a", "a", "a"}},
		"a read key":     {Enrolment{Key: "a", ReadKey: "r"}, []string{"a", "a", "a", "a", "r"}},
		"uses":           {Enrolment{Key: "a", ReadKey: "r", Uses: map[string]string{"yank": "y", "read": "s"}}, []string{"a", "y", "y", "a", "s"}},
		"an empty use":   {Enrolment{Key: "a", Uses: map[string]string{"publish": ""}}, []string{"a", "a", "a", "a", "a"}},
		"no key":         {Enrolment{ReadKey: "r"}, []string{"", "", "", "", "r"}},
		"no key but one": {Enrolment{Uses: map[string]string{"owners": "o"}}, []string{"", "", "", "o", ""}},
	} {
		var got []string
		for _, op := range operations {
			got = append(got, c.e.KeyFor(op))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestUseKey(t *testing.T) {
	m := enrolled(t)
	m.key("ci", ed(2))
	m.key("strange", ed(3))
	m.must(m.enrol("ci", Yank|Read))
	for _, c := range []struct{ op, name string }{
		{"publish", "ci"}, {"manage", "laptop"}, {"fly", "laptop"}, {"yank", "strange"}, {"yank", "nobody"}, {"", ""}, {"unyank", "ci"},
	} {
		if err := m.UseKey(c.op, c.name); err == nil {
			t.Errorf("%q by %q: no error", c.op, c.name)
		}
	}
	m.must(m.UseKey("yank", "ci"))
	m.must(m.UseKey("read", "ci"))
	e, err := LookupEnrolment(m.Home, testIndex)
	m.must(err)
	if e.KeyFor("unyank") != "ci" || e.KeyFor("read") != "ci" || e.KeyFor("publish") != "laptop" {
		t.Errorf("%+v", e)
	}
	m.must(m.UseKey("read", ""))
	m.key("desk", ed(4))
	m.must(m.rotate("ci", "desk", 0))
	if e, err = LookupEnrolment(m.Home, testIndex); err != nil || !reflect.DeepEqual(e.Uses, map[string]string{"yank": "desk"}) {
		t.Errorf("after the rotation: %+v, %v", e, err)
	}
	m.must(m.revoke("desk"))
	if e, err = LookupEnrolment(m.Home, testIndex); err != nil || e.KeyFor("yank") != "laptop" {
		t.Errorf("after the revocation: %+v, %v", e, err)
	}
}

// The history holds each version as it was verified; the pin never goes ahead of it.
func TestHistoryOnDisk(t *testing.T) {
	m := enrolled(t)
	twin := m.copy(false)
	for n, name := range []string{"a", "b", "c"} {
		m.key(name, ed(byte(10+n)))
		m.must(m.enrol(name, 0))
	}
	m.must(second(twin.Sync(context.Background())))
	for _, machine := range []*machine{m, twin} {
		all, err := machine.State().History()
		m.must(err)
		if len(all) != 4 {
			t.Fatalf("%d versions", len(all))
		}
		for i, k := range all {
			if string(k.Note) != string(m.book.chain[i].Note) {
				t.Errorf("version %d is not what stands", i+1)
			}
		}
	}
	// A folder from before there was a history, a hole, and what an interrupted write left.
	s := twin.State()
	m.must(os.RemoveAll(filepath.Join(s.dir, "keysets")))
	if all, err := s.History(); err != nil || len(all) != 1 || all[0].Version != 4 {
		t.Errorf("an old folder: %v, %v", all, err)
	}
	if k, err := s.Version(4); err != nil || k.Version != 4 {
		t.Errorf("the pin of an old folder: %v, %v", k, err)
	}
	s.put(t, "keysets/2.note", string(m.book.chain[1].Note))
	s.put(t, "keysets/9.note", string(m.book.chain[1].Note))
	s.put(t, "keysets/.3.note.77.tmp", "half")
	if all, err := s.History(); err != nil || len(all) != 2 || all[0].Version != 2 {
		t.Errorf("with a hole: %v, %v", all, err)
	}
	if _, err := s.Version(3); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the hole: %v", err)
	}
	for _, text := range []string{"rubbish", string(m.book.chain[0].Note), ""} {
		s.put(t, "keysets/3.note", text)
		if _, err := s.Version(3); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a wrong file: %v", err)
		}
	}
}

// Where it can't be read at a moment whose folder is whose, nothing of one account gets into another's, or is
// removed from there.
func TestAccountsStayApartWhereFilesFail(t *testing.T) {
	home := inMemory(t)
	first := save(t, home, Enrolment{Index: testIndex, Account: "one", Key: "k", Since: noon})
	for _, name := range []string{"pending.toml", proposalFile} {
		if err := first.write(name, []byte("of one")); err != nil {
			t.Fatal(err)
		}
	}
	open := func(run *faults.Run) *State {
		defer run.Files(home)()
		return OpenState(home, testIndex, "two")
	}
	whole := faults.Record()
	open(whole)
	if len(whole.Calls()) < 3 {
		t.Fatalf("only %v", whole.Calls())
	}
	for n, call := range whole.Calls() {
		s := open(faults.Stop(n, faults.Error))
		path, pathErr := (&Lifecycle{Home: home, Index: testIndex, Account: "two"}).certificatePath("k")
		if err := s.write("keyset.note", []byte("of two")); err == nil && s.folder() == first.folder() {
			t.Errorf("%v: two writes into the folder of one", call)
		}
		if _, err := s.setAside(noon); err == nil && s.folder() == first.folder() {
			t.Fatalf("%v: two sets the folder of one aside", call)
		}
		for what, err := range map[string]error{"pending": s.clearPending(), "proposal": s.clearProposal()} {
			if err == nil && s.folder() == first.folder() {
				t.Errorf("%v: two clears what is %s of one", call, what)
			}
		}
		if s.Pending() {
			t.Errorf("%v: something waits for two", call)
		}
		if pathErr != nil || filepath.Base(path) == "k-"+first.folder()[:8]+".revocation" {
			t.Errorf("the certificate of two goes to %q, %v", path, pathErr)
		}
	}
}
