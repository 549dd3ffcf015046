// Acknowledging at once, where the system can.

package vpcd

import (
	"net"

	"golang.org/x/sys/unix"
)

// acknowledgeQuickly asks for acknowledgements without delay. The system forgets it, so it is
// asked before every read; where it is refused the connection is merely slower.
func acknowledgeQuickly(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	})
}
