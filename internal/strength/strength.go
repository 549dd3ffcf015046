// Package strength judges new passphrases, and suggests good ones.
//
// The estimate is rough, and ours, on purpose. The library that does this well, zxcvbn, has 18 MB of
// word lists to unpack in 60 ms before a program's first line runs (measured with
// github.com/nbutton23/zxcvbn-go), at each start of every program that links it. What matters here is
// to notice what people do who want to be done: one word, a name with a year, a row of the keyboard.
package strength

import (
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cargo-regkey/regkey/keys"
)

// enough is how many bits make a passphrase good: with 2^45 tries, of which each costs a thief of the
// file a second and 256 MiB of scrypt, a thousand machines are busy for a thousand years. Four words
// drawn by lot have some 50.
const enough = 45.0

// wordBits is what a word is worth that a person picks: one of 8,000.
const wordBits = 13.0

// Judge says in a clause what makes the passphrase weak, such as "it is made of too few words"; empty
// if nothing does. A passphrase that contains one of the names, such as that of the key or of the user,
// is worth less by that. The clause repeats nothing of the passphrase. It is a reason to
// warn, not to refuse: how a passphrase came about can't be told from its looks.
func Judge(passphrase keys.Secret, names ...string) (weakness string) {
	text := string(passphrase.Reveal())
	if text == "" {
		return "it is empty"
	}
	plain := strings.ToLower(text)
	if isCommon(plain) {
		return "it is one of those that are tried first"
	}
	bits, kinds := estimate(plain)
	if spoken := unleet(plain); spoken != plain {
		if b, k := estimate(spoken); b+2 < bits { // "p4ssw0rd" is "password", and everybody knows
			bits, kinds = b+2, k
		}
	}
	named := false
	for _, name := range names {
		if name = strings.ToLower(name); len(name) >= 3 && strings.Contains(plain, name) {
			rest, _ := estimate(strings.ReplaceAll(plain, name, ""))
			bits, named = math.Min(bits, rest+3), true
		}
	}
	if strings.IndexFunc(text, unicode.IsUpper) >= 0 {
		bits++ // a capital somewhere, mostly at the start
	}
	switch length := utf8.RuneCountInString(text); {
	case bits >= enough:
		return ""
	case named:
		return "it contains a name that can be read beside the key"
	case length < 8:
		return fmt.Sprintf("it has only %d characters", length)
	case kinds.repeated:
		return "it repeats itself"
	case kinds.rows:
		return "it follows the keyboard, the alphabet or the numbers"
	case kinds.words > 0:
		return "it is made of too few words"
	case kinds.digits:
		return "it is mostly digits"
	}
	return "it is short"
}

// kinds are what an estimate found in a text.
type kinds struct {
	repeated, rows, digits bool
	words                  int
}

// estimate is the binary logarithm of how many tries a text takes whose kind is known.
func estimate(text string) (bits float64, found kinds) {
	if unit, times := period(text); times > 1 {
		bits, found = estimate(unit)
		found.repeated = true
		return bits + math.Log2(float64(times)), found
	}
	separators := map[string]bool{}
	for _, run := range runs(text) {
		first, _ := utf8.DecodeRuneInString(run)
		length := float64(utf8.RuneCountInString(run))
		switch {
		case len(run) >= 3 && inRow(run):
			found.rows = true
			bits += 3 + math.Log2(length)
		case unicode.IsLetter(first) && isWordLike(run):
			words := math.Max(1, math.Round(length/6))
			found.words += int(words)
			bits += math.Min(words*wordBits, length*letterBits)
		case unicode.IsLetter(first):
			bits += length * letterBits
		case unicode.IsDigit(first):
			found.digits = true
			bits += digitRunBits(run)
		case !separators[run]: // the same between all words is chosen once
			separators[run] = true
			bits += length * 4
		}
	}
	return bits, found
}

const letterBits = 4.7 // log2 26

// digitRunBits takes four digits for a year if they look like one, and six or eight for a date.
func digitRunBits(run string) float64 {
	switch {
	case len(run) == 4 && (strings.HasPrefix(run, "19") || strings.HasPrefix(run, "20")):
		return 7
	case len(run) == 6 || len(run) == 8:
		return 15
	}
	if _, times := period(run); times > 1 {
		return 4 + math.Log2(float64(times))
	}
	return float64(len(run)) * 3.3
}
