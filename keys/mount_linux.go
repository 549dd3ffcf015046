// Read-only mounts on Linux.

package keys

import (
	"os"
	"syscall"
)

// stReadOnly is ST_RDONLY of statvfs(3), which package syscall lacks.
const stReadOnly = 1

// onReadOnlyMount reports whether nobody can write the open file through the mount it was opened on.
func onReadOnlyMount(f *os.File) bool {
	var facts syscall.Statfs_t
	return syscall.Fstatfs(int(f.Fd()), &facts) == nil && facts.Flags&stReadOnly != 0
}
