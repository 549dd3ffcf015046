// The forms that a secret might be written in, and the search for them.

package e2e

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

// A secret is what must not be found, in all its forms.
type secret struct {
	name  string
	forms []form
}

type form struct {
	name string
	text []byte
}

// shortest is how long a form has to be for a find not to be chance.
const shortest = 8

// newSecret has each value in every form.
func newSecret(t *testing.T, name string, values ...[]byte) secret {
	t.Helper()
	s := secret{name: name}
	for i, value := range values {
		for _, f := range writtenForms(value) {
			if len(f.text) < shortest {
				t.Fatalf("%s, %s: too short to be looked for", name, f.name)
			}
			f.name = fmt.Sprintf("value %d, %s", i, f.name)
			s.forms = append(s.forms, f)
		}
	}
	return s
}

// keySecret is a private key: see [paserkSecret].
func keySecret(t *testing.T, name string, key *keys.SoftwareKey) secret {
	t.Helper()
	return paserkSecret(t, name, string(key.Secret().Reveal()))
}

// paserkSecret is a private key: its PASERK text, and its scalar, or its seed and what Ed25519 makes of it.
func paserkSecret(t *testing.T, name, paserk string) secret {
	t.Helper()
	parts := strings.Split(paserk, ".")
	raw := decode64(t, parts[2])
	if parts[0] != "k4" {
		return newSecret(t, name, []byte(paserk), raw)
	}
	seed := raw[:32] // the rest is the public key
	hash := sha512.Sum512(seed)
	scalar := bytes.Clone(hash[:32]) // RFC 8032, section 5.1.5
	scalar[0] &= 248
	scalar[31] = scalar[31]&127 | 64
	return newSecret(t, name, []byte(paserk), seed, hash[:], scalar)
}

// writtenForms are value as it is, in hex, in base64 wherever in a longer text it stands, and as Go
// prints bytes.
func writtenForms(value []byte) []form {
	decimal := strings.Trim(fmt.Sprint(value), "[]")
	all := []form{
		{"raw", value},
		{"hex", []byte(hex.EncodeToString(value))},
		{"upper-case hex", []byte(strings.ToUpper(hex.EncodeToString(value)))},
		{"decimal", []byte(decimal)},
		{"decimal with commas", []byte(strings.ReplaceAll(decimal, " ", ","))},
		{"decimal with commas and spaces", []byte(strings.ReplaceAll(decimal, " ", ", "))},
	}
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for before := range 3 {
			// Only characters all of whose six bits are the secret's are the same in every text.
			text := encoding.EncodeToString(append(make([]byte, before), value...))
			text = text[(before*8+5)/6 : (before+len(value))*8/6]
			all = append(all, form{fmt.Sprintf("%s after %d bytes", name, before), []byte(text)})
		}
	}
	return all
}

// A finding is a secret in a place.
type finding struct{ secret, form, place string }

// A hoard is everything that a run has written, by place.
type hoard map[string][]byte

// addFiles takes up every regular file below dir, by its path there.
func (h hoard) addFiles(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		h["file "+relative], err = os.ReadFile(path)
		return err
	})
}

// search looks for every secret in the names of the places, too.
func (h hoard) search(secrets []secret) []finding {
	var found []finding
	for place, data := range h {
		for _, s := range secrets {
			for _, f := range s.forms {
				if bytes.Contains(data, f.text) || strings.Contains(place, string(f.text)) {
					found = append(found, finding{s.name, f.name, place})
				}
			}
		}
	}
	return found
}

// An allowance is a place where a secret belongs: a pattern of package path.
type allowance struct{ secret, place string }

// judge wants secrets found where they belong, and nowhere else. An allowance that is not used is
// an error as well: it would hide a leak.
func judge(found []finding, allowed []allowance) []error {
	var faults []error
	used := make([]bool, len(allowed))
	for _, f := range found {
		good := false
		for i, a := range allowed {
			if match, err := path.Match(a.place, f.place); err == nil && match && a.secret == f.secret {
				good, used[i] = true, true
			}
		}
		if !good {
			faults = append(faults, fmt.Errorf("%s: found as %s in %s", f.secret, f.form, f.place))
		}
	}
	for i, a := range allowed {
		if !used[i] {
			faults = append(faults, fmt.Errorf("%s: not found in %s, where it belongs", a.secret, a.place))
		}
	}
	return faults
}

// TestSearchFinds plants a secret in every form, in every place of a longer text, and in files, and wants
// each found.
func TestSearchFinds(t *testing.T) {
	key, err := keys.Generate(keys.P384)
	if err != nil {
		t.Fatal(err)
	}
	edwards, err := keys.Generate(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	pin := []byte("zq7Kw2Xv")
	secrets := []secret{keySecret(t, "key", key), keySecret(t, "edwards", edwards), newSecret(t, "pin", pin)}
	planted := func(name string, data []byte) {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "deep"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "deep", "file"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		h := hoard{}
		if err := h.addFiles(dir); err != nil {
			t.Fatal(err)
		}
		found := h.search(secrets)
		if len(found) == 0 {
			t.Errorf("%s was not found", name)
		}
		if faults := judge(found, nil); len(faults) != len(found) {
			t.Errorf("%s: %d findings, %d faults", name, len(found), len(faults))
		}
	}
	paserk := key.Secret().Reveal()
	scalar := decode64(t, strings.Split(string(paserk), ".")[2])
	seed := decode64(t, strings.Split(string(edwards.Secret().Reveal()), ".")[2])[:32]
	for name, value := range map[string][]byte{"PASERK": paserk, "scalar": scalar, "PASERK of Ed25519": edwards.Secret().Reveal(), "seed": seed, "PIN": pin} {
		for before := range 7 {
			around := slicesAround(before, value)
			planted(fmt.Sprintf("%s raw after %d bytes", name, before), around)
			planted(name+" in hex", []byte(hex.EncodeToString(around)))
			planted(name+" in upper-case hex", fmt.Appendf(nil, "%X", around))
			planted(name+" as bytes", fmt.Append(nil, around))
			planted(name+" as Go's bytes", fmt.Appendf(nil, "%d", around))
			for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
				planted(fmt.Sprintf("%s in base64 after %d bytes", name, before), []byte("x="+encoding.EncodeToString(around)))
			}
		}
	}
	allowed := []allowance{{"pin", "file deep/*"}, {"pin", "file elsewhere"}}
	if faults := judge([]finding{{"pin", "raw", "file deep/file"}}, allowed); len(faults) != 1 || !strings.Contains(faults[0].Error(), "elsewhere") {
		t.Errorf("an allowance that is not used: %v", faults)
	}
	if found := (hoard{"a log": []byte("nothing to see")}).search(secrets); len(found) != 0 {
		t.Errorf("found in an innocent text: %v", found)
	}
}

// slicesAround is value between other bytes.
func slicesAround(before int, value []byte) []byte {
	return append(append(bytes.Repeat([]byte{0xa5}, before), value...), 1, 2, 3, 4)
}
