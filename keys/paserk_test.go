// PASERK texts: published vectors, and what becomes of every text that is one byte off.

package keys_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

func TestPublicVectors(t *testing.T) {
	public, _ := paserkVectors(t)
	for _, v := range public {
		t.Run(v.Name, func(t *testing.T) {
			key, err := keys.ParsePublicKey(v.PASERK)
			if v.Refused != "" {
				if err == nil || !strings.Contains(err.Error(), v.Refused) {
					t.Fatalf("ParsePublicKey = %v, want an error with %q", err, v.Refused)
				}
				if id := keys.UncheckedID(v.Key); id.String() != v.ID {
					t.Errorf("id = %v, want %v", id, v.ID)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(key.Bytes(), v.Key) {
				t.Errorf("Bytes = %x, want %x", key.Bytes(), v.Key)
			}
			if key.String() != v.PASERK {
				t.Errorf("String = %v, want %v", key, v.PASERK)
			}
			if key.ID().String() != v.ID {
				t.Errorf("ID = %v, want %v", key.ID(), v.ID)
			}
			if parsed, err := keys.ParseID(v.ID); err != nil || parsed != key.ID() {
				t.Errorf("ParseID = %v, %v", parsed, err)
			}
		})
	}
}

func TestSecretVectors(t *testing.T) {
	_, secrets := paserkVectors(t)
	for _, v := range secrets {
		t.Run(v.Name, func(t *testing.T) {
			if text := v.PASERK[:len("k4.secret.")] + base64.RawURLEncoding.EncodeToString(v.Key); text != v.PASERK {
				t.Fatalf("the vector does not agree with itself: %v", text)
			}
			key, err := keys.ParseSoftwareKey(secret(v.PASERK))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(key.Secret().Reveal()); got != v.PASERK {
				t.Errorf("Secret = %v, want %v", got, v.PASERK)
			}
			if got := key.Public().String(); got != v.Public {
				t.Errorf("Public = %v, want %v", got, v.Public)
			}
		})
	}
}

// parser is one of the three text forms: it gives back what the text parsed to, written again.
type parser struct {
	kind  string
	parse func(text string) (again string, err error)
}

var parsers = []parser{
	{"public", func(text string) (string, error) {
		key, err := keys.ParsePublicKey(text)
		return key.String(), err
	}},
	{"secret", func(text string) (string, error) {
		key, err := keys.ParseSoftwareKey(secret(text))
		if err != nil {
			return "", err
		}
		return string(key.Secret().Reveal()), nil
	}},
	{"pid", func(text string) (string, error) {
		id, err := keys.ParseID(text)
		return id.String(), err
	}},
}

func textOf(t *testing.T, a keys.Algorithm, kind string) string {
	key := generate(t, a)
	switch kind {
	case "public":
		return key.Public().String()
	case "secret":
		return string(key.Secret().Reveal())
	}
	return key.Public().ID().String()
}

// TestMangledText changes each byte of each text to other values. Base64 without slack and
// prefixes without synonyms mean that what still parses is another value with that very text;
// a k4 secret also carries its public half, so no change of it is ever accepted.
func TestMangledText(t *testing.T) {
	for _, p := range parsers {
		for _, a := range algorithms {
			t.Run(p.kind+"/"+a.String(), func(t *testing.T) {
				text := textOf(t, a, p.kind)
				if again, err := p.parse(text); err != nil || again != text {
					t.Fatalf("unchanged: %v", err)
				}
				for i := range len(text) {
					for b := range 256 {
						// Of the bytes that base64 has none of every eighth will do, and of P-384's, which cost
						// arithmetic on the curve, every fourth.
						if byte(b) == text[i] || b > 'z' && b%8 != i%8 || a == keys.P384 && b%4 != i%4 {
							continue
						}
						mangled := text[:i] + string([]byte{byte(b)}) + text[i+1:]
						again, err := p.parse(mangled)
						if err != nil {
							checkSilent(t, err, text)
							continue
						}
						if again != mangled {
							t.Errorf("byte %d as %#02x parses as another text than it is", i, b)
						}
						if p.kind == "secret" && a == keys.Ed25519 {
							t.Errorf("byte %d as %#02x is accepted", i, b)
						}
					}
				}
			})
		}
	}
}

func TestLengthOfText(t *testing.T) {
	for _, p := range parsers {
		for _, a := range algorithms {
			text := textOf(t, a, p.kind)
			refuse := func(what, text string) {
				if _, err := p.parse(text); err == nil {
					t.Errorf("%v %v: %s is accepted", a, p.kind, what)
				}
			}
			for i := range len(text) {
				refuse("a text cut short", text[:i])
				refuse("a text without one byte", text[:i]+text[i+1:])
				refuse("a text with one byte twice", text[:i+1]+text[i:])
				refuse("a text with a line break inside", text[:i]+"\n"+text[i:])
				refuse("a text with a carriage return in place of a byte", text[:i]+"\r"+text[i+1:])
			}
			for _, extra := range []string{"\n", "\r\n", " ", "=", "==", "A", "\x00", ".", "AAAA"} {
				refuse("a text with something behind", text+extra)
				refuse("a text with something before", extra+text)
			}
			refuse("capitals", strings.ToUpper(text))
			for _, other := range parsers {
				if other.kind != p.kind {
					refuse("a text of type "+other.kind, textOf(t, a, other.kind))
				}
			}
			swapped := map[byte]string{'4': "k3", '3': "k4"}[text[1]] + text[2:]
			if p.kind != "pid" { // all ids have one length
				refuse("the other algorithm's prefix", swapped)
			}
			refuse("another version's prefix", "k2"+text[2:])
		}
	}
}

// checkSilent fails if an error text repeats twelve characters in a row of the text's data.
func checkSilent(t *testing.T, err error, text string) {
	t.Helper()
	data := text[strings.LastIndexByte(text, '.')+1:]
	for i := range len(data) - 12 {
		if strings.Contains(err.Error(), data[i:i+12]) {
			t.Fatalf("error repeats its input: %v", err)
		}
	}
}

func TestTextOfNothing(t *testing.T) {
	var key keys.PublicKey
	var id keys.ID
	if !key.IsZero() || !id.IsZero() || key.String() != "" || id.String() != "" || key.ID() != id {
		t.Error("the zero values have a text")
	}
	if key.Algorithm() != 0 || id.Algorithm() != 0 || key.Bytes() != nil {
		t.Error("the zero values have an algorithm")
	}
	if _, err := key.MarshalText(); err == nil {
		t.Error("the zero key is encoded")
	}
	if _, err := id.MarshalText(); err == nil {
		t.Error("the zero id is encoded")
	}
	if key.UnmarshalText(nil) == nil || id.UnmarshalText(nil) == nil {
		t.Error("an empty text is decoded")
	}
	if key.Verify(nil, make([]byte, 64)) || key.CanonicalSignature(make([]byte, 64)) || key.CanonicalSignature(nil) {
		t.Error("the zero key verifies something")
	}
}

func TestTextRoundTrip(t *testing.T) {
	for _, a := range algorithms {
		key := generate(t, a).Public()
		text, err := key.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var again keys.PublicKey
		if err := again.UnmarshalText(text); err != nil || again != key {
			t.Errorf("%v key: %v", a, err)
		}
		text, err = key.ID().MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var id keys.ID
		if err := id.UnmarshalText(text); err != nil || id != key.ID() || id.Algorithm() != a || id.Compare(key.ID()) != 0 {
			t.Errorf("%v id: %v", a, err)
		}
		if parsed, err := keys.ParseAlgorithm(a.String()); err != nil || parsed != a {
			t.Errorf("ParseAlgorithm(%v) = %v, %v", a, parsed, err)
		}
	}
	for _, text := range []string{"", "Ed25519", "p256", "algorithm(0)"} {
		if _, err := keys.ParseAlgorithm(text); err == nil {
			t.Errorf("ParseAlgorithm(%q) is accepted", text)
		}
	}
}
