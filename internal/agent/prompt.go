// The prompt lock: of several programs that need the same passphrase or PIN, one asks.

package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// promptPoll is how often a waiting [AwaitPrompt] looks again: short beside the time that a person
// takes to type.
const promptPoll = 30 * time.Millisecond

// AwaitPrompt waits until no other program of this user asks a person for what (a key's name, or a
// token's serial number: each has a lock of its own in the agent's folder), and keeps them from it
// until release is called or this process ends. Whoever gets it looks at the agent again before it
// asks: the one before may have left there what is needed. It gives up when ctx ends, with an error
// that wraps ctx's; other errors say that there can be no such lock here, and asking without it is
// better than not asking.
func AwaitPrompt(ctx context.Context, home, what string) (release func(), err error) {
	place := PlaceOf(home)
	if err := place.Prepare(); err != nil {
		return nil, fmt.Errorf("waiting for other prompts: %w", err)
	}
	path := filepath.Join(place.Folder, "prompt-"+digest(what)[:16])
	if err := place.CheckLock(path); err != nil {
		return nil, fmt.Errorf("waiting for other prompts: %w", err)
	}
	lock := flock.New(path, flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, promptPoll); err != nil {
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("waiting for other prompts: %w", err)
	}
	return sync.OnceFunc(func() { _ = lock.Unlock() }), nil
}
