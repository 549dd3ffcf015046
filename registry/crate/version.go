// Versions: strict Semantic Versioning 2.0.0, and which two versions collide.

package crate

import (
	"strconv"
	"strings"

	"golang.org/x/mod/semver"
)

// maxVersionLength bounds a version in bytes; no version that people write comes near.
const maxVersionLength = 128

// CheckVersion accepts exactly the versions of Semantic Versioning 2.0.0 (no leading "v", all
// three numbers present), with numbers below 2^64, as cargo's own parser demands, and at most 128
// bytes. Else the error is an [*Error] with code [VersionInvalid].
func CheckVersion(version string) error {
	if len(version) > maxVersionLength {
		return refuse(VersionInvalid, "the version %s has %d characters, and the limit is %d: choose a shorter one", quote(version), len(version), maxVersionLength)
	}
	text := "v" + version
	// The library also takes "v1" and "v1.2" and completes them: what it had to complete is refused.
	if !semver.IsValid(text) || semver.Canonical(text)+semver.Build(text) != text {
		return refuse(VersionInvalid, "the version %s is not of the form MAJOR.MINOR.PATCH[-PRE][+BUILD]: choose one that is (https://semver.org)", quote(version))
	}
	core, _, _ := strings.Cut(VersionKey(version), "-")
	for number := range strings.SplitSeq(core, ".") {
		if _, err := strconv.ParseUint(number, 10, 64); err != nil {
			return refuse(VersionInvalid, "the version %s has a number of 2^64 or more, which cargo cannot read: choose a smaller one", quote(version))
		}
	}
	return nil
}

// VersionKey returns the version without its build metadata. Two versions of a crate with the
// same key have the same precedence, so that cargo could not choose between them: a registry
// takes only one.
func VersionKey(version string) string {
	key, _, _ := strings.Cut(version, "+")
	return key
}

// CompareVersions orders two versions that passed [CheckVersion] by precedence: -1, 0 or 1. Build
// metadata has no part in it.
func CompareVersions(a, b string) int {
	return semver.Compare("v"+a, "v"+b)
}
