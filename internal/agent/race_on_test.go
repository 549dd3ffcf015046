// With the race detector memory is measured for nothing: it keeps its own account of every byte.

//go:build race

package agent_test

const underRace = true
