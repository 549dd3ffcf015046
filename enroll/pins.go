// Pins: what this machine has verified of each account, shown and, on its user's word, set aside.

package enroll

import (
	"errors"
	"io/fs"
	"time"
)

// A Pin is what a registry can't take back.
type Pin struct {
	Index, Account string
	Former         []string // index URLs from before moves
	InUse          bool     // tokens are signed for this account
	Version        int
	Hash           Hash
	Issued         time.Time // of that version
	Since          time.Time // when this machine was enrolled
	Held           int       // versions of the keyset that this machine has copies of
	Revocations    int       // that it knows
}

// ShowPins lists the pins of all accounts, sorted by index URL and account. It asks nobody.
func ShowPins(home string) ([]Pin, error) {
	enrolments, err := ListEnrolments(home)
	if err != nil {
		return nil, err
	}
	var all []Pin
	for _, e := range enrolments {
		if e.Manual {
			continue
		}
		pin, err := showPin(home, e)
		if err != nil {
			return nil, err
		}
		all = append(all, pin)
	}
	return all, nil
}

func showPin(home string, e *Enrolment) (Pin, error) {
	s := OpenState(home, e.Index, e.Account)
	held, err := s.History()
	if err != nil {
		return Pin{}, err
	}
	revocations, err := s.Revocations()
	if err != nil {
		return Pin{}, err
	}
	used, err := LookupEnrolment(home, e.Index)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Pin{}, err
	}
	k := held[len(held)-1]
	return Pin{
		Index: e.Index, Account: e.Account, Former: e.Former, InUse: used != nil && used.Account == e.Account,
		Version: k.Version, Hash: k.Hash(), Issued: k.Issued, Since: e.Since, Held: len(held), Revocations: len(revocations),
	}, nil
}

// ResetPins sets everything aside that this machine has verified of the account, on its user's word;
// nothing is deleted. What the registry shows is trusted anew then: by [Lifecycle.Join], where it
// lists a key of this machine, or with a code by [Lifecycle.PlanEnrolment]. It returns the folder
// where the old state is.
func (l *Lifecycle) ResetPins() (string, error) {
	s := l.State()
	if _, err := s.enrolment(); err != nil {
		return "", err
	}
	return s.setAside(l.Now())
}
