// What other Unixes can be asked to keep from a process's memory.

//go:build unix && !linux

package keeper

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Harden keeps the whole process out of core dumps.
func Harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("keeping this process's memory out of core dumps: %w", err)
	}
	return nil
}
