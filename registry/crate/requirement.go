// Version requirements: the form that cargo prints, so that two spellings of one compare equal.

package crate

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/mod/semver"
)

const (
	// maxRequirementLength bounds a requirement in bytes.
	maxRequirementLength = 1024
	// maxComparators is the limit of cargo's parser.
	maxComparators = 32
)

// normalRequirement returns a version requirement as cargo prints it, and cargo reads it back as
// the same: "1" becomes "^1", ">= 1 , < 2" becomes ">=1, <2", "1.x" becomes "1.*", and build
// metadata goes. It takes what cargo's parser takes (The Cargo Book, "Specifying Dependencies").
func normalRequirement(text string) (string, error) {
	if len(text) > maxRequirementLength {
		return "", errors.New("it is too long")
	}
	text = strings.TrimLeft(text, " ")
	if len(text) > 0 && isWildcard(text[0]) {
		if strings.TrimLeft(text[1:], " ") != "" {
			return "", errors.New("a wildcard stands alone")
		}
		return "*", nil
	}
	parts := strings.Split(text, ",")
	if len(parts) > maxComparators {
		return "", errors.New("it has too many parts")
	}
	for i, part := range parts {
		normal, err := normalComparator(strings.Trim(part, " "))
		if err != nil {
			return "", err
		}
		parts[i] = normal
	}
	return strings.Join(parts, ", "), nil
}

// normalComparator does the same for one part between commas, with no space around it.
func normalComparator(text string) (string, error) {
	operator := ""
	for _, o := range []string{">=", "<=", ">", "<", "=", "~", "^"} {
		if strings.HasPrefix(text, o) {
			operator, text = o, strings.TrimLeft(text[len(o):], " ")
			break
		}
	}
	version, _, hasBuild := strings.Cut(text, "+")
	core, pre, hasPre := strings.Cut(version, "-")
	numbers := strings.Split(core, ".")
	if len(numbers) > 3 {
		return "", errors.New("it has more than three numbers")
	}
	known := len(numbers)
	for i, n := range numbers {
		wildcard := len(n) == 1 && isWildcard(n[0])
		switch {
		case wildcard && i == 0:
			return "", errors.New("a wildcard stands alone")
		case wildcard:
			known = min(known, i)
		case known < i:
			return "", errors.New("a number follows a wildcard")
		case !isNumber(n):
			return "", errors.New("it is not made of whole numbers")
		}
	}
	if hasPre || hasBuild {
		if known < 3 || !semver.IsValid("v"+text) {
			return "", errors.New("what follows the numbers is not a pre-release or build of a whole version")
		}
	}
	normal := strings.Join(numbers[:known], ".")
	switch {
	case operator == "" && known < len(numbers):
		return normal + ".*", nil
	case operator == "":
		operator = "^"
	}
	if hasPre {
		normal += "-" + pre
	}
	return operator + normal, nil
}

func isWildcard(c byte) bool { return c == '*' || c == 'x' || c == 'X' }

// isNumber accepts a number as a version has it: below 2^64, no sign, no leading zero.
func isNumber(text string) bool {
	if len(text) > 1 && text[0] == '0' || text == "" || !isDigit(text[0]) {
		return false
	}
	_, err := strconv.ParseUint(text, 10, 64)
	return err == nil
}
