// What interrupted commands leave behind: what the journal does not tell of, and how a failure says so.

package enroll

import "cmp"

// A Left is something signed that waits in an account's folder, and that belongs to no intent of the journal.
type Left struct {
	Index, Account string
	Name           string // what cargo calls the registry; may be empty
	// Key is the key of this machine that asks another one to let it in; "" where a change waits for the
	// registry's answer, which [Lifecycle.Settle] asks for.
	Key string
}

// ListLeft finds them. It asks nobody, and leaves out what it can't read: whoever uses that says so.
func ListLeft(home string) (all []Left) {
	states, _ := listStates(home)
	intents, _ := OpenJournal(home).Intents()
	for _, s := range states {
		if p, err := s.pending(); err == nil && p != nil && !intended(intents, p.Enrolment) {
			all = append(all, Left{Index: p.Enrolment.Index, Account: p.Enrolment.Account, Name: p.Enrolment.Name})
		}
		if p, _, err := s.proposal(); err == nil {
			e := p.Version.Enrolment
			all = append(all, Left{Index: e.Index, Account: e.Account, Name: e.Name, Key: cmp.Or(p.Key, e.Key)})
		}
	}
	return all
}

// intended reports whether an intent is about the account, and somebody hears of it: one that is idle was stopped
// between the signature and the journal's word of it.
func intended(intents []*Intent, e Enrolment) bool {
	for _, i := range intents {
		if i.Step(e.Index, e.Account) != nil && !i.Idle() {
			return true
		}
	}
	return false
}

// A LeftError says that what failed was begun, and that something of it may stand or come to stand: signed bytes
// wait in the account's folder, or the journal has an intent. The same call, made again, completes it. It wraps why.
type LeftError struct{ Err error }

// Error is the reason.
func (e *LeftError) Error() string { return e.Err.Error() }

// Unwrap is the reason.
func (e *LeftError) Unwrap() error { return e.Err }

// Left makes a failure a [*LeftError] where signed bytes of the account wait: for the registry's answer, or for
// another machine to let this one in. nil stays nil.
func (l *Lifecycle) Left(err error) error {
	if err == nil || !l.State().Pending() && l.State().Proposing() == "" {
		return err
	}
	return &LeftError{err}
}
