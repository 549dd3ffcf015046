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
	"syscall"
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
