// What a person meant.

package terminal

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEdited(t *testing.T) {
	for _, test := range []struct {
		typed, meant string
		ok           bool
	}{
		{"", "", true},
		{"correct horse", "correct horse", true},
		{"a tab\there", "a tab\there", true},
		{"correctt\b horse", "correct horse", true},
		{"correctt\x7f horse", "correct horse", true},
		{"häß\b\be", "he", true},
		{"\b\b\bx", "x", true},
		{"\xffx\b", "\xff", true},
		{"\x1b[200~pasted\x1b[201~", "pasted", true},
		{"left\x1b[D", "", false},
		{"\x01", "", false},
	} {
		meant, ok := edited([]byte(test.typed))
		if string(meant) != test.meant || ok != test.ok {
			t.Errorf("%q was meant as %q, %t instead of %q, %t", test.typed, meant, ok, test.meant, test.ok)
		}
	}
}

func FuzzEdited(f *testing.F) {
	for _, seed := range []string{"x", "a\bb", "é\x7f\x7f", pasteBegins + "p" + pasteEnds, "\x1b[A"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, typed []byte) {
		before := string(typed)
		meant, ok := edited(typed)
		if !ok {
			return
		}
		if strings.ContainsAny(string(meant), "\b\x7f\x1b\r\n\x03\x00") || len(meant) > len(before) {
			t.Errorf("%q was meant as %q", before, meant)
		}
		if utf8.ValidString(before) && !utf8.Valid(meant) {
			t.Errorf("a letter of %q was cut in two: %q", before, meant)
		}
	})
}
