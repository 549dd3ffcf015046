// Records: the public facts of a stored key, known without opening it.

package keys

import (
	"bytes"
	"encoding/base64"
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

// A Record is what a store knows of a key without opening it.
type Record struct {
	Name string
	// Public is the zero value only for a passphrase key whose record file was lost, as the
	// encrypted key file does not show it. [Store.Unlock] restores it.
	Public     PublicKey
	Created    time.Time // UTC, whole seconds
	Protection Protection
	Token      *Token // of a key whose Protection is [Hardware]; else nil
}

// Equal reports whether r and other say the same.
func (r Record) Equal(other Record) bool {
	if r.Token == nil || other.Token == nil {
		return r == other
	}
	token, same := r.Token, other.Token
	r.Token, other.Token = nil, nil
	return r == other && token.equal(*same)
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
	Token      *tokenFile `toml:"token,omitempty"`
}

// tokenFile is the form of a [Token] on disk.
type tokenFile struct {
	Serial      uint32   `toml:"serial,omitempty"`
	Slot        string   `toml:"slot"`
	Firmware    string   `toml:"firmware,omitempty"`
	PIN         string   `toml:"pin,omitempty"`
	Touch       string   `toml:"touch,omitempty"`
	Attestation []string `toml:"attestation,multiline,omitempty"` // standard base64 of DER
}

// certificateEncoding has one text for each certificate: no line breaks, no loose bits.
var certificateEncoding = base64.StdEncoding.Strict()

const (
	recordComment   = "# The public facts of a key of regkey, which can make this file again from the secret file beside it.\n"
	hardwareComment = "# The public facts of a key of regkey in a hardware token. This is its only file: \"regkey init --hardware --adopt\" makes it again from the token.\n"
)

// encodeRecord is the content of a record file. What it returns, parseRecord gives back as r.
func encodeRecord(r Record) ([]byte, error) {
	file, comment := recordFile{Public: r.Public, Created: r.Created, Protection: r.Protection}, recordComment
	if t := r.Token; t != nil {
		comment = hardwareComment
		file.Token = &tokenFile{Serial: t.Serial, Slot: t.Slot, Firmware: t.Firmware, PIN: t.PIN, Touch: t.Touch}
		for _, certificate := range t.Attestation {
			file.Token.Attestation = append(file.Token.Attestation, certificateEncoding.EncodeToString(certificate))
		}
	}
	text, err := toml.Marshal(file)
	if err != nil {
		return nil, fmt.Errorf("encoding record: %w", err)
	}
	text = append([]byte(comment), text...)
	// A record that can't be read later, for a time that TOML can't express, is refused now.
	if parsed, err := parseRecord(r.Name, text); err != nil || !parsed.Equal(r) {
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
	case f.Protection != Unprotected && f.Protection != Passphrase && f.Protection != Hardware:
		return Record{}, fmt.Errorf("protection is %.20q: known are %q, %q and %q", f.Protection, Unprotected, Passphrase, Hardware)
	case (f.Protection == Hardware) != (f.Token != nil):
		return Record{}, fmt.Errorf("protection is %q: a token belongs to %q, and only there", f.Protection, Hardware)
	}
	token, err := f.Token.token()
	if err != nil {
		return Record{}, fmt.Errorf("token: %w", err)
	}
	return Record{Name: name, Public: f.Public, Created: wholeSeconds(f.Created), Protection: f.Protection, Token: token}, nil
}

// token is the file's token, checked; nil if it has none.
func (f *tokenFile) token() (*Token, error) {
	if f == nil {
		return nil, nil
	}
	t := &Token{Serial: f.Serial, Slot: f.Slot, Firmware: f.Firmware, PIN: f.PIN, Touch: f.Touch}
	for _, text := range f.Attestation {
		certificate, err := certificateEncoding.DecodeString(text)
		if err != nil || certificateEncoding.EncodeToString(certificate) != text { // a decoder passes over line breaks
			return nil, errors.New("attestation holds something else than base64")
		}
		t.Attestation = append(t.Attestation, certificate)
	}
	return t, t.check()
}

func wholeSeconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
