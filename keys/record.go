// Records: what is known, and may be known, of a stored key without opening it.

package keys

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// A Protection says what stands between a reader of the disk and a stored key.
type Protection string

const (
	// Unprotected keys lie on the disk as PASERK text: the file's mode is all that guards them.
	Unprotected Protection = "none"
	// Passphrase keys are encrypted by age with a passphrase (scrypt).
	Passphrase Protection = "passphrase"
)

// A Record is what a store tells of a key without opening it.
type Record struct {
	Name string
	// Public is the zero value only for a passphrase key whose record file was lost: the key
	// file does not tell it. [Store.Unlock] brings it back.
	Public     PublicKey
	Created    time.Time // UTC, whole seconds
	Protection Protection
}

const maxNameLength = 64

// CheckName refuses what may not name a stored key: names are 1 to 64 characters of a–z, 0–9, ".",
// "_" and "-", the first of them a letter or a digit, and on Windows none of that system's
// device names. So a name is always one harmless element of a path.
func CheckName(name string) error {
	if name == "" || len(name) > maxNameLength {
		return fmt.Errorf("key name has %d characters: 1 to %d are allowed", len(name), maxNameLength)
	}
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '_' && c != '-') {
			return fmt.Errorf("key name %q: allowed are a-z, 0-9, and after the first character . _ -", name)
		}
	}
	if !filepath.IsLocal(name + recordExt) {
		return fmt.Errorf("key name %q is reserved by the operating system", name)
	}
	return nil
}

// recordFile is the form of a record on disk.
type recordFile struct {
	Public     PublicKey  `toml:"public"`
	Created    time.Time  `toml:"created"`
	Protection Protection `toml:"protection"`
}

const recordComment = "# The public facts of a key of regkey, which can make this file again from the secret file beside it.\n"

// encodeRecord is the content of a record file. What it returns, parseRecord gives back as r.
func encodeRecord(r Record) ([]byte, error) {
	text, err := toml.Marshal(recordFile{r.Public, r.Created, r.Protection})
	if err != nil {
		return nil, fmt.Errorf("encoding record: %w", err)
	}
	text = append([]byte(recordComment), text...)
	// A record that can't be read later, for a time that TOML can't express, is refused now.
	if parsed, err := parseRecord(r.Name, text); err != nil || parsed != r {
		return nil, errors.Join(errors.New("encoding record: it would not read back as it is"), err)
	}
	return text, nil
}

// parseRecord reads what encodeRecord wrote. A field too many, too few or of an unknown value
// is an error: a guess about what protects a key would be wrong in silence.
func parseRecord(name string, text []byte) (Record, error) {
	var f recordFile
	decoder := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return Record{}, err
	}
	switch {
	case f.Public.IsZero():
		return Record{}, errors.New("public is missing")
	case f.Created.IsZero():
		return Record{}, errors.New("created is missing")
	case f.Protection != Unprotected && f.Protection != Passphrase:
		return Record{}, fmt.Errorf("protection is %.20q: known are %q and %q", f.Protection, Unprotected, Passphrase)
	}
	return Record{Name: name, Public: f.Public, Created: wholeSeconds(f.Created), Protection: f.Protection}, nil
}

func wholeSeconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
