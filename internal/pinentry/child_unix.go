// How the program is ended on Unix.

//go:build unix

package pinentry

import (
	"os/exec"
	"syscall"
)

// killAll kills the program, and what it started if it has a process group of its own.
func killAll(cmd *exec.Cmd, group bool) error {
	if !group {
		return cmd.Process.Kill()
	}
	return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
}
