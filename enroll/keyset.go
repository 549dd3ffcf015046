// Keysets: their content, and the text that is hashed and signed.

package enroll

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// MaxNote is the most that a signed document takes, in bytes.
const MaxNote = 60 << 10

// Limits of documents. They keep a signed keyset with a hundred signatures, the most that a
// note carries, under [MaxNote].
const (
	maxText    = 40 << 10
	maxKeys    = 100
	maxRevoked = 400
	maxCrates  = 100 // patterns of one key
	maxVersion = 1e9 // versions of one keyset
	maxIndex   = 512 // bytes of an index URL
	timeLayout = "2006-01-02T15:04:05Z"
)

// A Hash is the SHA-256 of a keyset's text, final newline included.
type Hash [sha256.Size]byte

func hashText(text []byte) Hash { return sha256.Sum256(text) }

// String is "sha256:" and 64 hex digits.
func (h Hash) String() string { return "sha256:" + hex.EncodeToString(h[:]) }

// A Keyset is one version of what an account trusts at a registry.
type Keyset struct {
	Registry string    // the index URL, exactly as cargo writes it
	Account  string    // [a-z0-9-], 1 to 64 bytes
	Version  int       // counts from 1
	Previous Hash      // of the version before; zero in version 1
	Issued   time.Time // whole seconds, UTC
	Closed   bool      // the account ends with this version
	Keys     []Entry   // sorted by key id
	Revoked  []keys.ID // sorted; no key of these is in Keys
}

// An Entry is one key of a keyset and what it may do.
type Entry struct {
	Key    keys.PublicKey
	Can    Can
	Until  time.Time // zero: no end
	Crates []string  // patterns; none: every crate of the account
}

// Entry is the line of the key that id names.
func (k *Keyset) Entry(id keys.ID) (Entry, bool) {
	for _, e := range k.Keys {
		if e.Key.ID() == id {
			return e, true
		}
	}
	return Entry{}, false
}

// Alive reports whether the key may be used at all at that time: not past its until.
func (e Entry) Alive(at time.Time) bool { return e.Until.IsZero() || at.Before(e.Until) }

// Allows reports whether the key may do every operation of can on the crate, "" meaning that
// the operation names none. Time is not looked at: see [Entry.Alive].
func (e Entry) Allows(can Can, crate string) bool {
	if !e.Can.Has(can) {
		return false
	}
	return len(e.Crates) == 0 || crate == "" ||
		slices.ContainsFunc(e.Crates, func(pattern string) bool { return matchCrate(pattern, crate) })
}

// matchCrate compares as registries compare crate names: lower-case, "_" as "-". A "*" stands
// only at a pattern's end and matches any rest, the empty one too.
func matchCrate(pattern, crate string) bool {
	pattern, crate = canonicalCrate(pattern), canonicalCrate(crate)
	if prefix, found := strings.CutSuffix(pattern, "*"); found {
		return strings.HasPrefix(crate, prefix)
	}
	return pattern == crate
}

func canonicalCrate(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}

// Encode is the text of the keyset. It sorts nothing and repairs nothing: a keyset that
// [ParseKeyset] would not give back as it is, a time with a fraction of a second or two patterns in
// one string included, is an error. See [Keyset.Sort].
func (k *Keyset) Encode() ([]byte, error) {
	text := k.write()
	parsed, err := ParseKeyset(text)
	if err != nil {
		return nil, fmt.Errorf("encoding keyset: %w", err)
	}
	same := parsed.Previous == k.Previous && parsed.Issued.Equal(k.Issued) &&
		slices.EqualFunc(parsed.Keys, k.Keys, func(a, b Entry) bool {
			return a.Until.Equal(b.Until) && slices.Equal(a.Crates, b.Crates)
		})
	if !same {
		return nil, errors.New("encoding keyset: it would not read back as it is: version 1 has no previous, and times are whole seconds, and a pattern holds no comma")
	}
	return text, nil
}

// Sort brings keys and revoked ids into the order of the text, each once.
func (k *Keyset) Sort() {
	slices.SortFunc(k.Keys, func(a, b Entry) int { return a.Key.ID().Compare(b.Key.ID()) })
	slices.SortFunc(k.Revoked, keys.ID.Compare)
	k.Revoked = slices.Compact(k.Revoked)
}

func (k *Keyset) write() []byte {
	var b strings.Builder
	b.Write(k.header())
	for _, e := range k.Keys {
		b.WriteString("key: " + e.line() + "\n")
	}
	for _, id := range k.Revoked {
		b.WriteString("revoked: " + id.String() + "\n")
	}
	return []byte(b.String())
}

// header is everything before the first key.
func (k *Keyset) header() []byte {
	b := make([]byte, 0, 256+len(k.Registry))
	b = append(append(append(b, keysetHeader+"\nregistry: "...), k.Registry...), "\naccount: "...)
	b = append(append(b, k.Account...), "\nversion: "...)
	b = append(strconv.AppendInt(b, int64(k.Version), 10), '\n')
	if k.Version > 1 {
		b = append(hex.AppendEncode(append(b, "previous: sha256:"...), k.Previous[:]), '\n')
	}
	b = append(k.Issued.UTC().AppendFormat(append(b, "issued: "...), timeLayout), '\n')
	if k.Closed {
		b = append(b, "closed: yes\n"...)
	}
	return b
}

// line is what stands of e behind "key: ".
func (e Entry) line() string {
	text := e.Key.String() + " can=" + e.Can.String()
	if !e.Until.IsZero() {
		text += " until=" + e.Until.UTC().Format(timeLayout)
	}
	if len(e.Crates) > 0 {
		text += " crates=" + strconv.Quote(strings.Join(e.Crates, ","))
	}
	return text
}

const keysetHeader = "regkey keyset v1"

// ParseKeyset accepts exactly what [Keyset.Encode] returns; another order of lines, a trailing
// space or an unknown field is an error. It checks no signature and no rule between versions:
// see [Standing.Accept].
func ParseKeyset(text []byte) (*Keyset, error) { return newKnown().parseKeyset(text) }

// known is what was read before: whole key lines, and the keys in them. The versions of one chain
// share most of theirs, and reading a key costs some arithmetic on its curve.
type known struct {
	entries map[string]Entry
	keys    map[string]keys.PublicKey
	whose   [2]string // the index URL and the account that were good
}

func newKnown() *known {
	return &known{entries: map[string]Entry{}, keys: map[string]keys.PublicKey{}}
}

// parseKeyset reads a keyset, whose lines must be what they are encoded as again.
func (known *known) parseKeyset(text []byte) (*Keyset, error) {
	k, err := known.parse(text)
	if err != nil {
		return nil, fmt.Errorf("parsing keyset: %w", err)
	}
	return k, nil
}

func (known *known) parse(text []byte) (*Keyset, error) {
	lines, err := splitLines(text, keysetHeader)
	if err != nil {
		return nil, err
	}
	k := &Keyset{}
	if err := known.parseHeader(lines, k); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(text, k.header()) {
		return nil, errors.New("not in its one encoding")
	}
	if lines.next("key") {
		k.Keys = make([]Entry, 0, min(len(lines.rest), maxKeys))
	}
	for lines.next("key") {
		if err := known.parseEntry(lines, k); err != nil {
			return nil, err
		}
	}
	for lines.next("revoked") {
		if err := parseRevoked(lines, k); err != nil {
			return nil, err
		}
	}
	for _, id := range k.Revoked {
		if lists(k.Keys, id) {
			return nil, fmt.Errorf("key %v is both listed and revoked", id)
		}
	}
	return k, lines.end()
}

// parseHeader reads all before the first key. What it takes, header may still write otherwise.
func (known *known) parseHeader(lines *lines, k *Keyset) (err error) {
	if k.Registry, err = lines.field("registry"); err != nil {
		return err
	}
	if k.Account, err = lines.field("account"); err != nil {
		return err
	}
	if whose := [2]string{k.Registry, k.Account}; known.whose != whose {
		if err := CheckIndex(k.Registry); err != nil {
			return err
		}
		if err := CheckAccount(k.Account); err != nil {
			return err
		}
		known.whose = whose
	}
	if err := parseVersion(lines, k); err != nil {
		return err
	}
	if k.Issued, err = parseTime(lines.field("issued")); err != nil {
		return err
	}
	if lines.next("closed") {
		if value, err := lines.field("closed"); err != nil || value != "yes" {
			return errors.New("the closed line says something else than yes")
		}
		k.Closed = true
	}
	return nil
}

func parseVersion(lines *lines, k *Keyset) error {
	value, err := lines.field("version")
	if err != nil {
		return err
	}
	if k.Version, err = strconv.Atoi(value); err != nil || k.Version < 1 || k.Version > maxVersion {
		return errors.New("the version is not a number between 1 and 1000000000")
	}
	if k.Version == 1 {
		return nil
	}
	value, err = lines.field("previous")
	if err != nil {
		return err
	}
	digits, found := strings.CutPrefix(value, "sha256:")
	if n, err := hex.Decode(k.Previous[:], []byte(digits[:min(len(digits), 2*len(k.Previous))])); !found || err != nil || n != len(k.Previous) {
		return errors.New("the previous line is not sha256: and 64 hex digits")
	}
	return nil
}

func (known *known) parseEntry(lines *lines, k *Keyset) error {
	value, err := lines.field("key")
	if err != nil {
		return err
	}
	e, found := known.entries[value]
	if !found {
		if e, err = known.entry(value); err != nil {
			return err
		}
		known.entries[value] = e
	}
	if len(k.Keys) == maxKeys {
		return fmt.Errorf("more than %d keys", maxKeys)
	}
	if n := len(k.Keys); n > 0 && k.Keys[n-1].Key.ID().Compare(e.Key.ID()) >= 0 {
		return errors.New("keys are not sorted by id, each once")
	}
	k.Keys = append(k.Keys, e)
	return nil
}

// entry reads what stands behind "key: ".
func (known *known) entry(line string) (e Entry, err error) {
	words := strings.Split(line, " ")
	var found bool
	if e.Key, found = known.keys[words[0]]; !found {
		if e.Key, err = keys.ParsePublicKey(words[0]); err != nil {
			return Entry{}, err
		}
		known.keys[words[0]] = e.Key
	}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "can":
			e.Can, err = ParseCan(value)
		case "until":
			e.Until, err = parseTime(value, nil)
		case "crates":
			e.Crates, err = parseCrates(value)
		default:
			err = fmt.Errorf("unknown word %.20q on a key line", name)
		}
		if err != nil {
			return Entry{}, err
		}
	}
	if e.Can == 0 {
		return Entry{}, errors.New("a key line without can=")
	}
	if e.line() != line {
		return Entry{}, errors.New("a key line is not in its one encoding")
	}
	return e, nil
}

func parseRevoked(lines *lines, k *Keyset) error {
	value, err := lines.field("revoked")
	if err != nil {
		return err
	}
	id, err := keys.ParseID(value)
	if err != nil {
		return err
	}
	if len(k.Revoked) == maxRevoked {
		return fmt.Errorf("more than %d revoked keys", maxRevoked)
	}
	if n := len(k.Revoked); n > 0 && k.Revoked[n-1].Compare(id) >= 0 {
		return errors.New("revoked keys are not sorted by id, each once")
	}
	k.Revoked = append(k.Revoked, id)
	return nil
}

func parseCrates(quoted string) ([]string, error) {
	if len(quoted) < 3 || quoted[0] != '"' || quoted[len(quoted)-1] != '"' {
		return nil, errors.New("crates= is not a quoted list")
	}
	patterns := strings.Split(quoted[1:len(quoted)-1], ",")
	return patterns, CheckCrates(patterns)
}

// CheckCrates refuses patterns that a keyset can't hold: each is 1 to 64 letters, digits, "-"
// and "_", with at most one "*", at its end; no two mean the same; at most 100.
func CheckCrates(patterns []string) error {
	if len(patterns) > maxCrates {
		return fmt.Errorf("more than %d crate patterns for one key", maxCrates)
	}
	seen := map[string]bool{}
	for _, pattern := range patterns {
		name := strings.TrimSuffix(pattern, "*")
		if pattern == "" || len(name) > 64 || strings.Trim(name, crateBytes) != "" {
			return fmt.Errorf("crate pattern %.80q is not a crate's name with at most a * at its end", pattern)
		}
		if seen[canonicalCrate(pattern)] {
			return fmt.Errorf("crate pattern %q stands twice", pattern)
		}
		seen[canonicalCrate(pattern)] = true
	}
	return nil
}

const crateBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
