// One prompt at a time, among processes.

package agent_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
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
	other := exec.Command(filepath.Join(programs(t), "client"), "prompt")
	other.Env = append(os.Environ(), "REGKEY_HOME="+home)
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "asking\n" {
		t.Fatalf("the other process says %q (%v)", line, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := agent.AwaitPrompt(ctx, home, "laptop"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while another process asks: %v", err)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // it was killed, and says so
	release, err := agent.AwaitPrompt(t.Context(), home, "laptop")
	if err != nil {
		t.Fatal(err)
	}
	release()
}
