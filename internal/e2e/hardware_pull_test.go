// The token is pulled out in the middle: run again, the command completes, and no key is left on it
// that nobody was told of.

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/internal/lab"
)

// pulls are the ways in which a command can be cut off.
var pulls = []string{"pulled-before", "pulled-after"}

// cut runs regkey while the token is pulled out at its nth command, and reports whether that made it
// fail. What regkey said is checked against what the token holds afterwards.
func (h *holder) cut(t *testing.T, how string, nth int, args ...string) (struck bool) {
	t.Helper()
	if err := h.tokens.Order(fmt.Sprintf("fault yk1 %s nth=%d", how, nth)); err != nil {
		t.Fatal(err)
	}
	result, err := h.Run(t.Context(), "", "", "regkey", args...)
	if err != nil {
		t.Fatal(err)
	}
	state, err := h.tokens.State("yk1")
	if err != nil {
		t.Fatal(err)
	}
	for _, order := range []string{"forgive yk1", "remove yk1", "insert yk1"} {
		if err := h.tokens.Order(order); err != nil {
			t.Fatal(err)
		}
	}
	known := h.slots(t)
	for _, slot := range state.Slots {
		if !slices.Contains(known, slot.Slot) && !strings.Contains(result.Stderr, "slot "+slot.Slot+" of token 12345678") {
			t.Errorf("%s at command %d: slot %s holds a key of which nothing is said: %s", how, nth, slot.Slot, result.Stderr)
		}
	}
	if result.Exit != 0 && !strings.Contains(result.Stderr, "\n    ") {
		t.Errorf("%s at command %d: nothing says what to do: %s", how, nth, result.Stderr)
	}
	return result.Exit != 0
}

// slots are those of which this machine has a record.
func (h *holder) slots(t *testing.T) (slots []string) {
	t.Helper()
	var status struct {
		Keys []struct {
			Token *struct {
				Slot string `json:"slot"`
			} `json:"token"`
		} `json:"keys"`
	}
	if err := json.Unmarshal([]byte(must(t, h.Lab, "", "", "regkey", "status", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	for _, k := range status.Keys {
		if k.Token != nil {
			slots = append(slots, k.Token.Slot)
		}
	}
	return slots
}

func TestPulledOutWhileMakingAKey(t *testing.T) {
	for _, firmware := range []string{"5.2.7", "5.7.4"} {
		for _, how := range pulls {
			t.Run(firmware+" "+how, func(t *testing.T) {
				t.Parallel()
				struck := 0
				for nth := 1; nth < 400; nth++ {
					h := newHolder(t, "name=yk1,serial=12345678,firmware="+firmware)
					args := []string{"init", "yk", "--hardware", "--touch", "never"}
					if !h.cut(t, how, nth, args...) {
						break
					}
					struck++
					if len(h.slots(t)) == 0 {
						must(t, h.Lab, "", "", "regkey", args...)
					}
					h.intact(t)
				}
				if struck < 10 {
					t.Errorf("only %d commands were cut off", struck)
				}
			})
		}
	}
}

// rotationShares is how many subtests share the commands of one rotation: there are some eighty, and
// each try needs a registry of its own.
const rotationShares = 4

func TestPulledOutWhileRotating(t *testing.T) {
	step := 3 // of so many commands one is cut off
	if everyMoment {
		step = 1
	}
	for _, how := range pulls {
		var mu sync.Mutex
		var struck []int
		t.Run(how, func(t *testing.T) {
			for share := range rotationShares {
				t.Run(fmt.Sprint(share), func(t *testing.T) {
					t.Parallel()
					for n := share; n < 400 && cutRotation(t, how, 1+n*step); n += rotationShares {
						mu.Lock()
						struck = append(struck, n)
						mu.Unlock()
					}
				})
			}
		})
		slices.Sort(struck)
		if n := len(struck); !t.Failed() && (n < 40/step || struck[n-1] != n-1) {
			t.Errorf("%s: not one command of %d was cut off, but %v", how, step, struck)
		}
	}
}

// cutRotation cuts a rotation off at its nth command, which is false if it has fewer, and has it run
// again: the key that it brings then signs.
func cutRotation(t *testing.T, how string, nth int) (struck bool) {
	h := newHolder(t, "name=yk1,serial=12345678,firmware=5.7.4")
	r := serve(t, h.Lab)
	h.enrolled(t, r, "--touch", "never")
	args := []string{"rotate", "--registry", "lab", "--touch", "never", "--yes"}
	if !h.cut(t, how, nth, args...) {
		return false
	}
	must(t, h.Lab, "", "", "regkey", args...)
	if _, err := h.Token(t.Context(), r.Index, lab.Operation{Kind: "yank", Name: "one", Version: "0.1.0"}); err != nil {
		t.Errorf("%s at command %d: %v", how, nth, err)
	}
	h.intact(t)
	return true
}
