//go:build !linux

// Where the worlds of a fault harness are made.

package faults

// Folder is "", which [os.MkdirTemp] takes for the usual folder.
func Folder() string { return "" }
