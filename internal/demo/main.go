// Command demo runs regkey's main job before the user's eyes, in a temporary folder: a key, a
// registry that trusts it, a crate published with a signature, the signature replayed and refused,
// the key rotated, the old one refused, the new one revoked. Every step prints the command that it
// runs.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/cargo-regkey/regkey/internal/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "regkey-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := newStage(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, act := range []func(context.Context) error{s.begin, s.publish, s.replay, s.rotate, s.revoke} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	s.say("done: nothing that crossed the network, or lies in the registry's database, lets anybody publish")
	return nil
}

// newStage builds the programs and starts the registry.
func newStage(ctx context.Context, dir string) (*stage, error) {
	s := &stage{width: 78}
	s.say("a folder for everything: %s", dir)
	s.say("building regkey, cargo-credential-regkey and regkey-registry …")
	if err := lab.Build(ctx, filepath.Join(dir, "bin")); err != nil {
		return nil, err
	}
	l, err := lab.New(dir, filepath.Join(dir, "bin"))
	if err != nil {
		return nil, err
	}
	s.lab = l
	if version, err := lab.CargoVersion(ctx); err != nil {
		s.say("%v: a built-in client takes cargo's part, with the same provider and the same requests", err)
	} else {
		s.cargo = true
		s.say("with %s, as it is: no nightly, no flags", version)
	}
	return s, nil
}
