// Connecting on Unix: four system calls. Package net, which could do it, costs each run of the
// provider a tenth of a millisecond for what it prepares.

//go:build unix

package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cargo-regkey/regkey/internal/agent/peer"
)

// fullPause is how long a connection that finds the agent's queue full waits for the next try.
const fullPause = 2 * time.Millisecond

// connect connects to the agent, whose user must be this process's. The error wraps [ErrNoAgent].
func (p Place) connect(ctx context.Context) (connection, error) {
	if len(p.Socket) > maxSocket {
		return nil, fmt.Errorf("%w: the path of its socket is too long", ErrNoAgent)
	}
	for {
		fd, err := socket()
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrNoAgent, err)
		}
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: p.Socket})
		if err == nil {
			return checked(fd)
		}
		_ = unix.Close(fd)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("%w: %v", ErrNoAgent, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(fullPause):
		}
	}
}

// socket is one that no child inherits and that blocks nobody.
func socket() (int, error) {
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// listener is the process that listens at the other end; 0 where the system does not tell.
func listener(conn connection) int {
	file, ok := conn.(*os.File)
	if !ok {
		return 0
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if who, err := peer.Of(fd); err == nil {
			pid = who.PID
		}
	})
	return pid
}

// checked makes a connection of fd, if who listens there is this very user: a secret may go there.
func checked(fd int) (connection, error) {
	who, err := peer.Of(uintptr(fd))
	if err == nil && who.UID != os.Geteuid() {
		err = fmt.Errorf("what listens there belongs to user %d", who.UID)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("%w: %v", ErrNoAgent, err)
	}
	return os.NewFile(uintptr(fd), "agent"), nil
}
