// Slots: the places on a token that hold one key each.

package attestation

import (
	"errors"
	"fmt"
	"strconv"
)

// A Slot is the place of a key on a token (SP 800-73-4, part 1, table 4b): 9a, 9c, 9d or 9e,
// or one of the "retired" 82 to 95, which are ordinary places but for their name. The zero value is no slot.
type Slot uint8

// The slots with a purpose of their own. A token keeps to the purpose only in the policies
// that it would choose itself.
const (
	SlotAuthentication     Slot = 0x9a
	SlotSignature          Slot = 0x9c
	SlotKeyManagement      Slot = 0x9d
	SlotCardAuthentication Slot = 0x9e

	firstRetired Slot = 0x82
	lastRetired  Slot = 0x95
)

// Slots are all 24, in the order in which a free one is looked for: 9a, 82 to 95, then those
// that other programs are likelier to want.
func Slots() []Slot {
	slots := []Slot{SlotAuthentication}
	for s := firstRetired; s <= lastRetired; s++ {
		slots = append(slots, s)
	}
	return append(slots, SlotSignature, SlotKeyManagement, SlotCardAuthentication)
}

// ParseSlot reads two hexadecimal digits, such as "9a". It accepts exactly what [Slot.String]
// returns for a slot that there is.
func ParseSlot(text string) (Slot, error) {
	n, err := strconv.ParseUint(text, 16, 8)
	if s := Slot(n); err == nil && s.Valid() && s.String() == text {
		return s, nil
	}
	return 0, fmt.Errorf("no slot %.20q: there are 9a, 9c, 9d, 9e and 82 to 95", text)
}

// Valid reports whether there is such a slot.
func (s Slot) Valid() bool {
	return s >= firstRetired && s <= lastRetired || s == SlotAuthentication || s >= SlotSignature && s <= SlotCardAuthentication
}

// String is the slot's number in hexadecimal digits.
func (s Slot) String() string { return fmt.Sprintf("%02x", uint8(s)) }

// MarshalText is [Slot.String] for encoders. A slot that there isn't is an error.
func (s Slot) MarshalText() ([]byte, error) {
	if !s.Valid() {
		return nil, errors.New("encoding slot: there is none")
	}
	return []byte(s.String()), nil
}

// UnmarshalText is [ParseSlot] for decoders.
func (s *Slot) UnmarshalText(text []byte) error {
	parsed, err := ParseSlot(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}
