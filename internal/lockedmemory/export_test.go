// What the tests of this package see of its inside.

package lockedmemory

import "testing"

// OnRelease has f see all pages before the system gets them back.
func OnRelease(t *testing.T, f func(pages []byte)) {
	release = func(pages []byte, locked bool) {
		f(pages)
		free(pages, locked)
	}
	t.Cleanup(func() { release = free })
}
