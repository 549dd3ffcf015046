// The client against a real agent, and against none, a hanging one and a lying one.

//go:build unix

package agent_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

func TestAgentServes(t *testing.T) {
	home, laptop := enrolled(t)
	s := start(t, home, programs(t))
	if s.PID == os.Getpid() || s.TTL != "15m0s" || s.Max != "8h0m0s" || s.Confirm || s.Hardware || len(s.Keys)+len(s.Tokens) != 0 {
		t.Errorf("a new agent: %+v", s)
	}
	ctx := t.Context()
	_, err := dial(t, home).Token(ctx, publish, nil)
	if locked, ok := errors.AsType[*agent.LockedError](err); !ok || locked.Key != "laptop" {
		t.Errorf("before the key was added: %v", err)
	}
	add(t, home, laptop)
	text, err := dial(t, home).Token(ctx, publish, nil)
	if err != nil {
		t.Fatal(err)
	}
	made, err := token.Verify(text, laptop.Public())
	if err != nil || made.Claims().Name != "sample" || made.Index() != index {
		t.Errorf("%+v, %v", made, err)
	}
	other := publish
	other.Index = "sparse+https://other.example.com/"
	if _, err := dial(t, home).Token(ctx, other, nil); !errors.As(err, new(*agent.RefusedError)) {
		t.Errorf("where nobody has enrolled: %v", err)
	}
	if s := status(t, home); len(s.Keys) != 1 || s.Keys[0].Name != "laptop" || s.Keys[0].ID != laptop.Public().ID().String() {
		t.Errorf("holding a key: %+v", s)
	}
	if err := dial(t, home).AddPIN(ctx, 7, keys.NewSecret([]byte("123456"))); !errors.As(err, new(*agent.RefusedError)) {
		t.Errorf("a PIN, where there is no hardware: %v", err)
	}
	if err := dial(t, home).Release(ctx); err != nil {
		t.Error(err)
	}
	// One client for several requests.
	client := dial(t, home)
	if err := client.Lock(ctx); err != nil {
		t.Error(err)
	}
	if _, err := client.Token(ctx, publish, nil); !errors.As(err, new(*agent.LockedError)) {
		t.Errorf("after lock: %v", err)
	}
	if err := client.Stop(ctx); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(agent.PlaceOf(home).Socket); err == nil {
		t.Error("the socket is still there after stop")
	}
	if _, err := client.Status(ctx); !errors.Is(err, agent.ErrNoAgent) {
		t.Errorf("after stop: %v", err)
	}
	awaitEnd(t, s.PID)
}

func TestNoAgent(t *testing.T) {
	home, _ := enrolled(t)
	dial := func(what string) {
		t.Helper()
		begun := time.Now()
		if _, err := agent.Dial(t.Context(), home); !errors.Is(err, agent.ErrNoAgent) || errors.Is(err, agent.ErrOff) {
			t.Errorf("%s: %v", what, err)
		}
		if took := time.Since(begun); took > 4*time.Second { // one that hangs is given five
			t.Errorf("%s: it took %v", what, took)
		}
	}
	dial("no folder")
	place := agent.PlaceOf(home)
	if err := place.Prepare(); err != nil {
		t.Fatal(err)
	}
	dial("no socket")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: place.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	dial("a stale socket")
	_ = os.Remove(place.Socket)
	if err := os.WriteFile(place.Socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dial("a file")
	if err := agent.StartFrom(t.Context(), home, t.TempDir()); err == nil || !strings.Contains(err.Error(), "install it beside") {
		t.Errorf("starting without a regkey: %v", err)
	}
}

func TestOff(t *testing.T) {
	home, _ := enrolled(t)
	start(t, home, programs(t))
	t.Setenv("REGKEY_AGENT", "off")
	if _, err := agent.Dial(t.Context(), home); !errors.Is(err, agent.ErrOff) || !errors.Is(err, agent.ErrNoAgent) {
		t.Errorf("dialling: %v", err)
	}
	if err := agent.Start(t.Context(), home); !errors.Is(err, agent.ErrOff) {
		t.Errorf("starting: %v", err)
	}
	client, err := agent.Reach(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}

// pretend listens where the agent would, and does with each connection what answer does.
func pretend(t *testing.T, home string, answer func(conn net.Conn)) {
	t.Helper()
	place := agent.PlaceOf(home)
	if err := place.Prepare(); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(place.Socket)
	l, err := net.Listen("unix", place.Socket)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer func() { _ = conn.Close() }()
				answer(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		group.Wait()
	})
}

// readLine takes the request off a connection.
func readLine(conn net.Conn) string {
	var line []byte
	for one := make([]byte, 1); ; {
		if n, err := conn.Read(one); n == 0 || err != nil || one[0] == '\n' {
			return string(line)
		}
		line = append(line, one[0])
	}
}

func TestLyingAgents(t *testing.T) {
	agent.Impatient(t, 200*time.Millisecond)
	endless := strings.Repeat("x", 1<<20)
	for what, answer := range map[string]string{
		"garbage":              "\x00\xff\n",
		"half a line":          `{"answer":"done"`,
		"an endless line":      endless,
		"no JSON":              "yes\n",
		"more than belongs":    `{"answer":"token","token":"x","key":"y"}` + "\n",
		"the wrong answer":     `{"answer":"done"}` + "\n",
		"waiting without end":  strings.Repeat(`{"answer":"wait"}`+"\n", 10_000),
		"fingers without end":  strings.Repeat(`{"answer":"touch","serial":1}`+"\n", 10_000),
		"an answer for status": `{"answer":"locked","key":"laptop","serial":2}` + "\n",
	} {
		home, _ := enrolled(t)
		pretend(t, home, func(conn net.Conn) {
			readLine(conn)
			_, _ = conn.Write([]byte(answer))
		})
		touches, dones := 0, 0
		text, err := dial(t, home).Token(t.Context(), publish, func(uint32) func() { touches++; return func() { dones++ } })
		if text != "" || !errors.Is(err, agent.ErrNoAgent) {
			t.Errorf("%s: %q, %v", what, text, err)
		}
		if touches != dones {
			t.Errorf("%s: %d waits for a finger, %d ends", what, touches, dones)
		}
	}
}

func TestHangingAgent(t *testing.T) {
	agent.Impatient(t, 100*time.Millisecond)
	home, _ := enrolled(t)
	ended := make(chan struct{})
	pretend(t, home, func(net.Conn) { <-ended })
	defer close(ended)
	if _, err := dial(t, home).Token(t.Context(), publish, nil); !errors.Is(err, agent.ErrNoAgent) || !strings.Contains(err.Error(), "says nothing") {
		t.Errorf("an agent that says nothing: %v", err)
	}
	agent.Impatient(t, time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := dial(t, home).Token(ctx, publish, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller that gives up: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := dial(t, home).Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that is cancelled: %v", err)
	}
}

// TestWaiting: who says "wait" is waited for, for longer than who says nothing, and a finger is told of.
func TestWaiting(t *testing.T) {
	agent.Impatient(t, 300*time.Millisecond)
	home, _ := enrolled(t)
	pretend(t, home, func(conn net.Conn) {
		readLine(conn)
		for _, line := range []string{`{"answer":"wait"}`, `{"answer":"touch","serial":7}`, `{"answer":"wait"}`, `{"answer":"touched"}`, `{"answer":"token","token":"v4.public.A"}`} {
			time.Sleep(100 * time.Millisecond)
			_, _ = fmt.Fprintln(conn, line)
		}
	})
	for late := time.Now().Add(time.Minute); ; {
		var told []string
		text, err := dial(t, home).Token(t.Context(), publish, func(serial uint32) func() {
			told = append(told, fmt.Sprint(serial))
			return func() { told = append(told, "done") }
		})
		if errors.As(err, new(*agent.SilentError)) && time.Now().Before(late) {
			continue // the machine did something else for as long as that
		}
		if err != nil || text != "v4.public.A" || strings.Join(told, " ") != "7 done" {
			t.Errorf("%q, %v, told %q", text, err, told)
		}
		return
	}
}

// TestPushedOut: an agent that hangs up before it has read is asked again.
func TestPushedOut(t *testing.T) {
	home, _ := enrolled(t)
	var mutex sync.Mutex
	seen := 0
	pretend(t, home, func(conn net.Conn) {
		mutex.Lock()
		seen++
		n := seen
		mutex.Unlock()
		if n < 3 {
			return
		}
		readLine(conn)
		_, _ = fmt.Fprintln(conn, `{"answer":"done"}`)
	})
	if err := dial(t, home).Lock(t.Context()); err != nil || seen != 3 {
		t.Errorf("at the third try: %v, after %d", err, seen)
	}
}
