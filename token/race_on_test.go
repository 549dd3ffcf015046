// Whether the race detector is on: it makes a verification some twenty times as dear.

//go:build race

package token

const underRace = true
