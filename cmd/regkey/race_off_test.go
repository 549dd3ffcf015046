// Without the race detector every point of the fault harness is run.

//go:build !race

package main

const sparse = 1
