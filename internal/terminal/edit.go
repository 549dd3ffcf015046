// What a person meant by the bytes that a terminal sent.

package terminal

import (
	"bytes"
	"unicode/utf8"
)

// What a terminal sends around text that was pasted, if a program before us asked for that
// (https://invisible-island.net/xterm/xterm-paste64.html).
const pasteBegins, pasteEnds = "\x1b[200~", "\x1b[201~"

// edited is line, changed in place, as it was meant; false if it holds keys that type nothing. The
// terminal itself has done the editing, but knows only one of the two codes that backspaces send.
func edited(line []byte) ([]byte, bool) {
	line = bytes.TrimSuffix(bytes.TrimPrefix(line, []byte(pasteBegins)), []byte(pasteEnds))
	kept := line[:0]
	for _, c := range line {
		switch {
		case c == '\b' || c == 0x7f:
			_, size := utf8.DecodeLastRune(kept)
			kept = kept[:len(kept)-size]
		case c < ' ' && c != '\t':
			return nil, false
		default:
			kept = append(kept, c)
		}
	}
	return kept, true
}
