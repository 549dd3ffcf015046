// The orders on standard input. Each is one line of words, answered with one line of JSON:
// {"ok":true} with what was asked for, or {"error":"…"}.
//
//	finger [NAME] yes|no|wait     what a touch comes to; without a name, on every card;
//	                              wait holds the card until another word comes
//	insert NAME, remove NAME      plug in, pull out
//	eject NAME, powerdown NAME    the card without the reader; the power without the card
//	occupy NAME N                 the next N connections find the card held by another program
//	fault NAME KIND [instruction=HEX] [nth=N] [always] [status=HEX]
//	forgive NAME                  no faults any more
//	log NAME, clearlog NAME       the commands that the card has had
//	state                         counters, slots and touches of every card
//	quit

package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
)

// answer is the reply to one order.
type answer struct {
	OK    bool                 `json:"ok,omitzero"`
	Error string               `json:"error,omitzero"`
	Log   []virtualpiv.Command `json:"log,omitzero"`
	Cards []state              `json:"cards,omitzero"`
}

// state is what "state" says of one card.
type state struct {
	Name     string `json:"name"`
	In       bool   `json:"in"`
	PINTries int    `json:"pinTries"`
	PUKTries int    `json:"pukTries"`
	// Verified and Managed are the security status that the PIN and the management key have
	// at this moment.
	Verified bool `json:"verified"`
	Managed  bool `json:"managed"`
	// Waiting is a card that waits for a finger.
	Waiting  bool     `json:"waiting"`
	Commands int      `json:"commands"`
	Defaults defaults `json:"defaults"`
	Slots    []slot   `json:"slots"`
}

// defaults says which of them are still the factory's.
type defaults struct {
	PIN        bool `json:"pin"`
	PUK        bool `json:"puk"`
	Management bool `json:"management"`
}

// slot describes one key; algorithm and policies are numbered as in the commands.
type slot struct {
	Slot      string            `json:"slot"`
	Algorithm byte              `json:"algorithm"`
	PIN       virtualpiv.Policy `json:"pin"`
	Touch     virtualpiv.Policy `json:"touch"`
	Generated bool              `json:"generated"`
}

// obey carries out one line.
func (s *server) obey(line string) answer {
	a, err := s.order(strings.Fields(line))
	if err != nil {
		return answer{Error: err.Error()}
	}
	a.OK = true
	return a
}

func (s *server) order(words []string) (answer, error) {
	if len(words) == 0 {
		return answer{}, errors.New("an empty line is no order")
	}
	switch {
	case words[0] == "state" && len(words) == 1:
		return s.state(), nil
	case words[0] == "finger" && len(words) == 2:
		for _, t := range s.tokens {
			if err := t.setFinger(words[1]); err != nil {
				return answer{}, err
			}
		}
		return answer{}, nil
	case len(words) == 1:
		return answer{}, fmt.Errorf("order %q is unknown, or lacks a card's name", words[0])
	}
	t, err := s.find(words[1])
	if err != nil {
		return answer{}, err
	}
	return s.orderCard(t, words[0], words[2:])
}

// orderCard carries out an order that names a card.
func (s *server) orderCard(t *token, verb string, rest []string) (answer, error) {
	switch {
	case verb == "finger" && len(rest) == 1:
		return answer{}, t.setFinger(rest[0])
	case verb == "fault" && len(rest) > 0:
		f, err := parseFault(rest)
		if err == nil {
			t.card.Order(f)
		}
		return answer{}, err
	case verb == "occupy" && len(rest) == 1:
		n, err := strconv.Atoi(rest[0])
		if err == nil {
			err = s.onDaemon(func() { s.daemon.Occupy(t.reader, n) })
		}
		return answer{}, err
	case len(rest) > 0:
		return answer{}, fmt.Errorf("order %q has too many words", verb)
	}
	switch verb {
	case "insert":
		s.insert(t)
	case "remove":
		s.remove(t)
	case "eject":
		return answer{}, s.onDaemon(func() { s.daemon.Eject(t.reader) })
	case "powerdown":
		return answer{}, s.onDaemon(func() { s.daemon.PowerDown(t.reader) })
	case "forgive":
		t.card.Forgive()
	case "log":
		return answer{Log: t.card.Log()}, nil
	case "clearlog":
		t.card.ClearLog()
	default:
		return answer{}, fmt.Errorf("order %q is unknown, or lacks a word", verb)
	}
	return answer{}, nil
}

// onDaemon does what only the stand-in can.
func (s *server) onDaemon(do func()) error {
	if s.daemon == nil {
		return errors.New("a real daemon does not take this order")
	}
	do()
	return nil
}

// parseFault reads KIND and what follows it.
func parseFault(words []string) (virtualpiv.Fault, error) {
	f := virtualpiv.Fault{Kind: virtualpiv.FaultKind(words[0])}
	if !slices.Contains(virtualpiv.FaultKinds, f.Kind) {
		return f, fmt.Errorf("no fault is called %q", words[0])
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		var n uint64
		var err error
		switch key {
		case "always":
			f.Always = true
		case "nth":
			f.Nth, err = strconv.Atoi(value)
		case "instruction":
			n, err = strconv.ParseUint(value, 16, 8)
			f.Instruction = byte(n)
		case "status":
			n, err = strconv.ParseUint(value, 16, 16)
			f.Status = uint16(n)
		default:
			err = errors.New("unknown word")
		}
		if err != nil {
			return f, fmt.Errorf("reading %q: %w", word, err)
		}
	}
	return f, nil
}

// state describes every card.
func (s *server) state() answer {
	var a answer
	for _, t := range s.tokens {
		st := state{
			Name:     t.name,
			In:       !t.pulled(),
			PINTries: t.card.PINTries(),
			PUKTries: t.card.PUKTries(),
			Verified: t.card.Verified(),
			Managed:  t.card.Managed(),
			Waiting:  t.awaitsTouch(),
			Commands: len(t.card.Log()),
			Slots:    []slot{},
		}
		st.Defaults.PIN, st.Defaults.PUK, st.Defaults.Management = t.card.Defaults()
		for _, k := range t.card.Slots() {
			st.Slots = append(st.Slots, slot{fmt.Sprintf("%x", k.Reference), k.Algorithm, k.PIN, k.Touch, k.Generated})
		}
		a.Cards = append(a.Cards, st)
	}
	return a
}
