//go:build unix && !linux

// The request that reads a terminal's settings on macOS and the BSDs.

package main

import "golang.org/x/sys/unix"

const termiosRequest = unix.TIOCGETA
