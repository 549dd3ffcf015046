// Names of crates: which the registry takes, and which it holds to be the same.

package crate

import (
	"strings"
	"unicode"
)

// maxNameLength is crates.io's limit, in bytes (and characters: names are ASCII).
const maxNameLength = 64

// reservedNames cannot be file or folder names on Windows, where a checkout of such a crate
// would fail. Compared in lower case.
var reservedNames = map[string]bool{
	"aux": true, "con": true, "nul": true, "prn": true,
	"com1": true, "com2": true, "com3": true, "com4": true, "com5": true,
	"com6": true, "com7": true, "com8": true, "com9": true, "com0": true,
	"lpt1": true, "lpt2": true, "lpt3": true, "lpt4": true, "lpt5": true,
	"lpt6": true, "lpt7": true, "lpt8": true, "lpt9": true, "lpt0": true,
}

// CheckName accepts the names that crates.io accepts: 1 to 64 ASCII letters, digits, "-" and
// "_", a letter first, and no Windows device name. Else the error is an [*Error] with code
// [NameInvalid]. A name that passes is safe as a component of a path or URL.
func CheckName(name string) error {
	switch {
	case name == "":
		return refuse(NameInvalid, "the crate has no name: give it one in its Cargo.toml")
	case len(name) > maxNameLength:
		return refuse(NameInvalid, "the crate name %s has %d characters, and the limit is %d: choose a shorter one", quote(name), len(name), maxNameLength)
	case !isLetter(name[0]):
		return refuse(NameInvalid, "the crate name %s does not begin with an ASCII letter: choose one that does", quote(name))
	case reservedNames[strings.ToLower(name)]:
		return refuse(NameInvalid, "the crate name %s is that of a device on Windows, where nobody could unpack it: choose another", quote(name))
	}
	for i := range len(name) {
		if c := name[i]; !isLetter(c) && !isDigit(c) && c != '-' && c != '_' {
			return refuse(NameInvalid, "the crate name %s holds something else than ASCII letters, digits, \"-\" and \"_\": choose another", quote(name))
		}
	}
	return nil
}

// CanonicalName returns the form under which two names collide: lower case, "_" as "-". A
// registry keeps at most one crate for each canonical name, under the spelling first published.
func CanonicalName(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}

// checkDependencyName is wider than [CheckName], for a dependency may live in a registry whose
// rules are other than ours; it follows cargo's own rule for package names.
func checkDependencyName(name string) bool {
	if name == "" || len(name) > 256 || isDigit(name[0]) {
		return false
	}
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
