// Pages as Unix gives and locks them.

//go:build unix

package lockedmemory

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// allocate maps size bytes, a multiple of the page's size. weak is why they are not locked.
func allocate(size int) (pages []byte, weak, err error) {
	pages, err = unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, nil, err
	}
	advise(pages)
	switch err := unix.Mlock(pages); {
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EPERM), errors.Is(err, unix.EAGAIN):
		weak = fmt.Errorf("locking memory: the limit of locked memory (ulimit -l) does not allow it: %w", err)
	case err != nil:
		weak = fmt.Errorf("locking memory: %w", err)
	}
	return pages, weak, nil
}

func free(pages []byte, locked bool) {
	if locked {
		_ = unix.Munlock(pages) // unmapping would do it, too
	}
	_ = unix.Munmap(pages)
}
