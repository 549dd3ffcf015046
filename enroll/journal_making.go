// Keys that are made in a token for no rotation: the slot is noted before, as a rotation does.

package enroll

import (
	"maps"
	"time"
)

// A Making notes in which slot of a token one key is about to be made. Its caller holds the lock of the home folder.
type Making struct {
	journal *Journal
	intent  *Intent // as it is, or would be, in the journal
	noted   bool
}

// Making finds what an earlier run has noted of a key of that name. given is by which flags the command says how it
// is made, and old the key whose place it is to take, if any: the journal keeps them with a new note.
func (j *Journal) Making(name, old string, given map[string]string, now time.Time) (*Making, error) {
	all, err := j.Intents()
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if i.Kind == KindMake && i.New == name {
			return &Making{journal: j, intent: i, noted: true}, nil
		}
	}
	return &Making{journal: j, intent: &Intent{Kind: KindMake, Begun: now, Old: old, New: name, Given: maps.Clone(given)}}, nil
}

// MadeIn is the slot, as SERIAL/SLOT, that was noted for the key; "" if none is.
func (m *Making) MadeIn(name string) string { return m.intent.Slots[name] }

// Given are the flags of the command that noted the slot.
func (m *Making) Given() map[string]string { return m.intent.Given }

// Begun is when it was noted first.
func (m *Making) Begun() time.Time { return m.intent.Begun }

// MakingIn notes the slot; it is empty by then. "" says that this is over, as [Rotation.MakingIn] has it.
func (m *Making) MakingIn(name, slot string) error {
	switch {
	case slot == m.intent.Slots[name]:
		return nil
	case slot == "":
		if err := m.journal.End(m.intent); err != nil {
			return m.OrLeft(err)
		}
		m.noted, m.intent.Slots = false, nil
		return nil
	}
	m.intent.Slots = map[string]string{name: slot}
	if m.noted {
		return m.journal.Save(m.intent)
	}
	m.noted = true // also where the write is reported as failed: it may have been done
	return m.journal.Begin(m.intent)
}

// OrLeft makes a failure a [*LeftError] where the journal has the note. nil stays nil.
func (m *Making) OrLeft(err error) error {
	if err == nil || !m.noted {
		return err
	}
	if _, openErr := m.journal.open(m.intent.ID); openErr != nil {
		return err
	}
	return &LeftError{err}
}
