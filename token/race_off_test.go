// Whether the race detector is on: here it is not.

//go:build !race

package token

const underRace = false
