// Windows, where a process gets only what it is meant to get.

package keeper

// CloseInherited has nothing to close.
func CloseInherited() {}
