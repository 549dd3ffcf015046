// An address on loopback that is known before anybody listens there, and between two who do.

package lab

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Reserve returns an address on loopback, 127.0.0.1:PORT, at which whoever is told it can listen, one
// after the other. Until release is called the system gives that port to nobody who asks for any,
// and while nobody listens there connections are refused.
func Reserve() (address string, release func(), err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("reserving an address: %w", err)
	}
	release = func() { _ = unix.Close(fd) }
	// A socket that is bound and does not listen is in the way of none that is bound after it, if both
	// are to share the address, as those of net.Listen are (ip(7) and socket(7), SO_REUSEADDR).
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
	)
	var bound unix.Sockaddr
	if err == nil {
		bound, err = unix.Getsockname(fd)
	}
	if err != nil {
		release()
		return "", nil, fmt.Errorf("reserving an address: %w", err)
	}
	return fmt.Sprintf("127.0.0.1:%d", bound.(*unix.SockaddrInet4).Port), release, nil
}
