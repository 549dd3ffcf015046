// Where the worlds of a fault harness are made.

package faults

import "syscall"

// room is what the worlds that exist at one time may take together, in bytes.
const room = 512 << 20

// Folder is a folder in memory, as a harness makes and syncs thousands of worlds, one after another, that
// nobody wants to keep. Where there is none with room for them, as in some containers, it is "":
// [os.MkdirTemp] takes that for the usual folder.
func Folder() string {
	const memory = "/dev/shm"
	var s syscall.Statfs_t
	if err := syscall.Statfs(memory, &s); err != nil || s.Bavail < room/uint64(s.Bsize) {
		return ""
	}
	return memory
}
