// Refusals: a code for programs and a sentence for the person at cargo.

package token

import (
	"fmt"
	"strings"
	"time"
)

// A Code names the rule that a token broke. Codes are part of the protocol: their texts do not change.
type Code string

// The codes, in the order in which the rules are checked.
const (
	CodeMissing          Code = "token-missing"         // no Authorization header
	CodeMalformed        Code = "token-malformed"       // not a token, or one with claims that do not fit together
	CodeAlgorithm        Code = "token-algorithm"       // a format that this registry does not take
	CodeKeyUnknown       Code = "key-unknown"           // the registry has no such key
	CodeKeyRevoked       Code = "key-revoked"           // ended by a revocation
	CodeKeyExpired       Code = "key-expired"           // past its until
	CodeKeyNotAllowed    Code = "key-not-allowed"       // not for this operation or crate
	CodeSignature        Code = "signature-invalid"     // does not verify with the key on file
	CodeWrongRegistry    Code = "token-wrong-registry"  // signed for another index URL
	CodeExpired          Code = "token-expired"         // signed longer ago than the window
	CodeReplayed         Code = "token-replayed"        // a mutation token that was used before
	CodeNotYetValid      Code = "token-not-yet-valid"   // signed in the future
	CodeWrongSubject     Code = "token-wrong-subject"   // sub differs from the one on file
	CodeVersion          Code = "token-version"         // v is neither absent nor 1
	CodeWrongOperation   Code = "token-wrong-operation" // signed for another operation than asked
	CodeChallengeMissing Code = "challenge-missing"     // the registry asks for one
	CodeChallengeInvalid Code = "challenge-invalid"     // not issued here, spent or expired
	CodeWrongCrate       Code = "token-wrong-crate"     // name differs from the request
	CodeWrongVersion     Code = "token-wrong-version"   // vers differs from the request
	CodeWrongChecksum    Code = "token-wrong-checksum"  // cksum differs from the file sent
)

// An Error is a refusal: the token is at fault, and not the registry.
type Error struct {
	Code Code
	// Detail is a sentence for the person at cargo: what happened and what to do. It holds
	// nothing that is secret. Texts out of the token are quoted and cut.
	Detail string
	// Used is set with CodeReplayed alone.
	Used *Used
}

// Used says which token was presented again, so that a registry can look up what its first use did.
type Used struct {
	ReplayKey [32]byte // that of [Grant.ReplayKey] at the first use
	Account   string
	Claims    Claims
}

// Error is the Detail.
func (e *Error) Error() string { return e.Detail }

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

func malformed(err error) *Error {
	return refuse(CodeMalformed, "the Authorization header is not a token that this registry can read: %v; "+
		"check that cargo's credential provider for this registry makes tokens as in RFC 3231", err)
}

// duration writes whole seconds the way people do: 5m, 7m12s, 1h.
func duration(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
