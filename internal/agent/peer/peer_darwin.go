// Peers as macOS tells them: LOCAL_PEERCRED and LOCAL_PEERPID, unix(4).

package peer

import "golang.org/x/sys/unix"

// Of is who is at the other end of the connected socket fd.
func Of(fd uintptr) (Peer, error) {
	c, err := unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return Peer{}, err
	}
	pid, err := unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	if err != nil {
		pid = 0 // it serves only to be shown
	}
	return Peer{UID: int(c.Uid), PID: pid}, nil
}
