// Forwarded agents: the keys are on another machine, and whoever rules this one can use them.

package sshkeys

import (
	"context"
	"fmt"
	"net"
	"os"
)

// Forwarded reports whether the agent is one that an SSH connection brought here, and how that was
// found out: whoever is root on this machine can sign with its keys as long as the connection
// stands. Where the system does not tell who listens, a session that came through SSH is taken for
// one with a forwarded agent.
func (a *Agent) Forwarded(ctx context.Context) (forwarded bool, why string) {
	conn, err := a.connect(ctx)
	if err != nil {
		return false, ""
	}
	defer func() { _ = conn.Close() }()
	if unix, ok := conn.(*net.UnixConn); ok {
		if program := listener(unix); program != "" {
			return program == "sshd" || program == "sshd-session", fmt.Sprintf("%s listens at %s", program, a.socket)
		}
	}
	if os.Getenv("SSH_CONNECTION") != "" {
		return true, "this session came through SSH"
	}
	return false, ""
}
