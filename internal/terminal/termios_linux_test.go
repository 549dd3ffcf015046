// The names of requests that differ between systems.

package terminal_test

import "golang.org/x/sys/unix"

const (
	readTermios  = unix.TCGETS
	writeTermios = unix.TCSETS
	inputWaiting = unix.TIOCINQ
)
