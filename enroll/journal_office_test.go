// A machine that is enrolled at three registries, and that can be killed wherever a rotation speaks
// with a registry, a key, or its caller.

package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/faults"
	"github.com/cargo-regkey/regkey/keys"
)

var officeIndexes = []string{testIndex, "sparse+https://second.example.com/", "sparse+https://third.example.com/"}

// An office is the machine, and its registries by index.
type office struct {
	t      *testing.T
	home   string
	at     map[string]*machine
	points int    // that were passed in this process
	kill   int    // the point at which the process dies; 0: never
	passed string // the point just passed
	notes  []string
	asked  []*Overtaken
	decide error          // what Overtaken answers
	signs  int            // signatures made
	cargo  map[string]int // how often it was configured, by index
}

// killed is what a process dies of.
type killed struct{}

// point is a place where the process may die.
func (w *office) point(format string, values ...any) {
	w.points++
	w.passed = fmt.Sprintf(format, values...)
	w.notes = append(w.notes, w.passed)
	if w.points == w.kill {
		panic(killed{})
	}
}

// around is a place before and after do.
func (w *office) around(what string, do func() error) error {
	w.point("before %s", what)
	err := do()
	w.point("after %s", what)
	return err
}

// A fragile registry is one at which the machine may die, before and after each call.
type fragile struct {
	Registry
	w *office
}

func (f fragile) Submit(ctx context.Context, account string, s Submission) error {
	return f.w.around("submit", func() error { return f.Registry.Submit(ctx, account, s) })
}

func (f fragile) Latest(ctx context.Context, account string) (note []byte, revocations [][]byte, err error) {
	err = f.w.around("latest", func() error {
		note, revocations, err = f.Registry.Latest(ctx, account)
		return err
	})
	return note, revocations, err
}

func (f fragile) Keysets(ctx context.Context, account string, from int) (notes [][]byte, more bool, err error) {
	err = f.w.around("keysets", func() error {
		notes, more, err = f.Registry.Keysets(ctx, account, from)
		return err
	})
	return notes, more, err
}

// A fragileSigner is a key during whose signature the machine may die.
type fragileSigner struct {
	keys.Signer
	w *office
}

func (f fragileSigner) Sign(ctx context.Context, message []byte) (signature []byte, err error) {
	err = f.w.around("signature", func() error {
		signature, err = f.Signer.Sign(ctx, message)
		f.w.signs++
		return err
	})
	return signature, err
}

func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(faults.Folder(), "regkey-enroll-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// newOffice is enrolled with the key laptop everywhere.
func newOffice(t *testing.T) *office {
	t.Helper()
	invite, err := InviteKey(testCode)
	if err != nil {
		t.Fatal(err)
	}
	w := &office{t: t, home: inMemory(t), at: map[string]*machine{}, cargo: map[string]int{}}
	for n, index := range officeIndexes {
		w.join(index, &book{invite: invite.Public(), index: index}, noon)
		if n == 0 {
			w.at[index].key("laptop", ed(1))
		}
		w.at[index].must(w.at[index].enrol("laptop", 0))
	}
	return w.later(time.Hour)
}

// join puts the machine before a registry.
func (w *office) join(index string, b *book, clock time.Time) {
	m := machineAt(w.t, w.home, b)
	m.Index, m.clock = index, clock
	m.line = &line{Registry: b}
	m.Registry = fragile{m.line, w}
	plain := m.Unlock
	m.Unlock = func(ctx context.Context, name string) (keys.Signer, error) {
		w.point("before opening %s", name)
		key, err := plain(ctx, name)
		return fragileSigner{key, w}, err
	}
	w.at[index] = m
}

func (w *office) later(d time.Duration) *office {
	for _, m := range w.at {
		m.clock = m.clock.Add(d)
	}
	return w
}

// copy is the same machine before copies of the registries.
func (w *office) copy(t *testing.T) *office {
	t.Helper()
	twin := &office{t: t, home: inMemory(t), at: map[string]*machine{}, cargo: map[string]int{}, decide: w.decide}
	if err := os.CopyFS(twin.home, os.DirFS(w.home)); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(twin.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	}); err != nil {
		t.Fatal(err)
	}
	for index, m := range w.at {
		b := &book{invite: m.book.invite, chain: slices.Clone(m.book.chain), revoked: slices.Clone(m.book.revoked), index: m.book.index}
		twin.join(index, b, m.clock)
	}
	return twin
}

// rotation is what every process makes of the journal.
func (w *office) rotation(i *Intent) *Rotation {
	r := &Rotation{
		Journal: OpenJournal(w.home), Intent: i,
		At: func(index, _ string) *Lifecycle { return w.at[index].Lifecycle },
	}
	r.Bring = func(_ context.Context, _ Step, plan *RotatePlan) error {
		m := w.at[testIndex]
		if err := r.Making(m.Keys, plan.New); err != nil {
			return err
		}
		w.point("before making the key")
		if _, err := m.Keys.Lookup(plan.New); errors.Is(err, fs.ErrNotExist) {
			m.key(plan.New, ed(2))
		}
		w.point("after making the key")
		return nil
	}
	r.Configure = func(_ context.Context, s Step) error {
		return w.around("configuring", func() error { w.cargo[s.Index]++; return nil })
	}
	r.Overtaken = func(_ context.Context, o *Overtaken) error {
		w.asked = append(w.asked, o)
		return w.decide
	}
	return r
}

// alive runs one process, and reports whether it lived to its end.
func (w *office) alive(do func()) (lived bool) {
	w.points = 0
	defer func() {
		if fault := recover(); fault != nil {
			if _, ok := fault.(killed); !ok {
				panic(fault)
			}
		}
	}()
	do()
	return true
}

// rotate is the command, as it is run first or again: it goes on with what is in the journal.
func (w *office) rotate(overlap time.Duration) []StepOutcome {
	w.t.Helper()
	ctx := context.Background()
	if i := w.open(); i != nil {
		return w.resume(i)
	}
	i := &Intent{Kind: KindRotate, Begun: w.at[testIndex].clock, Old: "laptop", New: "laptop-2", Overlap: overlap, All: true}
	for _, index := range officeIndexes {
		i.Steps = append(i.Steps, Step{Index: index, Account: testAccount, State: StepPlanned})
	}
	r := w.rotation(i)
	plans := r.Look(ctx)
	w.must(r.Begin(plans))
	outcomes, err := r.Run(ctx, plans)
	w.must(err)
	return outcomes
}

func (w *office) resume(i *Intent) []StepOutcome {
	w.t.Helper()
	r := w.rotation(i)
	outcomes, err := r.Run(context.Background(), r.Look(context.Background()))
	w.must(err)
	return outcomes
}

// abandon gives up what the journal says, if there is anything.
func (w *office) abandon() ([]AbandonOutcome, []LeftKey) {
	w.t.Helper()
	i := w.open()
	if i == nil {
		return nil, nil
	}
	outcomes, left, err := w.rotation(i).Abandon(context.Background())
	w.must(err)
	return outcomes, left
}

// open is the one intent in the journal, or nil.
func (w *office) open() *Intent {
	w.t.Helper()
	all, err := OpenJournal(w.home).Intents()
	w.must(err)
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	w.t.Fatalf("%d intents", len(all))
	return nil
}

func (w *office) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// trusted is the key that a registry trusts without end, and which this machine signs with there.
func (w *office) trusted(index string) string {
	w.t.Helper()
	m := w.at[index]
	latest := m.book.latest()
	pin, err := m.State().Keyset()
	w.must(err)
	if !bytes.Equal(pin.Text, latest.Text) {
		w.t.Errorf("%s: pinned is version %d, and version %d stands", index, pin.Version, latest.Version)
	}
	if m.State().Pending() {
		w.t.Errorf("%s: signed bytes still wait", index)
	}
	var names []string
	for _, e := range latest.Keys {
		record, err := m.Keys.Find(e.Key.ID())
		w.must(err)
		if e.Can.Has(Manage) {
			names = append(names, record.Name)
		}
	}
	e, err := LookupAccount(w.home, index, testAccount)
	w.must(err)
	if len(names) != 1 || names[0] != e.Key {
		w.t.Errorf("%s: %q manage, and %s signs here", index, names, e.Key)
	}
	standing := Standing{Indexes: []string{index}, Account: testAccount, Bootstrap: ByWhoever()}
	for _, k := range m.book.chain {
		standing.Now = k.Issued
		w.must(standing.Accept(k))
		standing.Previous = k
	}
	return e.Key
}
