// A backup on a terminal: what it shows is what a reader of QR codes reads.

package main

import (
	"image"
	"image/color"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
	"rsc.io/qr"
)

// A theme is what a terminal's own colours are: those of letters, and of what lies behind them.
type theme struct{ letters, ground color.Gray }

var (
	dark   = theme{color.Gray{Y: 255}, color.Gray{Y: 0}}
	bright = theme{color.Gray{Y: 0}, color.Gray{Y: 255}}
)

// photograph is what a camera sees of the block drawings on a terminal with that theme, and of so much of the
// ground around them. Each half of a character is a square of some pixels.
func photograph(t *testing.T, screen string, own theme, around int) image.Image {
	t.Helper()
	const pixels = 4
	var rows [][]color.Gray
	width := 0
	for line := range strings.Lines(strings.ReplaceAll(screen, "\r", "")) {
		if !strings.ContainsAny(line, "█▀▄") {
			continue
		}
		now := own
		if text, coloured := strings.CutPrefix(line, qrColours); coloured {
			line, now = strings.Replace(text, coloursOff, "", 1), dark
		}
		var upper, lower []color.Gray
		for _, r := range strings.TrimRight(line, "\n") {
			up, down := now.ground, now.ground
			switch r {
			case '█':
				up, down = now.letters, now.letters
			case '▀':
				up = now.letters
			case '▄':
				down = now.letters
			case ' ':
			default:
				t.Fatalf("%q is no part of the drawing: %q", r, line)
			}
			upper, lower = append(upper, up), append(lower, down)
		}
		rows, width = append(rows, upper, lower), max(width, len(upper))
	}
	rows = rows[:min(len(rows), width)] // a character has two halves, and a code an odd number of modules
	picture := image.NewGray(image.Rect(0, 0, (width+2*around)*pixels, (len(rows)+2*around)*pixels))
	for y := range picture.Rect.Dy() {
		for x := range picture.Rect.Dx() {
			c := own.ground
			if row, column := y/pixels-around, x/pixels-around; row >= 0 && row < len(rows) && column >= 0 && column < len(rows[row]) {
				c = rows[row][column]
			}
			picture.SetGray(x, y, c)
		}
	}
	return picture
}

// scan reads the QR code on the screen; it does not try the negative. The reader looks for the code's corners, and
// takes something else for one in three of a hundred codes; then it is shown the drawing alone.
func scan(t *testing.T, screen string, own theme) (string, error) {
	t.Helper()
	text, err := scanPicture(photograph(t, screen, own, 4), nil)
	if err != nil {
		alone := map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true}
		text, err = scanPicture(photograph(t, screen, own, 0), alone)
	}
	return text, err
}

func scanPicture(picture image.Image, hints map[gozxing.DecodeHintType]any) (string, error) {
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		return "", err
	}
	result, err := qrcode.NewQRCodeReader().Decode(bitmap, hints)
	if err != nil {
		return "", err
	}
	return result.GetText(), nil
}

func TestDrawnQRIsRead(t *testing.T) {
	text := "-----BEGIN AGE ENCRYPTED FILE-----\n" + strings.Repeat("YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCB0TklWNjVQbDdvbXZXd013\n", 9) + "-----END AGE ENCRYPTED FILE-----\n"
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		coloured bool
		own      theme
		readable bool
	}{
		"dark":                    {true, dark, true},
		"bright":                  {true, bright, true},
		"dark, without colours":   {false, dark, true},
		"bright, without colours": {false, bright, false}, // which is why there are colours
	} {
		for _, margin := range []int{quietZoneLeast, quietZone} {
			got, err := scan(t, drawQR(code, margin, test.coloured), test.own)
			if test.readable && got != text {
				t.Errorf("%s, margin %d: read %q, %v", name, margin, got, err)
			}
			if !test.readable && got == text {
				t.Errorf("%s: the negative is read as well: this test shows nothing", name)
			}
		}
	}
}
