// Who listens on a socket, as Linux tells.

package sshkeys

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// listener is the name of the program that listens at the other end; "" if that can't be found out. The
// system remembers who began to listen (socket(7), SO_PEERCRED): with ssh-agent that is a process
// which has put itself into the background since and ended, while that of an SSH server lives as
// long as its connection.
func listener(conn *net.UnixConn) string {
	raw, err := conn.SyscallConn()
	if err != nil {
		return ""
	}
	var peer *unix.Ucred
	if err := raw.Control(func(fd uintptr) {
		peer, _ = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || peer == nil || peer.Pid <= 0 {
		return ""
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", peer.Pid))
	if errors.Is(err, fs.ErrNotExist) {
		return "a program in the background"
	}
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}
