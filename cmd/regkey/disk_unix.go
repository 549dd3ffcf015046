//go:build unix

// Disks, as Unix tells them apart.

package main

import (
	"syscall"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// sameDisk reports whether two files lie on one file system. Where that can't be told it says yes,
// which is the answer that warns.
func sameDisk(a, b string) bool {
	first, firstErr := atomicfile.Stat(a)
	second, secondErr := atomicfile.Stat(b)
	if firstErr != nil || secondErr != nil {
		return true
	}
	one, ok := first.Sys().(*syscall.Stat_t)
	other, alsoOK := second.Sys().(*syscall.Stat_t)
	return !ok || !alsoOK || one.Dev == other.Dev
}
