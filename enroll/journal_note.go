// Intents of one step, for commands that the same command completes when it is run again.

package enroll

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/cargo-regkey/regkey/keys"
)

// Begin writes down that something is about to happen to a key at one account of the registry, or
// finds what an earlier run of the same wrote. key is a name in the store or, where it is not there, an
// id. See [Lifecycle.EndIntent].
func (l *Lifecycle) Begin(kind Kind, account, key string) (*Intent, error) {
	journal := OpenJournal(l.Home)
	all, _ := journal.Intents() // what can't be read is said elsewhere
	for _, i := range all {
		if i.Kind == kind && i.subject() == key && i.Step(l.Index, account) != nil {
			return i, nil
		}
		if i.Idle() {
			if err := journal.End(i); err != nil {
				return nil, err
			}
		}
	}
	i := &Intent{Kind: kind, Begun: l.now(), Steps: []Step{{Index: l.Index, Account: account, State: StepPlanned}}}
	if i.Old = key; kind == KindEnrol {
		i.Old, i.New = "", key
		if record, err := l.Keys.Lookup(key); err == nil && !record.Public.IsZero() {
			i.NewKey = record.Public.String()
		}
	}
	return i, journal.Begin(i)
}

// subject is the key that an intent of one step is about.
func (i *Intent) subject() string {
	if i.Kind == KindEnrol {
		return i.New
	}
	return i.Old
}

// Idle reports whether nobody has to hear of an intent of one step, because nothing of it has happened: it
// was interrupted before anything was signed, and running the command again is all there is to it.
func (i *Intent) Idle() bool {
	return i.Kind != KindRotate && i.Kind != KindMake && !i.signed()
}

// EndIntent takes an intent of one step out of the journal: if err is nil because it is complete, and
// otherwise only where nothing of it can stand or come to stand. It returns err, and its own; as a [*LeftError]
// where the intent stays.
func (l *Lifecycle) EndIntent(i *Intent, err error) error {
	journal := OpenJournal(l.Home)
	if err != nil {
		now, openErr := journal.open(i.ID)
		if errors.Is(openErr, fs.ErrNotExist) {
			return err
		}
		if openErr != nil || l.mayStand(now) {
			return &LeftError{errors.Join(err, openErr)}
		}
	}
	return errors.Join(err, journal.endOrLeft(i))
}

// endOrLeft is [Journal.End] of an intent of one step. Where somebody still has to hear of it the failure is a
// [*LeftError].
func (j *Journal) endOrLeft(i *Intent) error {
	err := j.End(i)
	if err == nil {
		return nil
	}
	if now, openErr := j.open(i.ID); errors.Is(openErr, fs.ErrNotExist) || openErr == nil && now.Idle() {
		return err
	}
	return &LeftError{err}
}

// mayStand reports whether something of an intent of one step stands or waits. What was refused of an
// enrolment is forgotten, as its bytes are.
func (l *Lifecycle) mayStand(i *Intent) bool {
	if i.Kind == KindEnrol && i.Steps[0].State != StepAccepted {
		return l.State().Pending()
	}
	return i.signed()
}

// endRevocations ends what the journal says of revoking a key, once nothing is left to do.
func (l *Lifecycle) endRevocations(account string, names ...string) error {
	journal := OpenJournal(l.Home)
	all, _ := journal.Intents()
	for _, i := range all {
		if i.Kind != KindRevoke || i.Step(l.Index, account) == nil || !slices.Contains(names, i.Old) {
			continue
		}
		if err := journal.endOrLeft(i); err != nil {
			return err
		}
	}
	return nil
}

// note moves the only step of an intent on.
func (l *Lifecycle) note(i *Intent, state StepState) error {
	i.Steps[0].State = state
	return OpenJournal(l.Home).Save(i)
}

// named is how the journal names a key: as the store does, else by its id.
func named(name string, id keys.ID) string {
	if name == "" {
		return id.String()
	}
	return name
}
