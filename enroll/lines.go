// The line grammar that keysets and revocations share.

package enroll

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
)

// lines walks over "name: value" lines; nothing in it repairs or skips.
type lines struct{ rest []string }

// splitLines checks size, bytes and header, and gives the lines after the header.
func splitLines(text []byte, header string) (*lines, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("longer than %d bytes", maxText)
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		return nil, errors.New("the last line has no end")
	}
	for _, c := range text {
		if c != '\n' && (c < ' ' || c > '~') {
			return nil, errors.New("a byte that is not printable ASCII")
		}
	}
	all := strings.Split(string(text[:len(text)-1]), "\n")
	if all[0] != header {
		return nil, fmt.Errorf("the first line is not %q", header)
	}
	return &lines{all[1:]}, nil
}

// next reports whether the next line has that name.
func (l *lines) next(name string) bool {
	if len(l.rest) == 0 {
		return false
	}
	after, found := strings.CutPrefix(l.rest[0], name)
	return found && strings.HasPrefix(after, ": ")
}

// field is the value of the next line, which must have that name.
func (l *lines) field(name string) (string, error) {
	if !l.next(name) {
		return "", fmt.Errorf("the %s line is missing or out of order", name)
	}
	value := l.rest[0][len(name)+2:]
	l.rest = l.rest[1:]
	return value, nil
}

// index is the value of the registry line.
func (l *lines) index() (string, error) {
	value, err := l.field("registry")
	if err != nil {
		return "", err
	}
	return value, CheckIndex(value)
}

// end refuses lines that nobody asked for.
func (l *lines) end() error {
	if len(l.rest) > 0 {
		return fmt.Errorf("unknown or misplaced line %.40q", l.rest[0])
	}
	return nil
}

// parseTime takes both results of field, so that a missing line is reported as missing. Its callers
// encode again what they have read, which refuses what else time.Parse may be lenient about.
func parseTime(value string, err error) (time.Time, error) {
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(timeLayout, value)
	if err != nil || len(value) != len(timeLayout) {
		return time.Time{}, fmt.Errorf("time %.40q is not in whole seconds, UTC, like %s", value, timeLayout)
	}
	return t, nil
}

// CheckAccount refuses names that are not 1 to 64 of a-z, 0-9 and "-".
func CheckAccount(name string) error {
	if name == "" || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("account name %.80q is not 1 to 64 of a-z, 0-9 and -", name)
	}
	return nil
}

// CheckIndex refuses index URLs that no document can hold: up to 512 printable ASCII bytes
// without spaces or quotes, beginning with a scheme that cargo fetches an index by.
func CheckIndex(url string) error {
	rest := strings.TrimPrefix(url, "sparse+")
	if !strings.HasPrefix(rest, "https://") && !strings.HasPrefix(rest, "http://") {
		return fmt.Errorf("index URL %.80q does not begin with sparse+https://", url)
	}
	if len(url) > maxIndex {
		return fmt.Errorf("index URL of %d bytes: at most %d", len(url), maxIndex)
	}
	for _, c := range []byte(url) {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return fmt.Errorf("index URL %.80q holds a byte that belongs in no URL", url)
		}
	}
	return nil
}
