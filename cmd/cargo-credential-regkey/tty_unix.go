// The controlling terminal and the waiting cargo, as Unix shows them.

//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// openTerminal opens the controlling terminal, for reading and for writing.
func openTerminal() (in, out *os.File, err error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	return tty, tty, err
}

// waitForReaderGone returns when nobody is left to read what is written to f, a pipe. Cargo
// keeps it open until it has its answer, so that is the end of cargo. The end of standard
// input would not do: who pipes a request into this program may close it at once and still wait.
func waitForReaderGone(f *os.File) {
	fds := []unix.PollFd{{Fd: int32(f.Fd())}} // no event asked for: errors and hang-ups always come
	for {
		n, err := unix.Poll(fds, -1)
		if n > 0 || err != nil && err != unix.EINTR {
			return
		}
	}
}

// interrupt asks a process to end in good order.
func interrupt(p *os.Process) error { return p.Signal(unix.SIGTERM) }
