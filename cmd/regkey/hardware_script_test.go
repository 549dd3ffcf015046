// Virtual tokens in scripts: plugged in, ordered about, and asked what they know.

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cargo-regkey/regkey/internal/lab"
)

var (
	// noHardware says why there are no virtual tokens here; nil if there are.
	noHardware error
	// fixtures is the folder with the program that serves them.
	fixtures string
	// plugged are the tokens of the scripts that run, side by side.
	plugged sync.Map
)

// tokens CARD… plugs virtual tokens in until the script ends, and sets what regkey finds them by;
// AUTHORITIES is the file of those who attest them.
func plugTokens(ts *testscript.TestScript, _ bool, args []string) {
	// The path of a socket is short: some 100 bytes.
	dir, err := os.MkdirTemp("", "tokens")
	ts.Check(err)
	ts.Defer(func() { _ = os.RemoveAll(dir) })
	tokens, err := lab.Plug(context.Background(), fixtures, dir, args...)
	ts.Check(err)
	ts.Defer(func() { _ = tokens.Close() })
	plugged.Store(ts, tokens)
	ts.Setenv("PCSCLITE_CSOCK_NAME", tokens.Socket)
	ts.Setenv("AUTHORITIES", tokens.Authorities)
	ts.Setenv("XDG_CACHE_HOME", filepath.Join(ts.Getenv("WORK"), "cache"))
}

// copy-program NAME FOLDER copies one of the programs, without those that lie beside it. Were it written here, what another
// script starts at that moment would have the file open for writing until it runs, and a file so open can't be started.
func copyProgram(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(exec.Command("cp", filepath.Join(programs, args[0]), ts.MkAbs(args[1])).Run())
}

func tokensOf(ts *testscript.TestScript) *lab.Tokens {
	tokens, ok := plugged.Load(ts)
	if !ok {
		ts.Fatalf("no tokens are plugged in")
	}
	return tokens.(*lab.Tokens)
}

// order WORDS… gives an order, as virtualpivd lists them.
func orderTokens(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(tokensOf(ts).Order(strings.Join(args, " ")))
}

// counters NAME PIN PUK wants so many tries left on the token, and nothing left unlocked there.
func countTries(ts *testscript.TestScript, _ bool, args []string) {
	state, err := tokensOf(ts).State(args[0])
	ts.Check(err)
	if got := []string{number(state.PINTries), number(state.PUKTries)}; got[0] != args[1] || got[1] != args[2] {
		ts.Fatalf("%s has %s tries for the PIN and %s for the PUK instead of %s and %s", args[0], got[0], got[1], args[1], args[2])
	}
	if state.Verified || state.Managed {
		ts.Fatalf("%s was left unlocked: PIN %v, management key %v", args[0], state.Verified, state.Managed)
	}
}

func number(n int) string { return string(rune('0' + n)) }

// slots NAME SLOT… wants exactly these slots to hold a key.
func listSlots(ts *testscript.TestScript, _ bool, args []string) {
	state, err := tokensOf(ts).State(args[0])
	ts.Check(err)
	var have []string
	for _, slot := range state.Slots {
		have = append(have, slot.Slot)
	}
	if got, want := strings.Join(have, " "), strings.Join(args[1:], " "); got != want {
		ts.Fatalf("the slots of %s that hold a key are %q instead of %q", args[0], got, want)
	}
}
