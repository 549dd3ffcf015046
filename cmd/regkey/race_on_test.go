// With the race detector a registry in this process is ten times as slow.

//go:build race

package main

const (
	underRace = true
	sparse    = 307 // one of so many points of the fault harness is run, unless all are asked for
)
