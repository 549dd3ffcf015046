// The journal: what was begun over one or more registries and is not complete, one file for each.

package enroll

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

// A Kind is what somebody set out to do.
type Kind string

// The kinds of intents that regkey knows.
const (
	KindRotate Kind = "rotate"
	KindEnrol  Kind = "enroll"
	KindRevoke Kind = "revoke"
	// KindMake is a key in a token that belongs to no rotation. It has no steps, as no registry hears of it.
	KindMake Kind = "make"
)

// A StepState is how far an intent got at one registry.
type StepState string

// The states of a step, in their order. It goes back to planned where another version came to stand.
const (
	StepPlanned   StepState = "planned"   // nothing is signed
	StepSigned    StepState = "signed"    // the bytes are stored and have not left this machine
	StepSent      StepState = "sent"      // they may have arrived
	StepAccepted  StepState = "accepted"  // they stand, and what depends on them here may be missing
	StepDone      StepState = "done"      // nothing is left to do
	StepAbandoned StepState = "abandoned" // nothing is left to do: the keys are as they were
)

// A Step is an intent at one registry. It records what happened here; what stands at the registry is
// asked there.
type Step struct {
	Index   string    `toml:"index"`
	Account string    `toml:"account"`
	State   StepState `toml:"state"`
	Base    int       `toml:"base,omitempty"`    // version that stood when the step was planned last; 0: nobody could say
	Version int       `toml:"version,omitempty"` // of the keyset that was signed; 0: none
}

// Closed reports whether nothing is left to do.
func (s Step) Closed() bool { return s.State == StepDone || s.State == StepAbandoned }

// An Intent is what was begun, in enough detail to go on with it or to undo it. It holds no secret.
type Intent struct {
	ID    string    `toml:"id"` // names the file; begins with the time
	Kind  Kind      `toml:"kind"`
	Begun time.Time `toml:"begun"`
	Old   string    `toml:"old,omitempty"` // name of the key that goes
	New   string    `toml:"new,omitempty"` // name of the key that comes
	// NewKey is the public half of New, once that is known to be in the store; "" before.
	NewKey string `toml:"new-key,omitempty"`
	// Made are names of keys that were made for this and belong to nothing else. A name is written
	// down before its key is made.
	Made []string `toml:"made,omitempty"`
	// Slots are where in a token a key is about to be made, as SERIAL/SLOT by the key's name. The slot is
	// empty when it is written down: what it holds later, and no record names, was made for this.
	Slots   map[string]string `toml:"slots,omitempty"`
	Overlap time.Duration     `toml:"overlap,omitempty"` // nanoseconds, of whole seconds
	All     bool              `toml:"all,omitempty"`     // every registry was meant, not one that was named
	// Abandoned says that somebody has given the intent up. It is complete once its keys are dropped.
	Abandoned bool `toml:"abandoned,omitempty"`
	// Given is what else the command was given, by flag. It tells how to make New, or how Old is ended.
	Given map[string]string `toml:"given,omitempty"`
	Steps []Step            `toml:"step"`
}

// Limits of a journal file. They are far beyond what regkey writes.
const (
	maxIntent  = 256 << 10 // bytes
	maxSteps   = 1000
	maxMade    = 1000
	maxGiven   = 32
	maxWord    = 4096 // bytes of one value
	maxOverlap = 100 * 365 * 24 * time.Hour
	// maxIntents bounds how many are read of a folder that something else filled.
	maxIntents = 1000
)

// ParseIntent reads a journal file: strict TOML, with every field checked. What it takes,
// [Intent.Encode] gives back in a text that says the same.
func ParseIntent(text []byte) (*Intent, error) {
	i := &Intent{}
	if len(text) > maxIntent {
		return nil, fmt.Errorf("reading journal: more than %d bytes", maxIntent)
	}
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(i); err != nil {
		return nil, fmt.Errorf("reading journal: %w", err)
	}
	if err := i.check(); err != nil {
		return nil, fmt.Errorf("reading journal: %w", err)
	}
	i.Begun = i.Begun.UTC()
	return i, nil
}

// Encode is the text of the journal file. An intent that [ParseIntent] would not take is an error.
func (i *Intent) Encode() ([]byte, error) {
	if err := i.check(); err != nil {
		return nil, fmt.Errorf("writing journal: %w", err)
	}
	text, err := toml.Marshal(i)
	if err != nil {
		return nil, fmt.Errorf("writing journal: %w", err)
	}
	if len(text) > maxIntent {
		return nil, fmt.Errorf("writing journal: %d bytes: at most %d", len(text), maxIntent)
	}
	return text, nil
}

func (i *Intent) check() error {
	switch {
	case !isIntentID(i.ID):
		return fmt.Errorf("%.80q is no id of an intent", i.ID)
	case !slices.Contains([]Kind{KindRotate, KindEnrol, KindRevoke, KindMake}, i.Kind):
		return fmt.Errorf("unknown kind %.40q", i.Kind)
	case i.Begun.IsZero() || i.Begun.Nanosecond() != 0 || i.Begun.UTC().Year() > 9999 || i.Begun.UTC().Year() < 1:
		return errors.New("begun is not a time of whole seconds")
	case i.Overlap < 0 || i.Overlap > maxOverlap || i.Overlap%time.Second != 0:
		return fmt.Errorf("overlap %v is not a time of whole seconds", i.Overlap)
	case i.Kind == KindRotate && (i.Old == "" || i.New == "" || i.Old == i.New):
		return errors.New("a rotation names two keys")
	case i.Kind == KindMake && (i.New == "" || i.Slots[i.New] == "" || len(i.Slots) != 1):
		return errors.New("what makes a key names it and its slot")
	}
	for _, name := range append([]string{i.Old, i.New}, i.Made...) {
		// A revocation may name a key that is on another machine by its id.
		if _, err := keys.ParseID(name); name != "" && err != nil {
			if err := keys.CheckName(name); err != nil {
				return err
			}
		}
	}
	if i.NewKey != "" {
		if _, err := keys.ParsePublicKey(i.NewKey); err != nil {
			return err
		}
	}
	if err := i.checkGiven(); err != nil {
		return err
	}
	return i.checkSteps()
}

func (i *Intent) checkGiven() error {
	if len(i.Given) > maxGiven || len(i.Made) > maxMade || len(i.Slots) > maxMade {
		return errors.New("more than a command can be given")
	}
	for name, slot := range i.Slots {
		if err := keys.CheckName(name); err != nil {
			return err
		}
		if !isSlot.MatchString(slot) {
			return fmt.Errorf("%.40q is no slot of a token", slot)
		}
	}
	for flag, value := range i.Given {
		if flag == "" || len(flag) > 40 || strings.Trim(flag, "abcdefghijklmnopqrstuvwxyz-") != "" || !isWord(value) {
			return fmt.Errorf("given %.40q is not a flag and its value", flag)
		}
	}
	return nil
}

func (i *Intent) checkSteps() error {
	if i.Kind == KindMake && len(i.Steps) == 0 {
		return nil
	}
	if i.Kind == KindMake || len(i.Steps) == 0 || len(i.Steps) > maxSteps {
		return fmt.Errorf("%d steps: there are 1 to %d", len(i.Steps), maxSteps)
	}
	seen := map[string]bool{}
	for _, s := range i.Steps {
		if err := CheckIndex(s.Index); err != nil {
			return err
		}
		if err := CheckAccount(s.Account); err != nil {
			return err
		}
		if !slices.Contains([]StepState{StepPlanned, StepSigned, StepSent, StepAccepted, StepDone, StepAbandoned}, s.State) {
			return fmt.Errorf("unknown state %.40q", s.State)
		}
		if s.Version < 0 || s.Base < 0 {
			return fmt.Errorf("versions %d and %d: they are counted from 1", s.Base, s.Version)
		}
		place := s.Index + "\n" + s.Account
		if seen[place] {
			return fmt.Errorf("two steps for the account %s at %s", s.Account, s.Index)
		}
		seen[place] = true
	}
	return nil
}

// isSlot is a token's serial number and one of its slots.
var isSlot = regexp.MustCompile(`^[0-9]{1,10}/[0-9a-f]{2}$`)

// isWord reports whether a value fits on one line.
func isWord(value string) bool {
	return len(value) <= maxWord && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd })
}

// Complete reports whether nothing is left to do at any registry, nor, for a key that is made, in its token.
func (i *Intent) Complete() bool {
	return (i.Kind != KindMake || len(i.Slots) == 0) && !slices.ContainsFunc(i.Steps, func(s Step) bool { return !s.Closed() })
}

// Step is the step for that account of that registry; nil if there is none.
func (i *Intent) Step(index, account string) *Step {
	for n := range i.Steps {
		if i.Steps[n].Index == index && i.Steps[n].Account == account {
			return &i.Steps[n]
		}
	}
	return nil
}

// newIntentID begins with the time, so that names sort, and ends with 64 random bits.
func newIntentID(begun time.Time) string {
	return begun.UTC().Format(intentTime) + "-" + randomHex(8)
}

const intentTime = "20060102T150405Z"

func isIntentID(id string) bool {
	moment, random, found := strings.Cut(id, "-")
	_, err := time.Parse(intentTime, moment)
	return found && err == nil && len(moment) == len(intentTime) && len(random) == 16 && strings.Trim(random, "0123456789abcdef") == ""
}

// A Journal is the folder of intents. Whoever writes holds the lock of the home folder.
type Journal struct{ dir string }

// OpenJournal names the journal of a home folder. The folder need not exist.
func OpenJournal(home string) *Journal { return &Journal{filepath.Join(home, "journal")} }

func (j *Journal) path(id string) string { return filepath.Join(j.dir, id+".toml") }

// Begin writes a new intent down, durably, before anything of it happens. It sets ID and, if it is
// zero, the state of each step.
func (j *Journal) Begin(i *Intent) error {
	i.Begun = i.Begun.UTC().Truncate(time.Second)
	i.ID = newIntentID(i.Begun)
	for n := range i.Steps {
		i.Steps[n].State = cmp.Or(i.Steps[n].State, StepPlanned)
	}
	text, err := i.Encode()
	if err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(j.dir, 0o700); err != nil {
		return fmt.Errorf("beginning the journal: %w", err)
	}
	return atomicfile.Create(j.path(i.ID), text, 0o600)
}

// Save writes down, durably, how far an intent got. One that is complete is removed, unless it is
// being abandoned.
func (j *Journal) Save(i *Intent) error {
	if i.Complete() && !i.Abandoned {
		return j.End(i)
	}
	text, err := i.Encode()
	if err != nil {
		return err
	}
	return atomicfile.Write(j.path(i.ID), text, 0o600)
}

// End removes an intent, complete or not: nothing of it is left that somebody has to know.
func (j *Journal) End(i *Intent) error { return atomicfile.Remove(j.path(i.ID)) }

// Intents are all that are not complete, in the order of the seconds in which they were begun. A file
// that can't be read is an error, which then comes with the others.
func (j *Journal) Intents() ([]*Intent, error) {
	files, err := atomicfile.ReadDir(j.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the journal: %w", err)
	}
	var all []*Intent
	var faults []error
	for _, file := range files {
		id, isTOML := strings.CutSuffix(file.Name(), ".toml")
		if !isTOML || strings.HasPrefix(id, ".") {
			continue // what an interrupted write left
		}
		if len(all)+len(faults) == maxIntents {
			faults = append(faults, fmt.Errorf("listing the journal: more than %d files in %q", maxIntents, j.dir))
			break
		}
		i, err := j.open(id)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all = append(all, i)
	}
	slices.SortStableFunc(all, func(a, b *Intent) int {
		return cmp.Or(a.Begun.Compare(b.Begun), cmp.Compare(a.ID, b.ID))
	})
	return all, errors.Join(faults...)
}

func (j *Journal) open(id string) (*Intent, error) {
	text, err := readFile(j.path(id), maxIntent)
	if err != nil {
		return nil, fmt.Errorf("reading journal: %w", err)
	}
	i, err := ParseIntent(text)
	if err != nil {
		return nil, fmt.Errorf("%w, in %q", err, j.path(id))
	}
	if i.ID != id {
		return nil, fmt.Errorf("reading journal: %q holds the intent %s", j.path(id), i.ID)
	}
	return i, nil
}
