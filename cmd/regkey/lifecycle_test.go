// How long registries are waited for.

package main

import (
	"testing"
	"time"
)

// Each registry may keep a command waiting for as long, whichever of its accounts is asked for.
func TestPatienceIsShared(t *testing.T) {
	a := newApp()
	first, second := a.clientOptions("sparse+https://a.example/", false), a.clientOptions("sparse+https://b.example/", false)
	if first.Patience == nil || first.Patience == second.Patience || a.clientOptions("sparse+https://a.example/", true).Patience != first.Patience {
		t.Error("each registry has a patience of its own, and only one")
	}
	if registryPatience < 2*time.Minute || registryPatience > 10*time.Minute {
		t.Errorf("a command waits %v", registryPatience)
	}
}
