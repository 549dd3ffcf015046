// A rotation that one registry is missing of, resumed with each call to this machine's files failing once: what
// can't be read at a moment never closes a step.

package enroll

import (
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/faults"
)

func TestResumeOutlivesFailingFiles(t *testing.T) {
	begun := newOffice(t).copy(t) // whose calls are counted anew
	far := officeIndexes[1]
	begun.at[far].line.at, begun.at[far].line.failure = 1, lostBefore
	begun.rotate(0)
	if i := begun.open(); i == nil || i.Step(far, testAccount).State != StepPlanned {
		t.Fatalf("the journal has %+v", i)
	}
	begun.later(time.Hour)
	// goOn is the command that resumes, whose calls go through a run.
	goOn := func(w *office, run *faults.Run) {
		defer run.Files(w.home)()
		if all, err := OpenJournal(w.home).Intents(); err == nil && len(all) == 1 {
			r := w.rotation(all[0])
			_, _ = r.Run(t.Context(), r.Look(t.Context()))
		}
	}
	whole := faults.Record()
	goOn(begun.copy(t), whole)
	if len(whole.Calls()) < 60 {
		t.Fatalf("only %d calls", len(whole.Calls()))
	}
	for n, call := range whole.Calls() {
		if n%4 != 1 && os.Getenv("REGKEY_FAULTS") != "all" {
			continue // "make faults" takes every call, the tests every fourth
		}
		t.Run(fmt.Sprint(n, " ", call), func(t *testing.T) {
			w := begun.copy(t)
			maps.Copy(w.cargo, begun.cargo)
			goOn(w, faults.Stop(n, faults.Error))
			if w.open() != nil {
				w.later(time.Hour).rotate(0)
			}
			w.rotated()
		})
	}
}
