// Whether anybody waits for the answer any more.

package terminal

import (
	"context"
	"os"
	"os/signal"
)

// UntilReaderGoes is a context that ends with ctx, with SIGINT, SIGQUIT, SIGTERM or SIGHUP, and when
// nobody is left to read our standard output, if that is a pipe. Cargo keeps it open until it has
// its answer, so that is the end of cargo. The end of standard input would not do: who pipes
// a request into this program may close it at once and still wait. Windows has no such sign for a
// pipe, and the time limit of the question has to do.
//
// The second result takes all of it back, and must be called.
func UntilReaderGoes(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, endings...)
	ctx, cancel := context.WithCancel(ctx)
	unwatch := watchReader(os.Stdout, cancel)
	return ctx, func() { unwatch(); cancel(); stop() }
}
