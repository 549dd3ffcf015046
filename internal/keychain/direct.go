// Keychains that need no bus, and systems without one.

//go:build !((dragonfly && cgo) || (freebsd && cgo) || linux || netbsd || openbsd)

package keychain

import "context"

// look knows nothing beforehand.
func look(context.Context) (locked bool, err error) { return false, nil }
