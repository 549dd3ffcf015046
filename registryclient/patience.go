// How long a registry may keep a command waiting in all.

package registryclient

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Patience bounds how long a registry is waited for in all: over every request, of all clients that share it, and over
// the pauses between their tries. Each request is bounded anyhow, but a registry that answers each of them at the very
// last moment could hold a command for as long as it has questions, and a long history makes for many. Time in which
// nobody waits for the registry, as at a question to a person or for a finger at a token, does not count. It may be
// used by several goroutines at once.
type Patience struct {
	limit  time.Duration
	mu     sync.Mutex
	waited time.Duration
}

// NewPatience is one of that length.
func NewPatience(limit time.Duration) *Patience { return &Patience{limit: limit} }

// Renew begins it anew: somebody was asked, and knows that the command goes on.
func (p *Patience) Renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waited = 0
}

// A patienceError says that there is none left. It is no [context.DeadlineExceeded], which is of a single request.
type patienceError struct{ limit time.Duration }

func (e *patienceError) Error() string {
	return fmt.Sprintf("expected were whole answers to all that was asked, within %v in all, and more time has passed", e.limit)
}

// while runs wait, which ends with its context at the latest, and counts how long that takes. The error is a
// [*NetworkError] where no patience is left. Without a Patience it just runs.
func (p *Patience) while(ctx context.Context, url string, wait func(context.Context) error) error {
	if p == nil {
		return wait(ctx)
	}
	p.mu.Lock()
	left := p.limit - p.waited
	p.mu.Unlock()
	over := &NetworkError{URL: url, err: &patienceError{p.limit}}
	if left <= 0 {
		return over
	}
	begun := time.Now()
	bounded, cancel := context.WithTimeoutCause(ctx, left, over)
	defer cancel()
	err := wait(bounded)
	p.mu.Lock()
	p.waited += time.Since(begun)
	p.mu.Unlock()
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(bounded), over) {
		return over
	}
	return err
}
