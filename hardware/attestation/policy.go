// Policies: what a token demands of a person before it signs; and the forms that tokens have.

package attestation

import "fmt"

// A PINPolicy says when a key needs the PIN.
type PINPolicy string

// The PIN policies that this project makes keys with. A key of another tool may have
// [PINMatchOnce] or [PINMatchAlways], for which a token with a fingerprint reader is needed.
const (
	PINOnce        PINPolicy = "once"   // once, until the token is closed
	PINAlways      PINPolicy = "always" // right before each signature
	PINNever       PINPolicy = "never"
	PINMatchOnce   PINPolicy = "match-once"
	PINMatchAlways PINPolicy = "match-always"
)

// ParsePINPolicy reads "once", "always" or "never".
func ParsePINPolicy(text string) (PINPolicy, error) {
	switch p := PINPolicy(text); p {
	case PINOnce, PINAlways, PINNever:
		return p, nil
	}
	return "", fmt.Errorf("unknown PIN policy %.20q: known are once, always and never", text)
}

// A TouchPolicy says when a key needs a finger on the token.
type TouchPolicy string

// The touch policies.
const (
	TouchAlways TouchPolicy = "always" // for each signature
	TouchCached TouchPolicy = "cached" // unless there was a touch within 15 seconds
	TouchNever  TouchPolicy = "never"
)

// ParseTouchPolicy reads "always", "cached" or "never".
func ParseTouchPolicy(text string) (TouchPolicy, error) {
	switch p := TouchPolicy(text); p {
	case TouchAlways, TouchCached, TouchNever:
		return p, nil
	}
	return "", fmt.Errorf("unknown touch policy %.20q: known are always, cached and never", text)
}

// The numbers of the policies in statements and commands.
var (
	pinPolicies   = map[byte]PINPolicy{1: PINNever, 2: PINOnce, 3: PINAlways, 4: PINMatchOnce, 5: PINMatchAlways}
	touchPolicies = map[byte]TouchPolicy{1: TouchNever, 2: TouchAlways, 3: TouchCached}
)

// A FormFactor is a token's outward form, as Yubico numbers them.
type FormFactor uint8

// fipsForm is the bit that says "certified for FIPS 140", beside the form.
const fipsForm = 0x80

// String names the form, such as "USB-C keychain", or is "" where the token doesn't say.
func (f FormFactor) String() string {
	names := [...]string{"", "USB-A keychain", "USB-A nano", "USB-C keychain", "USB-C nano", "USB-C and Lightning keychain"}
	name := fmt.Sprintf("form %#02x", uint8(f))
	if form := int(f &^ fipsForm); form < len(names) {
		name = names[form]
	}
	if f&fipsForm != 0 {
		name += " FIPS"
	}
	return name
}
