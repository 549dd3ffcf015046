// The place of the agent: who has its lock is the agent, whatever else lies there.

package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/gofrs/flock"

	"github.com/cargo-regkey/regkey/internal/agent"
)

const (
	// takePatience is for an agent that has lost its socket, or is ending: it is gone then.
	takePatience = 8 * time.Second
	takePause    = 5 * time.Millisecond
)

// A stand is the place of the agent, taken.
type stand struct {
	place    agent.Place
	lock     *flock.Flock
	listener net.Listener
	socket   fs.FileInfo // nil where it is no file
}

// takeStand becomes the agent, or fails with [ErrTaken]. The lock goes with the process, so that
// none who died keeps it; the socket stays, and is replaced.
func takeStand(ctx context.Context, place agent.Place) (*stand, error) {
	if err := place.CheckLock(place.Lock()); err != nil {
		return nil, err
	}
	s := &stand{place: place, lock: flock.New(place.Lock(), flock.SetPermissions(0o600))}
	for deadline := time.Now().Add(takePatience); ; {
		held, err := s.lock.TryLock()
		if err != nil {
			return nil, err
		}
		if held {
			break
		}
		if place.Listens(ctx) || time.Now().After(deadline) {
			return nil, ErrTaken
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(takePause):
		}
	}
	if err := s.listen(); err != nil {
		_ = s.lock.Close()
		return nil, err
	}
	return s, nil
}

// ours reports whether this is still the agent that others find. While they are open, neither the
// lock's file nor the socket's can give its identity to another one.
func (s *stand) ours() bool {
	held, err := s.lock.Stat()
	if err != nil {
		return false
	}
	found, err := os.Lstat(s.place.Lock())
	if err != nil || !os.SameFile(held, found) {
		return false
	}
	return s.socket == nil || s.hasSocket()
}

func (s *stand) hasSocket() bool {
	found, err := os.Lstat(s.place.Socket)
	return err == nil && os.SameFile(s.socket, found)
}

// leave takes the socket away, if it is this agent's, ends the listening, and gives the lock back.
func (s *stand) leave() {
	if s.socket != nil && s.hasSocket() {
		_ = os.Remove(s.place.Socket)
	}
	_ = s.listener.Close()
	_ = s.lock.Close()
}

// removeStale takes away a socket whose agent has died, or whatever else was put there, into a folder
// that is its user's alone. A folder stays: there may be more in it.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%q is in the way: it is a folder", path)
	}
	return os.Remove(path)
}
