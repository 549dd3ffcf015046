//go:build cgo && linux

// Operations of the fault harness with keys in a hardware token, each command to which is a call.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cargo-regkey/regkey/internal/faults"
	"github.com/cargo-regkey/regkey/internal/virtualpiv"
)

// The token of every world. One is plugged in at a time.
const faultSerial = 4711

// A faultToken is a virtual token behind the real library.
type faultToken struct {
	drawer *drawer
	card   *virtualpiv.Card
}

func (f *faultToken) plug(run *faults.Run) (end func()) {
	f.drawer.daemon.Insert(readerOf(faultSerial), f.card)
	quiet := run.Token(f.card)
	return func() {
		quiet()
		f.drawer.daemon.Remove(readerOf(faultSerial))
	}
}

// slots are counted alone: a token that refuses to tell of an empty one has the next one taken.
func (f *faultToken) slots() string {
	return fmt.Sprintf("%d keys in the token, which takes %d wrong PINs more", len(f.card.Slots()), f.card.PINTries())
}

// withTokens has the laboratory's people have tokens.
func withTokens(t *testing.T, l *faultLab) {
	t.Helper()
	drawer := openDrawer(t)
	l.newToken = func() heldToken {
		return &faultToken{drawer, virtualpiv.New(virtualpiv.Options{Serial: faultSerial})}
	}
}

// hasToken gives the person a token, and a file with its PIN.
func hasToken(w *world) error {
	w.token = w.lab.newToken()
	pin := filepath.Join(w.dir, "pin")
	w.environ[envPINFile] = pin
	return os.WriteFile(pin, []byte("123456"), 0o600)
}

var (
	withTokenKey  = steps(hasToken, does(types("laptop", "init", "yk", "--hardware", "--touch", "never")))
	enrolledToken = steps(withTokenKey, invited("one"), does(func(w *world) command {
		return command{machine: "laptop", stdin: w.code, args: []string{
			"enroll", "--registry", indexOf("one"), "--name", "one", "--account", w.account, "--key", "yk", "--code-stdin",
		}}
	}))
)

func init() {
	tokenOperations = []operation{
		{
			name: "enroll, first key in a token", prepare: steps(withTokenKey, invited("one")), lab: withTokens,
			command: func(w *world) command {
				return command{machine: "laptop", stdin: w.code, args: []string{
					"enroll", "--registry", indexOf("one"), "--name", "one", "--account", w.account, "--key", "yk", "--code-stdin",
				}}
			},
		},
		{
			name: "enroll, further key in a token", prepare: steps(enrolled, withTokenKey), lab: withTokens, host: "one",
			command: types("laptop", "enroll", "--registry", "one", "--key", "yk", "--yes"),
		},
		{
			name: "rotate, within a token", prepare: enrolledToken, lab: withTokens, host: "one",
			command: types("laptop", "rotate", "--registry", "one", "--key", "yk", "--to", "yk2", "--yes"),
		},
		{
			name: "rotate, into a token", prepare: steps(enrolled, hasToken), lab: withTokens, host: "one",
			command: types("laptop", "rotate", "--registry", "one", "--key", "laptop", "--to", "yk", "--to-hardware", "--yes"),
		},
		{
			name: "init, in a token", prepare: hasToken, lab: withTokens, exists: true,
			command: types("laptop", "init", "yk", "--hardware", "--touch", "never"),
		},
		{
			name: "rotate, by hand into a token", prepare: steps(does(withKey), does(enrollByHand), hasToken), lab: withTokens,
			command: func(*world) command {
				return command{machine: "laptop", exit: exitByHand, args: []string{"rotate", "--registry", "hand", "--key", "laptop", "--to", "yk", "--to-hardware", "--yes"}}
			},
		},
		{
			name: "revoke, by a token", lab: withTokens, host: "one",
			prepare: steps(enrolledToken, does(types("laptop", "init", "ci", "--none")), does(types("laptop", "enroll", "--registry", "one", "--key", "ci", "--yes")), loseCI),
			command: func(w *world) command { return at("laptop", "revoke", "--registry", "one", w.code, "--yes") },
		},
		{
			name: "approve, by a token", lab: withTokens, host: "one", command: approve,
			prepare: steps(enrolledToken, does(types("spare", "init", "spare", "--none")), does(askToJoin(exitByHand)), readCode),
			check:   steps(does(askToJoin(0)), spareWorks),
		},
	}
}
