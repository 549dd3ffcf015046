// Command regkey makes keys, has registries trust them, and keeps that trust in order: enrolling,
// rotating, revoking. Cargo itself talks to cargo-credential-regkey, which regkey sets up.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	// First of all, so that no terminal is asked for its colours: see the package.
	_ "github.com/cargo-regkey/regkey/internal/background"
)

func main() { os.Exit(start()) }

// start is main with its deferred calls done before the exit.
func start() int {
	if len(os.Args) == 2 && os.Args[1] == canStart {
		return 0
	}
	a := newApp()
	if exit, done := a.becomeTwin(os.Args); done {
		return exit
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return a.run(ctx, os.Args)
}
