// Ending another process, as Unix knows it.

//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// interrupt asks a process to end in good order.
func interrupt(p *os.Process) error { return p.Signal(unix.SIGTERM) }
