// What Linux can be asked to keep from a process's memory.

package keeper

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Harden keeps the whole process out of core dumps, and other processes of its user from reading its
// memory or tracing it (prctl(2), PR_SET_DUMPABLE). It is called before anything secret comes in.
func Harden() error {
	err := errors.Join(
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0),
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
	)
	if err != nil {
		return fmt.Errorf("keeping others from this process's memory: %w", err)
	}
	return nil
}
