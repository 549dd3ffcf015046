// The request that reads a terminal's settings on Linux.

package main

import "golang.org/x/sys/unix"

const termiosRequest = unix.TCGETS
