// A process that outlives its starter, on Unix.

//go:build unix

package agent

import "syscall"

// detached has the process in a session of its own: no terminal's signal and no end of a shell
// reaches it.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
