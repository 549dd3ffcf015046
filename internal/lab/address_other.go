//go:build !linux

// An address on loopback that is known before anybody listens there, as well as systems can tell one.

package lab

import "net"

// Reserve returns an address on loopback, 127.0.0.1:PORT, at which nobody listens now. Another
// program may be given it before whoever is told it listens there.
func Reserve() (address string, release func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	return listener.Addr().String(), func() {}, listener.Close()
}
