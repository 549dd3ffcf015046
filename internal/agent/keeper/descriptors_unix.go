// Files that came from whoever started this process.

//go:build unix

package keeper

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// CloseInherited closes the files, beside the three standard streams, that this process was started
// with. Whoever starts an agent may have pipes open that it does not know of, and somebody may
// wait for their end, which would come with the agent's. Go's own files are told apart by being closed
// on exec.
func CloseInherited() {
	entries, _ := os.ReadDir("/dev/fd")
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd <= unix.Stderr {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
}
