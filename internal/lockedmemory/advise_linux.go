// What Linux can be asked to keep from pages.

package lockedmemory

import "golang.org/x/sys/unix"

// advise keeps the pages out of core dumps (Linux 3.4) and of forked processes (4.14). An older
// kernel refuses, and there is no more to do about it: madvise(2).
func advise(pages []byte) {
	_ = unix.Madvise(pages, unix.MADV_DONTDUMP)
	_ = unix.Madvise(pages, unix.MADV_WIPEONFORK)
}
