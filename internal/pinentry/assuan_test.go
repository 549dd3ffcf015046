// What a pinentry says, as bytes.

package pinentry

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

// FuzzAnswers: whatever a pinentry says, it ends, stays within its limits, and what is taken for an
// answer is one that could be said again.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		"OK\n", "OK Pleased\nD x\nOK\n", "D a%25b\r\nOK\r\n", "S STATUS\n# no\nD 1\nD 2\nOK\n", "ERR 83886179 cancelled\n", "INQUIRE X\n",
		"D %\nOK\n", "D " + strings.Repeat("x", maxLine) + "\n", strings.Repeat("S\n", maxLines+1), "ERR 65536\n", "\n\nOK", "D", "OK\nOK\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		whole, parts := &answers{from: bytes.NewReader(said)}, &answers{from: iotest.OneByteReader(bytes.NewReader(said))}
		for {
			got, err := whole.next(make([]byte, 0, maxSecret))
			again, other := parts.next(make([]byte, 0, maxSecret))
			if !bytes.Equal(got, again) || (err == nil) != (other == nil) {
				t.Fatalf("read at once it says %q, %v; by bytes %q, %v", got, err, again, other)
			}
			if len(got) > maxSecret {
				t.Fatalf("an answer of %d bytes", len(got))
			}
			var refused *refusal
			if errors.As(err, &refused) {
				if refused.code == 0 {
					t.Fatal("a refusal without a code")
				}
				continue
			}
			if err != nil {
				return
			}
			sayAgain(t, got)
		}
	})
}

// sayAgain says the same as a pinentry would.
func sayAgain(t *testing.T, data []byte) {
	t.Helper()
	var lines strings.Builder
	for chunk := data; len(chunk) > 0; {
		n := min(len(chunk), maxLine/3-2)
		line, err := request("D", string(chunk[:n]))
		if err != nil {
			t.Fatal(err)
		}
		lines.WriteString(line)
		chunk = chunk[n:]
	}
	lines.WriteString("OK\n")
	got, err := (&answers{from: strings.NewReader(lines.String())}).next(make([]byte, 0, maxSecret))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%q said again is %q: %v", data, got, err)
	}
}

func TestRequests(t *testing.T) {
	for text, want := range map[string]string{
		"":                 "SETDESC\n",
		"plain":            "SETDESC plain\n",
		"100%":             "SETDESC 100%25\n",
		"two\nlines\r":     "SETDESC two%0Alines%0D\n",
		"\x00\x1b[2Jé\x7f": "SETDESC %00%1B[2Jé%7F\n",
	} {
		if got, err := request("SETDESC", text); got != want || err != nil {
			t.Errorf("%q becomes %q, %v instead of %q", text, got, err, want)
		}
	}
}

func TestBufferIsWiped(t *testing.T) {
	a := &answers{from: strings.NewReader("D correct horse\nOK\n")}
	if _, err := a.next(make([]byte, 0, maxSecret)); err != nil || !bytes.Contains(a.buffer[:], []byte("horse")) {
		t.Fatalf("the buffer is not where answers are: %v", err)
	}
	a.wipe()
	if !bytes.Equal(a.buffer[:], make([]byte, len(a.buffer))) {
		t.Error("something is left in the buffer")
	}
}
