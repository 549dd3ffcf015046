// Peers as Linux tells them: SO_PEERCRED, unix(7).

package peer

import "golang.org/x/sys/unix"

// Of is who is at the other end of the connected socket fd.
func Of(fd uintptr) (Peer, error) {
	c, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Peer{}, err
	}
	return Peer{UID: int(c.Uid), PID: int(c.Pid)}, nil
}
