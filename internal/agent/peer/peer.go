// Package peer tells which user and process is at the other end of a Unix socket, as the system
// knows it and nobody can pretend.
package peer

import "errors"

// A Peer is the other end.
type Peer struct {
	UID int // the effective user when it connected, or began to listen
	PID int // 0 where the system does not tell; the process may have ended since
}

// ErrUnknown says that this system does not tell who a peer is.
var ErrUnknown = errors.New("this system does not tell who is at the other end of a socket")
