// Waiting for tokens: one that is not plugged in has little time, one that is busy has its own.

package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/hardware"
)

// How long a token may take to be plugged in does not bound how long a busy one, or the service, is waited for.
func TestPlugLimitIsForAbsence(t *testing.T) {
	if !hardware.Built() {
		t.Skip("this test was built without cgo")
	}
	a := newApp()
	a.plugLimit = time.Nanosecond
	_, err := a.awaitToken(t.Context(), 4711)
	if errors.Is(err, context.DeadlineExceeded) || !errors.As(err, new(*hardware.ServiceError)) {
		t.Errorf("where no service runs: %v", err)
	}
}
