// Package hardware makes PIV tokens, such as YubiKeys, sign: keys are made on the token, stay
// there, and are used through [Token.Signer]. [List] tells which tokens are plugged in, [Open] takes
// one of them for this program alone until [Token.Close].
//
// # What goes over the wire
//
// A token takes some milliseconds for each command (APDU). Opening it, one signature with a key
// of PIN policy once, and closing it are eight for P-384 on firmware 5.3 or later, and none can go:
//
//	SELECT PIV              the token listens to no PIV command before
//	GET VERSION             how everything after has to be said; the library asks in any case
//	GET SERIAL              that this is the token of the key's record
//	GET METADATA            that the slot still holds the key of the record, and what it demands
//	VERIFY, empty           how many tries the PIN has left, before one is spent
//	VERIFY, PIN
//	GENERAL AUTHENTICATE    the signature; for Ed25519 one more for each further 255 bytes
//	SELECT management       ends the PIN's security status, which would outlive the program
//
// A key of PIN policy never needs neither VERIFY nor the last SELECT. A second signature while the token
// is open takes GET METADATA and GENERAL AUTHENTICATE, and under policy always, between them, the PIN's tries and VERIFY again.
// Before firmware 5.3 there is no metadata, and ATTEST tells the slot's key: a certificate, in three or four parts. Before
// firmware 5 the serial number takes three commands, as another applet tells it.
//
// # Who may use the token
//
// A token serves one program at a time. Programs of this project wait for each other for up to a minute; others are waited for two seconds, after which [BusyError] names who may be in the way.
//
// A program that keeps a token's PIN while others use the token has [Token.Gone] tell when that was pulled.
//
// Without cgo (Windows needs none) the package builds, [Built] is false, and everything fails with [ErrNotBuilt].
package hardware

import "github.com/cargo-regkey/regkey/hardware/attestation"

// What tokens and attestations have in common is defined where it can be had without cgo.
type (
	// Version is that of a token's firmware.
	Version = attestation.Version
	// Slot is the place of one key on a token.
	Slot = attestation.Slot
	// PINPolicy says when a key needs the PIN.
	PINPolicy = attestation.PINPolicy
	// TouchPolicy says when a key needs a finger on the token.
	TouchPolicy = attestation.TouchPolicy
	// FormFactor is a token's outward form.
	FormFactor = attestation.FormFactor
)

// The policies of keys that this package makes.
const (
	PINOnce     = attestation.PINOnce
	PINAlways   = attestation.PINAlways
	PINNever    = attestation.PINNever
	TouchAlways = attestation.TouchAlways
	TouchCached = attestation.TouchCached
	TouchNever  = attestation.TouchNever
)

// ParseVersion reads a firmware version, such as "5.7.4".
func ParseVersion(text string) (Version, error) { return attestation.ParseVersion(text) }

// ParseSlot reads a slot's number, such as "9a".
func ParseSlot(text string) (Slot, error) { return attestation.ParseSlot(text) }

// ParsePINPolicy reads "once", "always" or "never".
func ParsePINPolicy(text string) (PINPolicy, error) { return attestation.ParsePINPolicy(text) }

// ParseTouchPolicy reads "always", "cached" or "never".
func ParseTouchPolicy(text string) (TouchPolicy, error) { return attestation.ParseTouchPolicy(text) }
