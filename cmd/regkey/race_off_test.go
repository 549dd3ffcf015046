// Without the race detector the fault harness has time for more.

//go:build !race

package main

const (
	underRace = false
	sparse    = 7 // one of so many points of the fault harness is run, unless all are asked for
)
