//go:build !(cgo || windows)

// Without cgo everything says so.

package hardware

import (
	"errors"
	"testing"
)

func TestNotBuilt(t *testing.T) {
	if Built() {
		t.Error("built")
	}
	if token, err := Open(t.Context(), 0); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("opening: %v, %v", token, err)
	}
	if list, err := List(t.Context()); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("listing: %v, %v", list, err)
	}
}
