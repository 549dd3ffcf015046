// The fault harness: every call of every operation is stopped in every way, and the same command completes it.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/internal/faults"
)

// An operation is a command that is stopped everywhere.
type operation struct {
	name    string
	prepare func(w *world) error
	command func(w *world) command
	// long is for one that takes the same ways as others: it is tried with all points only.
	long bool
	// lab completes the laboratory; nil: nothing is wanted besides the registries. An operation that has one
	// runs alone.
	lab func(t *testing.T, l *faultLab)
	// once says that the command, run again after it has succeeded, does more of the same.
	once bool
	// exists says that the command, run again after it has succeeded, says that this is so and fails.
	exists bool
	// left says that the preparations leave something already, of which a run that fails at once says nothing.
	left bool
	// anew says that it is right to sign another version of a number: so one that was sent can never stand.
	anew bool
	// check looks at what must be so in the end beyond what is checked of every operation; may be nil.
	check func(w *world) error
	// host is the registry at which a key of the machine can publish before, and all the time; "": there is none before.
	host string
}

// TestFaults is the harness. It records each operation once, which counts its calls, and then stops it at
// each call in each way, in a fresh world. Then the same command is run again. In the end everything must be
// as if nothing had happened: the same files and no others, the same cargo configuration, the same keyset at
// the registry as is pinned, keys that work.
func TestFaults(t *testing.T) {
	cheapPassphrases(t)
	var points, good atomic.Int64
	t.Run("at", func(t *testing.T) {
		for _, o := range slices.Concat(tokenOperations, furtherOperations(), faultOperations()) {
			if o.long && !everyPoint {
				continue
			}
			t.Run(o.name, func(t *testing.T) {
				if !underRace && o.lab == nil { // the library of the command line shares its flag --help among runs
					t.Parallel()
				}
				p, g := o.everywhere(t)
				points.Add(p)
				good.Add(g)
			})
		}
	})
	t.Logf("all operations: %d points run, %d good", points.Load(), good.Load())
	if points.Load() != good.Load() {
		t.Errorf("of %d points only %d are good", points.Load(), good.Load())
	}
}

// everywhere stops the operation at its points and counts them, and those after which all is as it should be.
func (o operation) everywhere(t *testing.T) (points, good int64) {
	lab := newFaultLab(t)
	if o.lab != nil {
		o.lab(t, lab)
	}
	right, all := o.references(t, lab), o.points(t, lab)
	for n, p := range all {
		if n%o.sparse() != 0 && !everyPoint {
			continue
		}
		points++
		if err := o.stopped(lab, p, right); err != nil {
			t.Errorf("%s at %v (call %d): %v", p.mode, p.call, p.n, err)
			continue
		}
		good++
	}
	if len(all) < 12 {
		t.Errorf("only %d points: the calls are not seen", len(all))
	}
	t.Logf("%d points, %d of them run, %d good", len(all), points, good)
	return points, good
}

// sparse is of how many points one is run in a sample. What runs alone has most of its calls in common with others.
func (o operation) sparse() int {
	if o.lab != nil {
		return 5 * sparse
	}
	return sparse
}

// A point is a call and a way in which it goes wrong.
type point struct {
	n    int
	call faults.Call
	mode faults.Mode
}

// atEnd stands for the moment when the command has ended, and said what it did.
var atEnd = faults.Call{What: "end"}

// everyPoint has all points run, as "make faults" does; else it is a sample. Then there are also those points that
// differ from others in name only: nothing outlives a crash before a call, or around one that only looks, but what
// the calls before have done, and so it is the crash after these.
var everyPoint = os.Getenv("REGKEY_FAULTS") == "all"

func (o operation) points(t *testing.T, lab *faultLab) []point {
	t.Helper()
	w := o.prepared(t, lab)
	defer w.end()
	run := faults.Record()
	w.run(run, o.command(w))
	var all []point
	for n, call := range run.Calls() {
		for _, mode := range faults.Modes(call) {
			crash := mode == faults.CrashBefore || mode == faults.CrashAfter
			if crash && !everyPoint && (call.Reads() || mode == faults.CrashBefore && !(n == 0 || call.Kind == faults.Network)) {
				continue
			}
			all = append(all, point{n, call, mode})
		}
	}
	return append(all, point{len(run.Calls()), atEnd, faults.PowerCut})
}

// outcome is how a world looks when the command has been run twice.
func (o operation) outcome(w *world) (string, error) {
	c := o.command(w)
	tree, err := w.tree()
	if err != nil {
		return "", err
	}
	if err := w.settled(c); err != nil {
		return "", err
	}
	trusted, err := w.trusted(c.machine)
	if err != nil {
		return "", err
	}
	if err := w.managed(c.machine); err != nil {
		return "", err
	}
	if err := w.sent.once(); err != nil && !o.anew {
		return "", err
	}
	if o.check != nil {
		err = o.check(w)
	}
	return tree + "\n" + trusted, err
}

// settled reports whether nothing is left of a command in the journal, of signed bytes and of temporary files. A
// request to be let in is left where the command says so.
func (w *world) settled(c command) error {
	left, err := filepath.Glob(filepath.Join(w.home(c.machine), "journal", "*.toml"))
	if err != nil {
		return err
	}
	walkErr := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		name := filepath.Base(path)
		asked := name == "proposal.toml" && c.exit == 0 && strings.HasPrefix(path, w.home(c.machine))
		if name == "pending.toml" || asked || atomicfile.IsTemp(name) {
			left = append(left, path)
		}
		return err
	})
	if walkErr != nil || len(left) > 0 {
		return fmt.Errorf("left over are %q: %v", left, walkErr)
	}
	return nil
}

// references are the outcomes that are right: that of a command that nothing happens to and that is repeated; and
// where repeating it does more of the same, that of one run too.
func (o operation) references(t *testing.T, lab *faultLab) []string {
	t.Helper()
	w := o.prepared(t, lab)
	defer w.end()
	var all []string
	for _, again := range []bool{false, true} {
		if again && o.exists {
			break
		}
		if err := w.must(o.command(w)); err != nil {
			t.Fatal(err)
		}
		if !again && !o.once && !o.exists {
			continue
		}
		right, err := o.outcome(w)
		if err != nil {
			t.Fatalf("%v\n%s", err, w.said.String())
		}
		all = append(all, right)
	}
	return all
}

func (o operation) prepared(t *testing.T, lab *faultLab) *world {
	t.Helper()
	w, err := lab.world()
	if err == nil {
		err = o.prepare(w)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// stopped runs the command, stops it at a point, looks, and runs it again.
func (o operation) stopped(lab *faultLab, p point, right []string) (err error) {
	w, err := lab.world()
	if err != nil {
		return err
	}
	defer w.end()
	if err := o.prepare(w); err != nil {
		return err
	}
	w.said.Reset()
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, w.said.String())
		}
	}()
	c, run := o.command(w), faults.Stop(p.n, p.mode)
	exit := w.run(run, c)
	switch stopped, reached := run.Stopped(); {
	case p.call == atEnd:
		if err := o.ended(w, exit, c, right); err != nil {
			return err
		}
	case !reached || stopped != p.call:
		return fmt.Errorf("another call was made than when it was recorded: %v", stopped)
	}
	if err := o.between(w, c, p, exit); err != nil {
		return fmt.Errorf("after the fault: %w", err)
	}
	if exit == c.exit && (o.once || o.exists) {
		c.args = []string{"status"} // nobody would run it again
	}
	if exit := w.run(faults.Record(), c); exit != c.exit && !(o.exists && exit == exitFailed) {
		return fmt.Errorf("again: exit code %d instead of %d", exit, c.exit)
	}
	got, err := o.outcome(w)
	if err != nil {
		return err
	}
	if !slices.Contains(right, got) {
		return fmt.Errorf("the outcome is another one:\n%s", difference(right[0], got))
	}
	return nil
}

// between looks at what a fault has left: keys that work, files that can be read, and a word of it.
func (o operation) between(w *world, c command, p point, exit int) error {
	if o.host != "" {
		if err := w.anyKeyWorks(c.machine, o.host); err != nil {
			return err
		}
	}
	waits, err := filepath.Glob(filepath.Join(w.home(c.machine), "registries", "*", "p*.toml")) // pending, proposal
	if err != nil || exit == c.exit {
		return err
	}
	before := w.said.Len()
	w.run(noFaults(), at(c.machine, "keyset", "pins"))
	run, said := w.said.String()[:before], w.said.String()[before:]
	told := slices.ContainsFunc([]string{"is not complete", "is being given up", "its answer is not known", "waits to be let in"}, func(words string) bool {
		return strings.Contains(said, words)
	})
	switch crashed := strings.HasPrefix(string(p.mode), "crash"); {
	case len(waits) > 0 && !told:
		return errors.New("signed bytes wait, and another command does not say so")
	case !crashed && told && strings.Contains(run, "this command changed nothing"):
		return errors.New("something is left, and it is said that nothing was changed")
	case !crashed && told && !o.left && exit != exitLeft && exit != exitDistrust:
		return fmt.Errorf("something is left, and the exit code is %d", exit)
	case !crashed && !told && exit == exitLeft && !slices.Contains(c.args, "--certificate"): // of which nothing is kept here
		return errors.New("nothing is left, and the exit code says that something is")
	}
	return nil
}

// ended looks at what a command left that was not disturbed: what it has reported is durable.
func (o operation) ended(w *world, exit int, c command, right []string) error {
	if exit != c.exit {
		return fmt.Errorf("undisturbed: exit code %d instead of %d", exit, c.exit)
	}
	tree, err := w.tree()
	if err == nil && !slices.ContainsFunc(right, func(all string) bool { return strings.HasPrefix(all, tree+"\n") }) {
		err = fmt.Errorf("after the power cut other files are there:\n%s", tree)
	}
	return err
}

// difference are the lines that one of two texts has and the other has not.
func difference(want, got string) string {
	var text strings.Builder
	wanted, had := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, line := range wanted {
		if at := slices.Index(had, line); at >= 0 {
			had = slices.Delete(had, at, at+1)
			continue
		}
		text.WriteString("- " + line + "\n")
	}
	for _, line := range had {
		text.WriteString("+ " + line + "\n")
	}
	return text.String()
}
