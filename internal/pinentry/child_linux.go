// How the program is started and ended on Linux.

package pinentry

import "syscall"

const noControl = syscall.O_NOCTTY

// attributes give a program with windows a process group of its own, so that what it starts ends with it;
// one on our terminal has to be in the foreground there. Either is killed when we are.
func attributes(windows bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: windows, Pdeathsig: syscall.SIGKILL}
}
