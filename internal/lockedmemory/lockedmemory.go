// Package lockedmemory keeps small secrets in pages of their own, outside of Go's heap: the system
// is told never to write them to swap or into a core dump, and never to give them to a forked
// process, and they are overwritten when they are dropped.
//
// It guards those pages and nothing else. What a program reads out of them (a parsed key, a line
// that was sent) is on Go's heap, which nobody can wipe for certain: the collector leaves old
// bytes where they were until the page is used again or given back to the system. And a machine
// that hibernates writes locked pages to its disk, too.
package lockedmemory

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// A Secret is bytes in pages of their own. Its methods may be called from several goroutines.
type Secret struct {
	mutex  sync.RWMutex
	pages  []byte // nil once it was wiped
	length int
	weak   error
}

// ErrWiped says that a secret was used after [Secret.Wipe].
var ErrWiped = errors.New("the secret was wiped")

// New moves data into pages of their own: data itself is overwritten with zeros, also if there is an
// error. It fails only where the system gives no memory. Where it gives some but does not lock it, as
// the user's limit (RLIMIT_MEMLOCK) is used up or zero, the secret is kept and [Secret.Weakness]
// says so.
func New(data []byte) (*Secret, error) {
	defer clear(data)
	page := os.Getpagesize()
	pages, weak, err := allocate(max(1, (len(data)+page-1)/page) * page)
	if err != nil {
		return nil, fmt.Errorf("allocating memory for a secret: %w", err)
	}
	copy(pages, data)
	return &Secret{pages: pages, length: len(data), weak: weak}, nil
}

// Use calls f with the secret, which must not be changed, nor kept after f has returned. [Secret.Wipe]
// waits for f. The error is f's, or [ErrWiped].
func (s *Secret) Use(f func(secret []byte) error) error {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	if s.pages == nil {
		return ErrWiped
	}
	return f(s.pages[:s.length:s.length])
}

// Wipe overwrites the secret with zeros and gives its memory back. Doing so again changes nothing.
func (s *Secret) Wipe() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.pages == nil {
		return
	}
	clear(s.pages)
	release(s.pages, s.weak == nil)
	s.pages = nil
}

// release is a variable for tests, which look at what is given back.
var release = free

// Weakness is why the system may write the secret to swap; nil if it may not.
func (s *Secret) Weakness() error { return s.weak }
