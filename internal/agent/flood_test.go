// Clients that stall, flood and send garbage: the agent serves the others meanwhile, and stays small.

//go:build unix

package agent_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cargo-regkey/regkey/internal/agent"
)

// crowd is how many bad clients there are at a time.
const crowd = 500

// residentKB is how much memory a process has, in KiB; 0 where that can't be told.
func residentKB(t *testing.T, pid int) (kb int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil || underRace {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "VmRSS:"); found {
			if _, err := fmt.Sscanf(value, "%d", &kb); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kb
}

// badClients are what a connection can be used for beside asking.
var badClients = []struct {
	what string
	do   func(conn net.Conn)
}{
	{"saying nothing", func(net.Conn) {}},
	{"half a line", func(c net.Conn) { _, _ = io.WriteString(c, `{"v":1,"request":"tok`) }},
	{"garbage", func(c net.Conn) { _, _ = c.Write(noise(4 << 10)) }},
	{"lines of garbage", func(c net.Conn) { _, _ = c.Write(bytes.ReplaceAll(noise(4<<10), []byte{'a'}, []byte{'\n'})) }},
	{"a line that is almost too long", func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte{'x'}, agent.MaxLine-1)) }},
	{"an endless line", func(c net.Conn) {
		for block := bytes.Repeat([]byte{'x'}, 16<<10); ; {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}},
	{"asking, and never reading", func(c net.Conn) { _, _ = io.WriteString(c, `{"v":1,"request":"status"}`+"\n") }},
}

func noise(size int) []byte {
	noise := make([]byte, size)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	return noise
}

// beBad is a process with a crowd of one kind, which it keeps until its input ends.
func beBad(home, kind string) int {
	n, err := strconv.Atoi(kind)
	if err != nil {
		return report(err)
	}
	for range crowd {
		conn, err := net.Dial("unix", agent.PlaceOf(home).Socket)
		if err != nil {
			return report(err)
		}
		go badClients[n].do(conn)
		defer func() { _ = conn.Close() }()
	}
	fmt.Println("there")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func TestBadClients(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Max < 2*crowd {
		t.Skipf("a process may have only %d files open (%v)", limit.Max, err)
	}
	patient(t)
	home, laptop := enrolled(t)
	bin := programs(t)
	pid := start(t, home, bin).PID
	add(t, home, laptop)
	before := residentKB(t, pid)
	for n, bad := range badClients {
		t.Run(bad.what, func(t *testing.T) {
			stop := run(t, home, bin, "there\n", "bad", strconv.Itoa(n))
			servedToken(t, home)
			servedToken(t, home)
			stop()
			servedToken(t, home)
			if now := residentKB(t, pid); before > 0 && now > before+16<<10 {
				t.Errorf("the agent has grown from %d to %d KiB", before, now)
			}
		})
	}
	if s := status(t, home); s.PID != pid || len(s.Keys) != 1 {
		t.Errorf("after all: %+v", s)
	}
	settled(t, pid, before)
}

// run starts a program of the tests', waits until it has said its word, and returns what ends it.
func run(t *testing.T, home, bin, word string, args ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "client"), args...)
	cmd.Env = append(os.Environ(), "REGKEY_HOME="+home)
	cmd.Stdin = blocked(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed, and says so
	})
	t.Cleanup(stop)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != word {
		t.Fatalf("%q says %q (%v)", args, line, err)
	}
	return stop
}

// blocked is an input that does not end before the test.
func blocked(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r
}

// servedToken wants a token.
func servedToken(t *testing.T, home string) {
	t.Helper()
	if _, err := dial(t, home).Token(t.Context(), publish, nil); err != nil {
		t.Errorf("a client that asks as it should: %v", err)
	}
}

// patient has clients wait: they take an agent that says nothing for some seconds for one that hangs, and how long one
// takes that serves a crowd depends on the machine.
func patient(t *testing.T) { agent.Impatient(t, time.Minute) }

// settled waits until the agent is about as small as it was before.
func settled(t *testing.T, pid, before int) {
	t.Helper()
	now := residentKB(t, pid)
	for deadline := time.Now().Add(3 * time.Minute); now > before+4<<10; now = residentKB(t, pid) {
		if time.Now().After(deadline) {
			t.Errorf("the agent had %d KiB, and keeps %d", before, now)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%d KiB before, %d after", before, now)
}

// TestSteadyFlood: a program that never stops opening connections pushes out none but its own.
func TestSteadyFlood(t *testing.T) {
	patient(t)
	home, laptop := enrolled(t)
	bin := programs(t)
	start(t, home, bin)
	add(t, home, laptop)
	run(t, home, bin, "flooding\n", "flood")
	for range 50 {
		servedToken(t, home)
	}
}
