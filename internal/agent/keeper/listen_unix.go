// Listening on Unix.

//go:build unix

package keeper

import (
	"fmt"
	"net"
	"os"

	"github.com/cargo-regkey/regkey/internal/agent/peer"
)

// listen makes the socket. The folder around it keeps others out even before its mode does. The
// listener must be open when the socket is removed, so that [stand.ours] can't be deceived.
func (s *stand) listen() error {
	if err := removeStale(s.place.Socket); err != nil {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.place.Socket, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(s.place.Socket, 0o600)
	if err == nil {
		s.socket, err = os.Lstat(s.place.Socket)
	}
	if err != nil {
		_ = l.Close()
		return err
	}
	s.listener = l
	return nil
}

// peerOf is who has connected. Another user is an error: modes can be opened, the kernel's word can't.
func peerOf(conn net.Conn) (peer.Peer, error) {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return peer.Peer{}, err
	}
	var who peer.Peer
	var failed error
	if err := raw.Control(func(fd uintptr) { who, failed = peer.Of(fd) }); err != nil {
		return peer.Peer{}, err
	}
	if failed == nil && who.UID != os.Geteuid() {
		failed = fmt.Errorf("user %d is not this agent's", who.UID)
	}
	return who, failed
}
