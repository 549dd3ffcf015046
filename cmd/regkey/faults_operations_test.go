// The operations that the fault harness stops, as a person types them.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/cargo-regkey/regkey/keys"
)

// enrollAt begins an account's keyset at a registry, by an invite code.
func enrollAt(host string) func(*world) command {
	return func(w *world) command {
		return command{machine: "laptop", stdin: w.code, args: []string{
			"enroll", "--registry", indexOf(host), "--name", host, "--account", w.account, "--key", "laptop", "--code-stdin",
		}}
	}
}

// askToJoin is a second machine that asks to be let in, or hears that it was.
func askToJoin(exit int) func(*world) command {
	return func(w *world) command {
		return command{machine: "spare", exit: exit, args: []string{
			"enroll", "--registry", indexOf("one"), "--name", "one", "--account", w.account, "--key", "spare", "--join", "--no-wait",
		}}
	}
}

func approve(w *world) command {
	return at("laptop", "approve", w.code, "--registry", "one", "--yes")
}

func invited(host string) func(*world) error {
	return func(w *world) (err error) {
		w.code, err = w.inviteTo(host)
		return err
	}
}

// Preparations.
var (
	withKey  = types("laptop", "init", "laptop", "--none")
	enrolled = steps(does(withKey), invited("one"), does(enrollAt("one")))
	atBoth   = steps(enrolled, invited("two"), does(enrollAt("two")))
	withCI   = steps(enrolled, does(types("laptop", "init", "ci", "--none")), does(types("laptop", "enroll", "--registry", "one", "--key", "ci", "--yes")))
	asked    = steps(enrolled, does(types("spare", "init", "spare", "--none")), does(askToJoin(exitByHand)), readCode)
)

var proposalCode = regexp.MustCompile(`regkey approve ([a-z2-7]{4}(?:-[a-z2-7]{4}){4})`)

// readCode reads the code that the second machine shows.
func readCode(w *world) error {
	codes := proposalCode.FindAllStringSubmatch(w.said.String(), -1)
	if len(codes) == 0 {
		return fmt.Errorf("no code is shown\n%s", w.said.String())
	}
	w.code = codes[len(codes)-1][1]
	return nil
}

// half has a rotation everywhere get through at the first registry alone. The second one has perhaps heard of it.
func half(w *world) error {
	w.silent = "two.example"
	exit := w.run(noFaults(), everywhere(w))
	w.silent = ""
	if exit == 0 {
		return errors.New("a rotation was complete, though a registry did not answer")
	}
	return nil
}

var everywhere = types("laptop", "rotate", "--all", "--key", "laptop", "--to", "desk", "--yes")

// loseCI takes a key's files away, and remembers its id and certificate.
func loseCI(w *world) error {
	store := keys.OpenStore(filepath.Join(w.home("laptop"), "keys"))
	record, err := store.Lookup("ci")
	if err != nil {
		return err
	}
	w.code = record.Public.ID().String()
	for _, name := range []string{"ci.key", "ci.toml"} {
		if err := os.Remove(filepath.Join(w.home("laptop"), "keys", name)); err != nil {
			return err
		}
	}
	return nil
}

func byCertificate(w *world) command {
	found, err := filepath.Glob(filepath.Join(w.home("laptop"), "revocations", "ci-*.revocation"))
	if err != nil || len(found) != 1 {
		panic(fmt.Sprint("certificates: ", found, err))
	}
	return at("library", "revoke", "--certificate", found[0], "--yes")
}

// ciIsEnded fails unless the registry refuses the key.
func ciIsEnded(w *world) error {
	if w.accepted("laptop", "one", "ci") == nil {
		return errors.New("the key that was revoked still publishes")
	}
	return nil
}

// joins lets the second machine in and has it hear of that.
func joins(w *world) error {
	if err := readCode(w); err != nil {
		return err
	}
	return steps(does(approve), does(askToJoin(0)), spareWorks)(w)
}

func spareWorks(w *world) error { return w.accepted("spare", "one", "spare") }

// tokenOperations are those with hardware tokens, where this test can have virtual ones.
var tokenOperations []operation

func faultOperations() []operation {
	return []operation{
		{name: "enroll, first key", prepare: steps(does(withKey), invited("one")), command: enrollAt("one")},
		{
			name: "enroll, further key", host: "one",
			prepare: steps(enrolled, does(types("laptop", "init", "ci", "--none"))),
			command: types("laptop", "enroll", "--registry", "one", "--key", "ci", "--can", "publish", "--crates", "foo-*", "--yes"),
		},
		{
			name: "enroll, second machine", prepare: steps(enrolled, does(types("spare", "init", "spare", "--none"))),
			command: askToJoin(exitByHand), check: joins,
		},
		{
			name: "enroll, let in", left: true, prepare: steps(asked, does(approve)),
			command: askToJoin(0), check: spareWorks,
		},
		{name: "approve", prepare: asked, command: approve, host: "one", check: steps(does(askToJoin(0)), spareWorks)},
		{name: "rotate", prepare: enrolled, command: types("laptop", "rotate", "--registry", "one", "--key", "laptop", "--to", "desk", "--yes"), host: "one"},
		{name: "rotate, unnamed", prepare: enrolled, command: types("laptop", "rotate", "--registry", "one", "--yes"), host: "one", once: true, long: true},
		{
			name: "rotate, overlap", prepare: enrolled, host: "one", long: true,
			command: types("laptop", "rotate", "--registry", "one", "--key", "laptop", "--to", "desk", "--overlap", "24h", "--yes"),
		},
		{name: "rotate --all", prepare: atBoth, command: everywhere, host: "two"},
		{name: "rotate --all, unnamed", prepare: atBoth, command: types("laptop", "rotate", "--all", "--yes"), host: "two", once: true},
		{name: "rotate --resume", left: true, prepare: steps(atBoth, half), command: types("laptop", "rotate", "--resume", "--yes"), host: "two"},
		{name: "rotate --abandon", left: true, prepare: steps(atBoth, half), command: types("laptop", "rotate", "--abandon", "--yes"), host: "two", anew: true},
		{name: "revoke, by the key", prepare: withCI, command: types("laptop", "revoke", "--registry", "one", "ci", "--reason", "lost", "--yes"), host: "one", check: ciIsEnded},
		{
			name: "revoke, by a manager", prepare: steps(withCI, loseCI), host: "one",
			command: func(w *world) command {
				return at("laptop", "revoke", "--registry", "one", w.code, "--reason", "compromised", "--since", "3d", "--yes")
			},
		},
		{name: "revoke, by certificate", prepare: withCI, command: byCertificate, check: ciIsEnded},
		{name: "protect, keychain", prepare: enrolled, command: types("laptop", "protect", "laptop", "--keychain", "--yes"), host: "one"},
		{
			name: "protect, none", prepare: steps(enrolled, does(types("laptop", "protect", "laptop", "--keychain", "--yes"))), host: "one",
			command: types("laptop", "protect", "laptop", "--none", "--yes"),
		},
	}
}

// steps prepares a world by one step after the other.
func steps(all ...func(*world) error) func(*world) error {
	return func(w *world) error {
		for _, step := range all {
			if err := step(w); err != nil {
				return err
			}
		}
		return nil
	}
}

func does(c func(*world) command) func(*world) error {
	return func(w *world) error { return w.must(c(w)) }
}

func types(machine string, args ...string) func(*world) command {
	return func(*world) command { return at(machine, args...) }
}
