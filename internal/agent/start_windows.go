// A process that outlives its starter, on Windows.

package agent

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// detached has the process without a console, so that closing one does not end it.
func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}
