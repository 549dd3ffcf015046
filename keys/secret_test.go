// Secrets and keys under everything that prints or encodes.

package keys_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	stdjson "encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/pelletier/go-toml/v2"

	"github.com/cargo-regkey/regkey/keys"
)

// forms are the texts by which any of datas can leak, from its tenth byte on: so a leak whose
// beginning looks different is seen too, and base64 of the whole ends in that of the rest.
func forms(datas ...[]byte) []string {
	var out []string
	for _, data := range datas {
		d := data[9:]
		h := hex.EncodeToString(d)
		out = append(out, string(d), h, strings.ToUpper(h), fmt.Sprintf("% x", d), fmt.Sprintf("%#v", d)[len("[]byte{"):],
			strings.Trim(fmt.Sprint(d), "[]"), strings.Trim(fmt.Sprintf("%o", d), "[]"), strings.Trim(fmt.Sprintf("%b", d), "[]"),
			strings.Trim(fmt.Sprintf("%q", d), `"`), strings.Trim(fmt.Sprintf("%+q", d), `"`), strings.Trim(fmt.Sprintf("%U", d), "[]"))
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			// The last characters depend on what follows.
			text := encoding.EncodeToString(d)
			out = append(out, text[:len(text)-4])
		}
	}
	return out
}

// leak is the form that text shows, or "".
func leak(text string, forms []string) string {
	for _, form := range forms {
		if strings.Contains(text, form) {
			return form
		}
	}
	return ""
}

// wrapped holds a value in every way that a struct can.
type wrapped[T any] struct {
	Exported   T
	hidden     T
	pointer    *T
	inner      struct{ deep T }
	slice      []T
	array      [1]T
	byName     map[string]T
	any        any
	Embedded   *wrapped[T]
	unexported *wrapped[T]
}

func wrap[T any](v T) *wrapped[T] {
	one := &wrapped[T]{Exported: v, hidden: v, pointer: &v, slice: []T{v}, array: [1]T{v}, byName: map[string]T{"k": v}, any: v}
	one.inner.deep = v
	return &wrapped[T]{Exported: v, hidden: v, Embedded: one, unexported: one}
}

// containers is v alone and in everything that holds values.
func containers[T any](v T) map[string]any {
	pointer := &v
	return map[string]any{
		"alone": v, "pointer": pointer, "pointer to pointer": &pointer, "slice": []T{v}, "slice of pointers": []*T{pointer},
		"array": [2]T{v, v}, "map": map[string]T{"k": v}, "map of any": map[any]any{1: v}, "any": []any{v, pointer},
		"struct": *wrap(v), "pointer to struct": wrap(v), "slice of structs": []wrapped[T]{*wrap(v)},
		"struct with hidden field only": struct{ hidden T }{v}, "pointer to it": &struct{ hidden T }{v},
		"error": fmt.Errorf("failing with %v and %w", any(v), fmt.Errorf("%s %+v", any(v), pointer)),
	}
}

func testNoLeak[T any](t *testing.T, v T, forms []string) {
	for name, c := range containers(v) {
		for _, flags := range []string{"", "+", "#", " ", "+#", ".300"} {
			for verb := 'A'; verb <= 'z'; verb++ {
				format := "%" + flags + string(verb)
				if form := leak(fmt.Sprintf(format, c), forms); form != "" {
					t.Errorf("%s under %s shows %q", name, format, form)
				}
			}
		}
		if form := leak(fmt.Sprint(c)+fmt.Sprintln(c), forms); form != "" {
			t.Errorf("%s under Print shows %q", name, form)
		}
		for what, text := range encodings(c) {
			if form := leak(text, forms); form != "" {
				t.Errorf("%s in %s shows %q", name, what, form)
			}
		}
	}
}

// encodings is what encoders write of v, up to their error, and the error.
func encodings(v any) map[string]string {
	out := make(map[string]string)
	record := func(name string, text []byte, err error) { out[name] = fmt.Sprintf("%s %v", text, err) }
	text, err := stdjson.Marshal(v)
	record("encoding/json", text, err)
	text, err = json.Marshal(v)
	record("json v2", text, err)
	text, err = toml.Marshal(v)
	record("toml", text, err)
	text, err = xml.Marshal(v)
	record("xml", text, err)
	var b bytes.Buffer
	err = gob.NewEncoder(&b).Encode(v)
	record("gob", b.Bytes(), err)
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		log := slog.New(handler(&b)).With("with", v)
		log.Info("message", "value", v, slog.Group("group", "value", v))
		record(name, b.Bytes(), nil)
	}
	return out
}

func TestSecretPrintsNothing(t *testing.T) {
	data := []byte("correct horse \"battery\" \x01 staple")
	if leak(fmt.Sprintf("%v", struct{ b []byte }{data}), forms(data)) == "" || leak(fmt.Sprintf("%x", data), forms(data)) == "" {
		t.Fatal("the test does not see a leak")
	}
	testNoLeak(t, keys.NewSecret(data), forms(data))
	s := keys.NewSecret(data)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%z"} {
		if got := fmt.Sprintf(format, s); got != "[secret]" {
			t.Errorf("%s prints %q", format, got)
		}
	}
	if s.String() != "[secret]" || s.LogValue().String() != "[secret]" {
		t.Error("String and LogValue must say that it is a secret")
	}
	for name, encode := range map[string]func(any) ([]byte, error){
		"encoding/json": stdjson.Marshal,
		"json v2":       func(v any) ([]byte, error) { return json.Marshal(v) },
		"toml":          toml.Marshal,
	} {
		if text, err := encode(struct{ S keys.Secret }{s}); err == nil {
			t.Errorf("%s encodes a secret as %s", name, text)
		}
	}
}

func TestKeysPrintNothing(t *testing.T) {
	for _, a := range algorithms {
		t.Run(a.String(), func(t *testing.T) {
			key := generate(t, a)
			paserk := key.Secret().Reveal()
			raw := rawSecret(t, key)
			if a == keys.Ed25519 {
				raw = raw[:32] // the seed: the other half is public
			}
			forms := forms(paserk, raw)
			if leak(string(paserk), forms) == "" || leak(fmt.Sprint(raw), forms) == "" {
				t.Fatal("the test does not see a leak")
			}
			testNoLeak(t, key, forms)
			testNoLeak(t, *key, forms)
			testNoLeak[keys.Signer](t, key, forms)
			if key.String() != key.Public().ID().String() {
				t.Errorf("String = %v", key)
			}
		})
	}
}

func TestSecretKeepsACopy(t *testing.T) {
	data := []byte("abc")
	s := keys.NewSecret(data)
	data[0] = 'x'
	if string(s.Reveal()) != "abc" || s.IsZero() {
		t.Errorf("Reveal = %q", s.Reveal())
	}
	var zero keys.Secret
	if !zero.IsZero() || zero.Reveal() != nil || !keys.NewSecret(nil).IsZero() || !secret("").IsZero() {
		t.Error("the empty secret is not zero")
	}
	if fmt.Sprint(zero) != "[secret]" {
		t.Error("the zero secret says that it is empty")
	}
}
