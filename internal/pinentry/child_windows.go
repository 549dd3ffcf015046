// How the program is started and ended on Windows.

package pinentry

import (
	"os/exec"
	"syscall"
)

const noControl = 0

func attributes(bool) *syscall.SysProcAttr { return nil }

func killAll(cmd *exec.Cmd, _ bool) error { return cmd.Process.Kill() }
