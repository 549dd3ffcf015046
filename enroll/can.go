// What a key may do.

package enroll

import (
	"errors"
	"fmt"
	"strings"
)

// Can is a set of operations.
type Can uint8

const (
	// Manage is changing the keyset: enrolling, rotating and retiring keys.
	Manage Can = 1 << iota
	// Publish is uploading versions.
	Publish
	// Yank is yanking and unyanking.
	Yank
	// Owners is listing, adding and removing a crate's owners.
	Owners
	// Read is reading index, crates and keysets where that needs a token.
	Read
)

// CanEverything is what the first key of an account gets.
const CanEverything = Manage | Publish | Yank | Owners | Read

// CanByDefault is what every later key gets unless its owner says more.
const CanByDefault = Publish | Yank | Read

// canNames are in the order in which they are written.
var canNames = []struct {
	bit  Can
	name string
}{{Manage, "manage"}, {Publish, "publish"}, {Yank, "yank"}, {Owners, "owners"}, {Read, "read"}}

// ParseCan reads a comma-separated list with at least one operation, each once, in the order
// that [Can.String] writes.
func ParseCan(text string) (Can, error) {
	var can Can
	for name := range strings.SplitSeq(text, ",") {
		bit := canBit(name)
		if bit == 0 {
			return 0, fmt.Errorf("unknown operation %.20q: known are %v", name, CanEverything)
		}
		can |= bit
	}
	if can.String() != text {
		return 0, errors.New("operations are listed once each, in the order " + CanEverything.String())
	}
	return can, nil
}

// CanOf is the set of the operations named, in any order: what people type.
func CanOf(names ...string) (Can, error) {
	var can Can
	for _, name := range names {
		bit := canBit(strings.TrimSpace(name))
		if bit == 0 {
			return 0, fmt.Errorf("unknown operation %.20q: known are %v", name, CanEverything)
		}
		can |= bit
	}
	return can, nil
}

func canBit(name string) Can {
	for _, c := range canNames {
		if c.name == name {
			return c.bit
		}
	}
	return 0
}

// Has reports whether every operation of other is in c.
func (c Can) Has(other Can) bool { return c&other == other }

// Names are the operations as words, in their order.
func (c Can) Names() []string {
	names := []string{}
	for _, n := range canNames {
		if c.Has(n.bit) {
			names = append(names, n.name)
		}
	}
	return names
}

// String is the comma-separated list of [Can.Names].
func (c Can) String() string { return strings.Join(c.Names(), ",") }

// CanFor is what a key must be allowed for an operation, in the words of a token: publish, yank, unyank,
// owners or read. 0: there is no such operation.
func CanFor(operation string) Can {
	if operation == "unyank" {
		return Yank
	}
	can := canBit(operation)
	if can == Manage {
		return 0
	}
	return can
}
