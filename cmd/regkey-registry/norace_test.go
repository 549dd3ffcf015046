// Whether the race detector, and so its memory, is there.

//go:build !race

package main

const raceEnabled = false
