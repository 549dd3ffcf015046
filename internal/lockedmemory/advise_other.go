// Systems whose pages can only be locked.

//go:build unix && !linux

package lockedmemory

func advise([]byte) {}
