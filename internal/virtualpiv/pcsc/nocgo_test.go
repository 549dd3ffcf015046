//go:build !cgo || !linux

// Where the library cannot be linked.

package pcsc_test

import "testing"

func TestPIVGo(t *testing.T) {
	t.Skip("piv-go reaches the stand-in through libpcsclite, which needs Linux and cgo")
}
