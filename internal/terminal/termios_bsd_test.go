// The names of requests that differ between systems.

//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package terminal_test

import "golang.org/x/sys/unix"

const (
	readTermios  = unix.TIOCGETA
	writeTermios = unix.TIOCSETA
	inputWaiting = 0x4004667f // FIONREAD, in all their sys/filio.h
)
