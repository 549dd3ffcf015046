// Further operations of the fault harness: keys in an ssh-agent, backups, registries that moved or take keys by hand,
// homes that were restored, and passphrases.

package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	_ "unsafe" // for go:linkname

	"golang.org/x/crypto/ssh/agent"

	"github.com/cargo-regkey/regkey/keys"
)

// writingCost is what scrypt costs where a key is written: 2 to the power of it. Only its own tests may change it, and
// these, which open and write keys thousands of times.
//
//go:linkname writingCost github.com/cargo-regkey/regkey/keys.workFactor
var writingCost int

// cheapPassphrases makes scrypt cheap for one test.
func cheapPassphrases(t *testing.T) {
	t.Helper()
	real := writingCost
	if real < 15 {
		t.Fatalf("scrypt's cost is found to be %d", real)
	}
	writingCost = 4
	t.Cleanup(func() { writingCost = real })
}

// hasPassphrases gives the person files with the passphrases that keys have and get.
func hasPassphrases(now, next string) func(*world) error {
	return func(w *world) error {
		var failures error
		for variable, text := range map[string]string{envPassphraseFile: now, envNewPassphraseFile: next} {
			path := filepath.Join(w.dir, variable)
			w.environ[variable] = path
			if text == "" {
				delete(w.environ, variable)
				text = "-"
			}
			failures = errors.Join(failures, os.WriteFile(path, []byte(text), 0o600))
		}
		return failures
	}
}

// hasSSHAgent starts one for the person, with a key in it, and takes that up as ci.
func hasSSHAgent(w *world) error {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: &private, Comment: "ci"}); err != nil {
		return err
	}
	w.environ[envSSHAgent] = w.dir + ".ssh" // beside its files: a listener does not outlive a power cut
	listener, err := net.Listen("unix", w.environ[envSSHAgent])
	if err != nil {
		return err
	}
	w.ends = append(w.ends, func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = agent.ServeAgent(ring, conn)
				_ = conn.Close()
			}()
		}
	}()
	return w.must(at("laptop", "init", "ci", "--ssh-agent"))
}

// backup is the file of the key that is kept elsewhere.
func (w *world) backup() string { return filepath.Join(w.dir, "stick", "safe.age") }

// hasStick gives the person a stick to keep a backup on.
func hasStick(w *world) error { return os.Mkdir(filepath.Join(w.dir, "stick"), 0o700) }

func makeBackup(w *world) command {
	return at("laptop", "init", "safe", "--backup", "--file", w.backup(), "--yes")
}

// opensWith reports whether the laptop's key opens with the passphrase, and with no other.
func opensWith(passphrase string) func(*world) error {
	return func(w *world) error {
		store := keys.OpenStore(filepath.Join(w.home("laptop"), "keys"))
		for _, text := range []string{passphrase, "one that opens it"} {
			_, err := store.Unlock(context.Background(), "laptop", func(context.Context, keys.Record) (keys.Secret, error) {
				return keys.NewSecret([]byte(text)), nil
			})
			if (err == nil) != (text == passphrase) {
				return fmt.Errorf("opening the key with the passphrase %q: %v", text, err)
			}
		}
		return nil
	}
}

// restore has another machine get the keys of the first, and nothing else of it.
func restore(w *world) error {
	to := filepath.Join(w.home("restored"), "keys")
	failures := os.MkdirAll(to, 0o700)
	for _, name := range []string{"laptop.key", "laptop.toml"} {
		text, err := os.ReadFile(filepath.Join(w.home("laptop"), "keys", name))
		failures = errors.Join(failures, err, os.WriteFile(filepath.Join(to, name), text, 0o600))
	}
	return failures
}

// moves has the registry be found at its new place alone.
func moves(w *world) error {
	w.gone = "one.example"
	return nil
}

// enrollByHand enrols the key at a registry whose website takes keys.
func enrollByHand(w *world) command {
	return at("laptop", "enroll", "--registry", indexOf("hand"), "--name", "hand", "--key", "laptop", "--manual", "--subject", "team", "--yes")
}

var (
	withSSH    = steps(enrolled, hasSSHAgent)
	withStick  = steps(enrolled, hasStick, hasPassphrases("", "a passphrase of a backup"))
	withBackup = steps(withStick, does(makeBackup), hasPassphrases("a passphrase of a backup", ""))
)

func furtherOperations() []operation {
	protects := func(to string) func(*world) command { return types("laptop", "protect", "laptop", to, "--yes") }
	byPassphrase := steps(enrolled, hasPassphrases("one that opens it", "one that opens it"), does(protects("--passphrase")))
	return []operation{
		{name: "enroll, in an ssh-agent", prepare: withSSH, command: types("laptop", "enroll", "--registry", "one", "--key", "ci", "--yes"), host: "one"},
		{
			name: "rotate, out of an ssh-agent", prepare: steps(withSSH, does(types("laptop", "enroll", "--registry", "one", "--key", "ci", "--yes"))), host: "one",
			command: types("laptop", "rotate", "--registry", "one", "--key", "ci", "--to", "ci2", "--to-software", "--none", "--yes"), long: true,
		},
		{
			name: "revoke, in an ssh-agent", prepare: steps(withSSH, does(types("laptop", "enroll", "--registry", "one", "--key", "ci", "--yes"))), host: "one",
			command: types("laptop", "revoke", "--registry", "one", "ci", "--yes"), check: ciIsEnded, long: true,
		},
		{name: "enroll, a backup", prepare: withStick, command: makeBackup, host: "one"},
		{
			name: "enroll, by a backup", prepare: steps(withBackup, does(types("library", "init", "laptop", "--none"))),
			command: func(w *world) command {
				return at("library", "enroll", "--registry", indexOf("one"), "--name", "one", "--account", w.account, "--key", "laptop", "--with-file", w.backup(), "--yes")
			},
		},
		{
			name: "revoke, by a backup", prepare: steps(withBackup, does(types("laptop", "init", "ci", "--none")), does(types("laptop", "enroll", "--registry", "one", "--key", "ci", "--yes")), loseCI), host: "one",
			command: func(w *world) command {
				return at("laptop", "revoke", "--registry", "one", w.code, "--with-file", w.backup(), "--yes")
			},
		},
		{
			name: "enroll, restored home", prepare: steps(enrolled, restore),
			command: func(w *world) command {
				return at("restored", "enroll", "--registry", indexOf("one"), "--name", "one", "--account", w.account, "--key", "laptop", "--join")
			},
		},
		{
			name: "enroll, moved registry", prepare: steps(enrolled, moves), host: "new",
			command: types("laptop", "enroll", "--registry", indexOf("new"), "--name", "new", "--yes"),
		},
		{name: "enroll, by hand", prepare: does(withKey), command: enrollByHand},
		{
			name: "rotate, by hand", prepare: steps(does(withKey), does(enrollByHand)),
			command: func(*world) command {
				return command{machine: "laptop", exit: exitByHand, args: []string{"rotate", "--registry", "hand", "--key", "laptop", "--to", "desk", "--none", "--yes"}}
			},
		},
		{
			name: "rotate, to a passphrase", prepare: steps(enrolled, hasPassphrases("one that opens it", "one that opens it")), host: "one", long: true,
			command: types("laptop", "rotate", "--registry", "one", "--key", "laptop", "--to", "desk", "--passphrase", "--yes"),
		},
		{
			name: "edit", prepare: withCI, host: "one", long: true,
			command: types("laptop", "keyset", "edit", "ci", "--registry", "one", "--can", "yank", "--yes"),
		},
		{name: "protect, passphrase", prepare: steps(enrolled, hasPassphrases("one that opens it", "one that opens it")), command: protects("--passphrase"), host: "one"},
		{name: "protect, another passphrase", prepare: steps(byPassphrase, hasPassphrases("one that opens it", "another one")), command: protects("--passphrase"), host: "one", check: opensWith("another one")},
		{name: "protect, passphrase to none", prepare: steps(byPassphrase, hasPassphrases("one that opens it", "")), command: protects("--none"), host: "one", long: true},
		{name: "protect, passphrase to keychain", prepare: steps(byPassphrase, hasPassphrases("one that opens it", "")), command: protects("--keychain"), host: "one", long: true},
		{
			name: "protect, keychain to passphrase", host: "one", command: protects("--passphrase"), long: true,
			prepare: steps(enrolled, hasPassphrases("one that opens it", "one that opens it"), does(protects("--keychain"))),
		},
	}
}
