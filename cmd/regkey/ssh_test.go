// The real ssh-agent, for scripts.

package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// sshAgents are what ends the agents of the scripts that run, side by side.
var sshAgents sync.Map

// ssh-agent starts the real one until the script ends, and sets $SSH_AUTH_SOCK. "ssh-agent stop" ends it.
func startSSHAgent(ts *testscript.TestScript, _ bool, args []string) {
	if slices.Equal(args, []string{"stop"}) {
		stop, ok := sshAgents.Load(ts)
		if !ok {
			ts.Fatalf("no ssh-agent runs")
		}
		stop.(func())()
		return
	}
	dir, err := os.MkdirTemp("", "agent") // a short path, as sockets want
	ts.Check(err)
	socket := filepath.Join(dir, "socket")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	ts.Check(cmd.Start())
	stop := sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	})
	ts.Defer(stop)
	sshAgents.Store(ts, stop)
	for until := time.Now().Add(3 * time.Minute); ; {
		if conn, err := net.Dial("unix", socket); err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(until) {
			ts.Fatalf("the ssh-agent does not listen")
		}
		time.Sleep(5 * time.Millisecond)
	}
	ts.Setenv("SSH_AUTH_SOCK", socket)
}
