// Without the race detector memory is what it is.

//go:build !race

package agent_test

const underRace = false
