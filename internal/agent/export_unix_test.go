// What the tests of this package see of its inside on Unix.

//go:build unix

package agent

// MaxSocket is the longest path of a socket.
const MaxSocket = maxSocket
