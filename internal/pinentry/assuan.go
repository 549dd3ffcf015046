// The protocol between a pinentry and whoever started it: lines, and what they say
// (https://www.gnupg.org/documentation/manuals/assuan/Server-responses.html).

package pinentry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	// maxLine is what a line may have, in bytes and without its end (Assuan manual, "Client requests").
	maxLine = 1000
	// maxSecret bounds what a person may have typed, in bytes.
	maxSecret = 4 << 10
	// maxLines bounds an answer: data of maxSecret bytes, all of them escaped, and some remarks.
	maxLines = 64
)

// What a pinentry refuses with: the lower 16 bits of libgpg-error's codes (err-codes.h.in).
const (
	codeTimeout       = 62
	codeCanceled      = 99
	codeNotConfirmed  = 114
	codeFullyCanceled = 198
	codeMask          = 1<<16 - 1
)

// errProtocol says that a pinentry does not keep to the protocol.
var errProtocol = errors.New("it answers something else than a pinentry")

// A refusal is an ERR line. Its text is not repeated, as nobody knows what is in it.
type refusal struct{ code int }

func (e *refusal) Error() string {
	return fmt.Sprintf("it refused, with the code %d of libgpg-error", e.code)
}

// An answers is what a pinentry says, read line by line. Its buffer may have held a secret: see wipe.
type answers struct {
	from   io.Reader
	buffer [2 * (maxLine + 2)]byte
	have   []byte // read, and not dealt with yet; in buffer
}

func (a *answers) wipe() { clear(a.buffer[:]) }

// line is valid until the next call.
func (a *answers) line() ([]byte, error) {
	for {
		if line, rest, found := bytes.Cut(a.have, []byte("\n")); found {
			a.have = rest
			line = bytes.TrimSuffix(line, []byte("\r"))
			if len(line) > maxLine {
				return nil, fmt.Errorf("%w: a line of more than %d bytes", errProtocol, maxLine)
			}
			return line, nil
		}
		if len(a.have) > maxLine+1 {
			return nil, fmt.Errorf("%w: a line of more than %d bytes", errProtocol, maxLine)
		}
		kept := copy(a.buffer[:], a.have)
		n, err := a.from.Read(a.buffer[kept:])
		a.have = a.buffer[:kept+n]
		if n == 0 && err != nil {
			return nil, fmt.Errorf("it went without an answer: %w", err)
		}
	}
}

// next reads one whole answer: lines of data and remarks, which are skipped, as far as OK or ERR. Data
// is appended to into, which must have room for maxSecret bytes. An ERR is a [refusal].
func (a *answers) next(into []byte) ([]byte, error) {
	for range maxLines {
		line, err := a.line()
		if err != nil {
			return into, err
		}
		word, rest, _ := bytes.Cut(line, []byte(" "))
		switch {
		case string(word) == "OK":
			return into, nil
		case string(word) == "ERR":
			return into, refusalOf(rest)
		case string(word) == "D":
			if into, err = unescape(into, rest); err != nil {
				return into, err
			}
		case string(word) == "S", len(line) == 0, line[0] == '#':
		default:
			// INQUIRE among them: we said nothing of which more could be wanted.
			return into, errProtocol
		}
	}
	return into, fmt.Errorf("%w: more than %d lines", errProtocol, maxLines)
}

// refusalOf takes the number that an ERR line begins with.
func refusalOf(rest []byte) error {
	number, _, _ := bytes.Cut(rest, []byte(" "))
	code, err := strconv.ParseUint(string(number), 10, 32)
	if err != nil || code&codeMask == 0 {
		return errProtocol
	}
	return &refusal{int(code & codeMask)}
}

// unescape appends what the rest of a D line says. It never grows into, of which there would be a
// copy then.
func unescape(into, escaped []byte) ([]byte, error) {
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c == '%' {
			if i+2 >= len(escaped) {
				return into, errProtocol
			}
			high, low := nibble(escaped[i+1]), nibble(escaped[i+2])
			if high < 0 || low < 0 {
				return into, errProtocol
			}
			c = byte(high<<4 | low)
			i += 2
		}
		if len(into) == maxSecret {
			return into, fmt.Errorf("what was typed is longer than %d bytes", maxSecret)
		}
		into = append(into, c)
	}
	return into, nil
}

func nibble(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// request is one line for a pinentry: a command and its argument, escaped.
func request(command, argument string) (string, error) {
	var b strings.Builder
	b.WriteString(command)
	if argument != "" {
		b.WriteByte(' ')
	}
	for i := range len(argument) {
		if c := argument[i]; c == '%' || c < ' ' || c == 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	if b.Len() > maxLine {
		return "", fmt.Errorf("the text for %s has more than %d bytes", command, maxLine)
	}
	return b.String() + "\n", nil
}
