// Command regkey-registry is the registry side: a complete small Cargo registry that trusts keys, and
// what its operator does beside it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(start()) }

// start is main with its deferred calls done before the exit.
func start() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends at once what stops too slowly
	a := &app{stdout: os.Stdout, stderr: os.Stderr, now: time.Now}
	return a.run(ctx, os.Args)
}
