// Which key signs for a registry: chosen by the exact index URL, and by nothing else that a request says.

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

// The environment of a job that has a key file and no home of regkey's.
const (
	envKeyFile        = "REGKEY_KEY_FILE"
	envRegistry       = "REGKEY_REGISTRY"
	envSubject        = "REGKEY_SUBJECT"
	envChallenge      = "REGKEY_CHALLENGE" // "1": the registry wants one in every mutation
	envPassphraseFile = "REGKEY_PASSPHRASE_FILE"
)

// errNotEnrolled says that the user never enrolled at the registry that is asked for.
var errNotEnrolled = errors.New("not enrolled")

// An identity is what this machine has for one registry.
type identity struct {
	registry  string // what the user calls it
	key       string // what the user calls the key: `key "laptop"`
	home      string // regkey's folder, and the key's name there; empty for a key file
	name      string
	subject   string
	challenge bool
	window    time.Duration // how long after signing the registry takes a token
	recovery  string        // what to do where the key is not there
	open      func(ctx context.Context, ask keys.PassphraseFunc) (*keys.SoftwareKey, error)
	lookup    func() (keys.Record, error) // the key's record; nil for a key file
	// limits says that the registry would not take the key for that; nil: nothing is known here.
	limits func(key keys.PublicKey, crate string) error
	// attends reports whether publishing needs a hardware token that this identity does without; nil: no.
	attends func() bool
}

// identity finds what signs an operation at index, and opens nothing yet. The environment comes first where it
// names exactly this registry, so that a job needs no home; then what the user enrolled. The error
// wraps errNotEnrolled if that is the only fault.
func (p *provider) identity(index string, operation token.Operation) (*identity, error) {
	if file := p.getenv(envKeyFile); file != "" && p.getenv(envRegistry) == index {
		return p.fromEnvironment(index, file), nil
	}
	dir, err := p.home()
	if err != nil && p.getenv(envKeyFile) != "" {
		return nil, errNotEnrolled // a job has no home: what it lacks is the right variables
	}
	if err != nil {
		return nil, refuse(err, "regkey does not know where its keys are: set REGKEY_HOME to an absolute path")
	}
	enrolment, err := enroll.LookupEnrolment(dir, index)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNotEnrolled
	}
	if err != nil {
		return nil, refuse(err, "what regkey keeps about this registry cannot be read: repair or remove the file, then enrol again")
	}
	name := enrolment.Name
	if name == "" {
		name = enrolment.Index
	}
	key, publisher := enrolment.KeyFor(string(operation)), enrolment.KeyFor(string(token.Publish))
	if key == "" {
		return nil, refuse(nil, "no key of this machine is enrolled at %s any more: run regkey enroll --registry %s", name, name)
	}
	store := keys.OpenStore(filepath.Join(dir, "keys"))
	id := &identity{
		registry:  name,
		key:       fmt.Sprintf("key %q", key),
		home:      dir,
		name:      key,
		subject:   enrolment.Subject,
		challenge: enrolment.Challenge,
		window:    cmp.Or(time.Duration(enrolment.MaxAge)*time.Second, defaultWindow),
		recovery:  fmt.Sprintf("bring its file back, or enrol another key with regkey enroll --registry %s --key NAME", name),
		open: func(ctx context.Context, ask keys.PassphraseFunc) (*keys.SoftwareKey, error) {
			return store.Unlock(ctx, key, ask)
		},
		lookup: func() (keys.Record, error) { return store.Lookup(key) },
		limits: func(key keys.PublicKey, crate string) error {
			return enrolment.CheckUse(dir, key, enroll.CanFor(string(operation)), crate, p.now())
		},
	}
	if operation == token.Read && key != publisher {
		id.recovery = fmt.Sprintf("run regkey enroll --registry %s, which makes another", name)
		id.attends = func() bool { return inHardware(store, publisher) }
	}
	return id, nil
}

func inHardware(store *keys.Store, name string) bool {
	record, err := store.Lookup(name)
	return err == nil && record.Protection == keys.Hardware
}

// fromEnvironment is the identity of a job that has a key file and no home of regkey's.
func (p *provider) fromEnvironment(index, file string) *identity {
	key := "the key file" // its path may be the key itself, put there by mistake
	if filepath.IsAbs(file) {
		key = fmt.Sprintf("key file %q", file)
	}
	return &identity{
		registry:  index,
		key:       key,
		subject:   p.getenv(envSubject),
		challenge: p.getenv(envChallenge) == "1",
		window:    defaultWindow,
		recovery:  "set " + envKeyFile + " to the file that holds the key",
		open: func(ctx context.Context, ask keys.PassphraseFunc) (*keys.SoftwareKey, error) {
			return keys.OpenKeyFile(ctx, file, ask)
		},
	}
}
