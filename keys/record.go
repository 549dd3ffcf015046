// Records: the public facts of a stored key, known without opening it.

package keys

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
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

// An Origin says where a software key was made.
type Origin string

const (
	// MadeHere is the origin of keys that regkey made in this store, and never showed to anybody.
	MadeHere Origin = ""
	// Imported keys came as PASERK text.
	Imported Origin = "imported"
	// FromSSH keys came from an OpenSSH private key file.
	FromSSH Origin = "ssh"
)

// A Record is what a store knows of a key without opening it.
type Record struct {
	Name string
	// Public is the zero value only for a passphrase or keychain key whose record file was lost, as
	// the encrypted key file does not show it. [Store.Unlock] restores it.
	Public     PublicKey
	Created    time.Time // UTC, whole seconds
	Protection Protection
	Token      *Token // of a key whose Protection is [Hardware]; else nil
	// Origin is MadeHere too for a key whose record file was lost, whatever it was before: the
	// secret file does not tell.
	Origin Origin

	// items are ids of items that the keychain may hold for this key, each followed by a space: an
	// unfinished change of protection says so. The item in use is not, or need not be, among them.
	// Text, so that records stay comparable.
	items string
}

// MayManage reports whether the key may be given the right to manage an account's keys. One that
// was imported has been elsewhere, and one in an ssh-agent lives elsewhere and signs for whoever
// reaches that agent: they never manage.
func (r Record) MayManage() bool { return r.Origin == MadeHere && r.Protection != SSHAgent }

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
	Origin     Origin     `toml:"origin,omitempty"`
	Items      []string   `toml:"keychain-items,omitempty"`
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
	recordComment    = "# The public facts of a key of regkey, which can make this file again from the secret file beside it.\n"
	agentComment     = "# The public facts of a key of regkey that lives in an ssh-agent. This is its only file.\n"
	elsewhereComment = "# The public facts of a key of regkey that is kept elsewhere. This is all that this machine has of it.\n"
	hardwareComment  = "# The public facts of a key of regkey in a hardware token. This is its only file: \"regkey init --hardware --adopt\" makes it again from the token.\n"
)

// encodeRecord is the content of a record file. What it returns, parseRecord gives back as r.
func encodeRecord(r Record) ([]byte, error) {
	file := recordFile{Public: r.Public, Created: r.Created, Protection: r.Protection, Origin: r.Origin, Items: strings.Fields(r.items)}
	comment := recordComment
	switch r.Protection {
	case SSHAgent:
		comment = agentComment
	case Elsewhere:
		comment = elsewhereComment
	}
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
	if err := f.check(); err != nil {
		return Record{}, err
	}
	token, err := f.Token.token()
	if err != nil {
		return Record{}, fmt.Errorf("token: %w", err)
	}
	r := Record{Name: name, Public: f.Public, Created: wholeSeconds(f.Created), Protection: f.Protection, Token: token, Origin: f.Origin}
	for _, item := range f.Items {
		r.items = addItem(r.items, item)
	}
	return r, nil
}

// maxItems bounds the items of a record: each interrupted change leaves at most one more.
const maxItems = 100

func (f recordFile) check() error {
	software := []Protection{Unprotected, Passphrase, Keychain}
	switch {
	case f.Public.IsZero():
		return errors.New("public is missing")
	case f.Created.IsZero():
		return errors.New("created is missing")
	case !slices.Contains(append(software, Hardware, SSHAgent, Elsewhere), f.Protection):
		return fmt.Errorf("protection is %.20q: known are %q and %q", f.Protection, software, []Protection{Hardware, SSHAgent, Elsewhere})
	case (f.Protection == Hardware) != (f.Token != nil):
		return fmt.Errorf("protection is %q: a token belongs to %q, and only there", f.Protection, Hardware)
	case !slices.Contains([]Origin{MadeHere, Imported, FromSSH}, f.Origin):
		return fmt.Errorf("origin is %.20q: known are %q and %q", f.Origin, Imported, FromSSH)
	case !slices.Contains(software, f.Protection) && (f.Origin != MadeHere || f.Items != nil):
		return fmt.Errorf("protection is %q: origin and keychain-items belong to keys in files", f.Protection)
	case len(f.Items) > maxItems:
		return fmt.Errorf("keychain-items are more than %d", maxItems)
	}
	for i, item := range f.Items {
		if !isItemID(item) || slices.Contains(f.Items[:i], item) {
			return errors.New("keychain-items holds something else than ids, or one of them twice")
		}
	}
	return nil
}

// addItem is items, in the form of [Record], with id among them. An empty id adds nothing.
func addItem(items, id string) string {
	if id == "" || slices.Contains(strings.Fields(items), id) {
		return items
	}
	return items + id + " "
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
