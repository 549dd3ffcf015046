// Read-only mounts on macOS and FreeBSD.

//go:build darwin || freebsd

package keys

import (
	"os"
	"syscall"
)

// mntReadOnly is MNT_RDONLY of sys/mount.h, which package syscall lacks.
const mntReadOnly = 1

// onReadOnlyMount reports whether nobody can write the open file through the mount it was opened on.
func onReadOnlyMount(f *os.File) bool {
	var facts syscall.Statfs_t
	return syscall.Fstatfs(int(f.Fd()), &facts) == nil && facts.Flags&mntReadOnly != 0
}
