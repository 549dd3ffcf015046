// Systems that are not known to tell who a peer is.

//go:build !linux && !darwin

package peer

// Of always fails with [ErrUnknown].
func Of(uintptr) (Peer, error) { return Peer{}, ErrUnknown }
