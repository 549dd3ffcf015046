// QR codes on a terminal, for a backup that is printed.

package main

import (
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
	"rsc.io/qr"
)

// The light margin around a code, in modules. The standard asks for 4; readers make do with 2, and
// so a backup fits a terminal of 80 columns.
const (
	quietZone      = 4
	quietZoneLeast = 2
)

// Bright white on black, whatever the terminal's own colours are: on a light background the blocks
// alone would be the code's negative, which many readers don't take.
const (
	qrColours  = "\x1b[1;37;40m"
	coloursOff = "\x1b[0m"
)

// printQR draws the text on the terminal, and says so where it does not fit. The text itself is printed
// besides, so a code that can't be drawn is no failure.
func (a *app) printQR(out *os.File, text string) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return // longer than any code
	}
	width, height, err := term.GetSize(int(out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return
	}
	margin := min(quietZone, (width-code.Size)/2)
	if margin < quietZoneLeast {
		a.say("regkey: this terminal has %d columns, and a QR code of the backup takes %d: make it wider, or its letters smaller, to see one", width, code.Size+2*quietZoneLeast)
		return
	}
	coloured := a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb" && runtime.GOOS != "windows"
	drawn := drawQR(code, margin, coloured)
	_, _ = out.WriteString(drawn)
	if lines := strings.Count(drawn, "\n"); lines >= height {
		a.say("regkey: the QR code has %d lines, and this terminal %d: make it higher, or its letters smaller, to see all of it", lines, height)
	}
	if !coloured {
		a.say("regkey: without colours the QR code is drawn for a dark terminal: on a light one it is a negative")
	}
}

// drawQR draws two rows of modules in each line of text. What is light is drawn, and what is dark is
// left to the background.
func drawQR(code *qr.Code, margin int, coloured bool) string {
	light := func(x, y int) bool {
		inside := x >= 0 && y >= 0 && x < code.Size && y < code.Size
		return y < code.Size+margin && !(inside && code.Black(x, y))
	}
	var text strings.Builder
	for y := -margin; y < code.Size+margin; y += 2 {
		if coloured {
			text.WriteString(qrColours)
		}
		for x := -margin; x < code.Size+margin; x++ {
			switch upper, lower := light(x, y), light(x, y+1); {
			case upper && lower:
				text.WriteString("█")
			case upper:
				text.WriteString("▀")
			case lower:
				text.WriteString("▄")
			default:
				text.WriteString(" ")
			}
		}
		if coloured {
			text.WriteString(coloursOff)
		}
		text.WriteString("\n")
	}
	return text.String()
}
