// An agent that is idle gives back what it can have again.

//go:build !linux

package keeper

import "runtime/debug"

// GiveBack returns to the system what Go's heap does not use, and with it what the collector left of
// secrets there.
func GiveBack() { debug.FreeOSMemory() }
