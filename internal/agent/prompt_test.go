// One prompt at a time, among processes.

//go:build unix

package agent_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/agent"
)

func TestOnePrompt(t *testing.T) {
	home := t.TempDir()
	var asking atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			release, err := agent.AwaitPrompt(t.Context(), home, "laptop")
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			if n := asking.Add(1); n != 1 {
				t.Errorf("%d ask at a time", n)
			}
			asking.Add(-1)
		})
	}
	group.Wait()
	release, err := agent.AwaitPrompt(t.Context(), home, "laptop")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	// Another key is another question.
	other, err := agent.AwaitPrompt(t.Context(), home, "desk")
	if err != nil {
		t.Fatal(err)
	}
	other()
	other()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := agent.AwaitPrompt(ctx, home, "laptop"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for too long: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := agent.AwaitPrompt(ctx, home, "laptop"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestPromptOfTheDead: who is killed while a person is asked keeps nobody from asking.
func TestPromptOfTheDead(t *testing.T) {
	home := t.TempDir()
	kill := run(t, home, programs(t), "asking\n", "prompt")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := agent.AwaitPrompt(ctx, home, "laptop"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while another process asks: %v", err)
	}
	kill()
	release, err := agent.AwaitPrompt(t.Context(), home, "laptop")
	if err != nil {
		t.Fatal(err)
	}
	release()
}
