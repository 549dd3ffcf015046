// Reading the two JSON objects of a token: strict, and without reflection, as every request pays for it.

package token

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cargo-regkey/regkey/keys"
)

// errShape says what every object of a token must be.
var errShape = errors.New("not one JSON object with each name once")

// decoders are reused: the tables in which they look for repeated names are expensive to make.
var decoders = sync.Pool{New: func() any { return jsontext.NewDecoder(&bytes.Buffer{}) }}

// decodeObject calls member for each member of the JSON object that text is, to take the
// value from d. Text behind the object, a name that occurs twice (also deeper down) and
// invalid UTF-8 are refused.
func decodeObject(text []byte, member func(name string, d *jsontext.Decoder) error) error {
	d := decoders.Get().(*jsontext.Decoder)
	defer decoders.Put(d)
	d.Reset(bytes.NewBuffer(text))
	if err := readObject(d, member); err != nil {
		return err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return errShape
	}
	return nil
}

// readObject is decodeObject for the next value of d.
func readObject(d *jsontext.Decoder, member func(name string, d *jsontext.Decoder) error) error {
	if begin, err := d.ReadToken(); err != nil || begin.Kind() != jsontext.KindBeginObject {
		return errShape
	}
	for d.PeekKind() == jsontext.KindString {
		name, err := d.ReadToken()
		if err != nil {
			return errShape
		}
		if err := member(name.String(), d); err != nil {
			return err
		}
	}
	if end, err := d.ReadToken(); err != nil || end.Kind() != jsontext.KindEndObject {
		return errShape
	}
	return nil
}

// readText takes a text that is not empty.
func readText(name string, d *jsontext.Decoder) (string, error) {
	value, err := d.ReadToken()
	if err != nil || value.Kind() != jsontext.KindString {
		return "", fmt.Errorf("%s is not a JSON string", name)
	}
	text := value.String()
	if text == "" {
		return "", fmt.Errorf("%s is empty; a claim without a value is left out", name)
	}
	return text, nil
}

// decodeClaims reads a payload. The number is that of v, 1 where it is absent.
func decodeClaims(payload []byte) (Claims, int64, error) {
	var c Claims
	var mutation, issuedAt string
	version := int64(1)
	err := decodeObject(payload, func(name string, d *jsontext.Decoder) (err error) {
		switch name {
		case "iat":
			issuedAt, err = readText(name, d)
		case "sub":
			c.Subject, err = readText(name, d)
		case "mutation":
			mutation, err = readText(name, d)
		case "name":
			c.Name, err = readText(name, d)
		case "vers":
			c.Version, err = readText(name, d)
		case "cksum":
			c.Checksum, err = readText(name, d)
		case "challenge":
			c.Challenge, err = readText(name, d)
		case "v":
			version, err = readInteger(name, d)
		case "custom":
			c.JTI, err = readCustom(d)
		default:
			err = fmt.Errorf("claim %.40q is not one of RFC 3231; additions belong in custom", name)
		}
		return err
	})
	if err != nil {
		return Claims{}, 0, fmt.Errorf("payload: %w", err)
	}
	if c.IssuedAt, err = parseTime(issuedAt); err != nil {
		return Claims{}, 0, fmt.Errorf("payload: %w", err)
	}
	if mutation == string(Read) {
		return Claims{}, 0, errors.New(`payload: mutation is "read"; a read token has none`)
	}
	c.Operation = Operation(mutation)
	if mutation == "" {
		c.Operation = Read
	}
	if err := checkCombination(c.Operation, c.Name, c.Version, c.Checksum); err != nil {
		return Claims{}, 0, fmt.Errorf("payload: %w", err)
	}
	return c, version, nil
}

// parseTime reads iat.
func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, errors.New("iat is missing")
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || !isRFC3339(text) {
		return time.Time{}, fmt.Errorf("iat %.40q is not a time of RFC 3339", text)
	}
	return t.UTC(), nil
}

// isRFC3339 holds text to the grammar of RFC 3339, section 5.6, with "T" and "Z" in upper case as
// PASETO has them. The time package also takes one digit for the hour, a comma, and offsets of a
// day and more.
func isRFC3339(text string) bool {
	const seconds = "0000-00-00T00:00:00"
	if len(text) <= len(seconds) || !hasShape(text[:len(seconds)], seconds) {
		return false
	}
	zone := text[len(seconds):]
	if zone[0] == '.' {
		digits := len(zone) - len(strings.TrimLeft(zone[1:], "0123456789")) - 1
		if digits == 0 {
			return false
		}
		zone = zone[1+digits:]
	}
	if zone == "Z" {
		return true
	}
	return (hasShape(zone, "+00:00") || hasShape(zone, "-00:00")) && zone[1:3] <= "23" && zone[4:] <= "59"
}

// hasShape reports whether text is shape with digits for its zeros.
func hasShape(text, shape string) bool {
	if len(text) != len(shape) {
		return false
	}
	for i := range len(text) {
		if isDigit := text[i] >= '0' && text[i] <= '9'; isDigit != (shape[i] == '0') || !isDigit && text[i] != shape[i] {
			return false
		}
	}
	return true
}

func readInteger(name string, d *jsontext.Decoder) (int64, error) {
	value, err := d.ReadToken()
	if err == nil && value.Kind() == jsontext.KindNumber {
		if n, err := strconv.ParseInt(value.String(), 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%s is not a whole number", name)
}

var errCustom = errors.New("custom is not valid JSON")

// readCustom takes the value of custom, which may be any JSON, and returns its jti if it has one
// in the form that we mint: a text in an object.
func readCustom(d *jsontext.Decoder) (jti string, err error) {
	if d.PeekKind() != jsontext.KindBeginObject {
		if d.SkipValue() != nil {
			return "", errCustom
		}
		return "", nil
	}
	err = readObject(d, func(name string, d *jsontext.Decoder) error {
		if name != "jti" || d.PeekKind() != jsontext.KindString {
			return d.SkipValue()
		}
		text, err := d.ReadToken()
		if err == nil {
			jti = text.String()
		}
		return err
	})
	if err != nil {
		return "", errCustom
	}
	return jti, nil
}

// decodeFooter reads a footer: the index URL and the id of the key.
func decodeFooter(footer []byte) (url string, id keys.ID, err error) {
	var kip, kid string
	err = decodeObject(footer, func(name string, d *jsontext.Decoder) (err error) {
		switch name {
		case "url":
			url, err = readText(name, d)
		case "kip":
			kip, err = readText(name, d)
		case "kid":
			kid, err = readText(name, d)
		default:
			err = fmt.Errorf("member %.40q is none of url, kip and kid", name)
		}
		return err
	})
	if err == nil {
		url, id, err = checkFooter(url, kip, kid)
	}
	if err != nil {
		return "", keys.ID{}, fmt.Errorf("footer: %w", err)
	}
	return url, id, nil
}

func checkFooter(url, kip, kid string) (string, keys.ID, error) {
	switch {
	case url == "":
		return "", keys.ID{}, errors.New("url is missing")
	case kip == "" && kid == "":
		return "", keys.ID{}, errors.New("neither kid nor kip names the key")
	case kip != "" && kid != "" && kip != kid:
		return "", keys.ID{}, errors.New("kid and kip name different keys")
	case kid == "":
		kid = kip
	}
	id, err := keys.ParseID(kid)
	return url, id, err
}
