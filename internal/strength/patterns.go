// What people make passphrases of: rows of keys, words, repetitions, and the usual ones.

package strength

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// rows are what fingers and heads run along, in both directions.
var rows = []string{
	"abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm",
	"1qaz2wsx3edc4rfv", "qazwsxedcrfv",
}

func inRow(run string) bool {
	backwards := []byte(run)
	slices.Reverse(backwards)
	return slices.ContainsFunc(rows, func(row string) bool {
		return strings.Contains(row, run) || strings.Contains(row, string(backwards))
	})
}

// common are beginnings of the lists that guessing starts with, without what is added behind them.
const common = " password passwort passphrase passwd pass letmein welcome admin administrator root user login master secret " +
	"changeme default iloveyou monkey dragon football baseball superman batman princess sunshine shadow qwerty qwertz azerty " +
	"trustno test testing guest hello computer internet correcthorsebatterystaple opensesame abc starwars pokemon whatever " +
	"freedom cargo crates rust rustacean ferris regkey "

// isCommon looks past digits and signs at both ends, signs between, and digits in the place of letters.
func isCommon(plain string) bool {
	for _, text := range []string{plain, unleet(plain)} {
		core := strings.TrimFunc(text, func(r rune) bool { return !unicode.IsLetter(r) })
		core = strings.Map(func(r rune) rune {
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
				return -1
			}
			return r
		}, core)
		// Long additions are worth something, whatever they stand beside.
		if core != "" && len(plain)-len(core) <= 8 && strings.Contains(common, " "+core+" ") {
			return true
		}
	}
	return false
}

// unleet puts letters in the place of the signs that look like them.
func unleet(plain string) string {
	return strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i").Replace(plain)
}

// period is the shortest text of which text is a repetition, and how often.
func period(text string) (unit string, times int) {
	for length := 1; length <= len(text)/2; length++ {
		if len(text)%length == 0 && strings.Repeat(text[:length], len(text)/length) == text {
			return text[:length], len(text) / length
		}
	}
	return text, 1
}

// runs are the longest parts of text that are of one kind: letters, digits, or others.
func runs(text string) (parts []string) {
	kind := func(r rune) int {
		switch {
		case unicode.IsLetter(r):
			return 0
		case unicode.IsDigit(r):
			return 1
		}
		return 2
	}
	for start := 0; start < len(text); {
		first, _ := utf8.DecodeRuneInString(text[start:])
		length := strings.IndexFunc(text[start:], func(r rune) bool { return kind(r) != kind(first) })
		if length < 0 {
			length = len(text) - start
		}
		parts = append(parts, text[start:start+length])
		start += length
	}
	return parts
}

// isWordLike tells what can be spoken from letters drawn by lot: it has vowels enough, and nowhere
// many consonants in a row. Letters beyond a-z count as vowels; scripts that are not Latin, of which
// nothing is known here, are taken for letters drawn by lot.
func isWordLike(run string) bool {
	letters, vowels, consonants := 0, 0, 0
	for _, r := range run {
		letters++
		if !unicode.Is(unicode.Latin, r) {
			return false
		}
		if r > unicode.MaxASCII || strings.ContainsRune("aeiouy", r) {
			vowels++
			consonants = 0
			continue
		}
		if consonants++; consonants > 4 {
			return false
		}
	}
	return letters >= 3 && vowels*5 >= letters
}
