// Parsing: what is accepted beyond our own form, and what is refused with which words.

package token

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

func TestParseAccepts(t *testing.T) {
	const iat = `"iat":"2026-11-22T09:12:00Z"`
	second := time.Date(2026, 11, 22, 9, 12, 0, 0, time.UTC)
	for payload, want := range map[string]Claims{
		`{` + iat + `}`:                                                               {},
		`{` + iat + `,"v":1}`:                                                         {},
		" {\n\t" + iat + " }\r\n":                                                     {},
		`{"iat":"2026-11-22T14:42:00+05:30"}`:                                         {},
		`{"iat":"2026-11-22T09:12:00.000Z"}`:                                          {},
		`{"i\u0061t":"2026-11-22T09:12:00Z"}`:                                         {},
		`{"name":"demo","mutation":"owners",` + iat + `}`:                             {Operation: Owners, Name: "demo"},
		`{"vers":"1.0.0","name":"demo","mutation":"yank",` + iat + `}`:                {Operation: Yank, Name: "demo", Version: "1.0.0"},
		`{"challenge":"c","sub":"s",` + iat + `}`:                                     {Challenge: "c", Subject: "s"},
		`{"custom":null,` + iat + `}`:                                                 {},
		`{"custom":[1,{"jti":"j"}],` + iat + `}`:                                      {},
		`{"custom":{"jti":7,"x":{"jti":"inner"}},` + iat + `}`:                        {},
		`{"custom":{"totp":"1","jti":"j","x":[{}]},` + iat + `,"sub":"\u0073\u00e9"}`: {JTI: "j", Subject: "sé"},
	} {
		if want.Operation == "" {
			want.Operation = Read
		}
		want.IssuedAt = second
		key := testKey(t, keys.Ed25519)
		tok, err := Verify(forge(t, key, payload, footerOf(key)), key.Public())
		if err != nil {
			t.Errorf("%s: %v", payload, err)
			continue
		}
		if tok.Claims() != want {
			t.Errorf("%s: claims %+v, want %+v", payload, tok.Claims(), want)
		}
	}
}

func TestParseFooterNames(t *testing.T) {
	key := testKey(t, keys.P384)
	id := key.Public().ID().String()
	for _, footer := range []string{
		`{"url":"u","kid":"` + id + `"}`,
		`{"url":"u","kip":"` + id + `"}`,
		`{"kid":"` + id + `","url":"u","kip":"` + id + `"}`,
	} {
		tok, err := Parse(forge(t, key, `{"iat":"2026-11-22T09:12:00Z"}`, footer))
		if err != nil {
			t.Errorf("%s: %v", footer, err)
			continue
		}
		if tok.KeyID() != key.Public().ID() || tok.Index() != "u" {
			t.Errorf("%s: key %v, url %q", footer, tok.KeyID(), tok.Index())
		}
	}
}

// Every payload here is signed, so that only its form is wrong. The sentence must say what.
func TestParseRefusesPayload(t *testing.T) {
	const iat = `"iat":"2026-11-22T09:12:00Z"`
	const publish = `"mutation":"publish","name":"demo","vers":"1.0.0","cksum":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"`
	for payload, want := range map[string]string{
		``:                                     "not one JSON object",
		`null`:                                 "not one JSON object",
		`[` + `]`:                              "not one JSON object",
		`{` + iat:                              "not one JSON object",
		`{` + iat + `}{}`:                      "not one JSON object",
		`{` + iat + `}x`:                       "not one JSON object",
		`{` + iat + `,}`:                       "not one JSON object",
		`{` + iat + `,` + iat + `}`:            "not one JSON object",
		`{` + iat + `,"i\u0061t":"x"}`:         "not one JSON object",
		`{` + iat + `,"sub":"a","sub":"a"}`:    "not one JSON object",
		`{` + iat + `,"custom":{"a":1,"a":2}}`: "custom is not valid JSON",
		`{` + iat + `,"custom":{"a":` + "\"\xff\"" + `}}`:                "custom is not valid JSON",
		`{` + iat + `,"sub":` + "\"\xff\"" + `}`:                         "sub is not a JSON string",
		`{}`:                                                             "iat is missing",
		`{"iat":1779440000}`:                                             "iat is not a JSON string",
		`{"iat":"2026-11-22 09:12:00Z"}`:                                 "is not a time",
		`{"iat":"2026-11-22t09:12:00z"}`:                                 "is not a time",
		`{"iat":"2026-11-22T9:12:00Z"}`:                                  "is not a time",
		`{"iat":"2026-11-22T09:12:00,5Z"}`:                               "is not a time",
		`{"iat":"2026-11-22T09:12:00.Z"}`:                                "is not a time",
		`{"iat":"2026-11-22T09:12:00+5:30"}`:                             "is not a time",
		`{"iat":"2026-11-22T09:12:00"}`:                                  "is not a time",
		`{"iat":"2026-11-22T09:12:00+24:00"}`:                            "is not a time",
		`{"iat":"2026-02-30T09:12:00Z"}`:                                 "is not a time",
		`{` + iat + `,"sub":""}`:                                         "sub is empty",
		`{` + iat + `,"sub":null}`:                                       "sub is not a JSON string",
		`{` + iat + `,"sub":7}`:                                          "sub is not a JSON string",
		`{` + iat + `,"challenge":""}`:                                   "challenge is empty",
		`{` + iat + `,"v":"1"}`:                                          "v is not a whole number",
		`{` + iat + `,"v":null}`:                                         "v is not a whole number",
		`{` + iat + `,"v":1.5}`:                                          "v is not a whole number",
		`{` + iat + `,"v":99999999999999999999}`:                         "v is not a whole number",
		`{` + iat + `,"exp":"2026-11-22T09:12:00Z"}`:                     `claim "exp" is not one of RFC 3231`,
		`{` + iat + `,"Sub":"a"}`:                                        `claim "Sub" is not one of RFC 3231`,
		`{` + iat + `,"mutation":"read"}`:                                "a read token has none",
		`{` + iat + `,"mutation":"delete"}`:                              "unknown operation",
		`{` + iat + `,"mutation":""}`:                                    "mutation is empty",
		`{` + iat + `,"mutation":["yank"]}`:                              "mutation is not a JSON string",
		`{` + iat + `,"name":"demo"}`:                                    "a token for read has no name",
		`{` + iat + `,"vers":"1.0.0"}`:                                   "a token for read has no vers",
		`{` + iat + `,"cksum":"00"}`:                                     "a token for read has no cksum",
		`{` + iat + `,"mutation":"owners"}`:                              "a token for owners needs name",
		`{` + iat + `,"mutation":"yank","name":"demo"}`:                  "a token for yank needs vers",
		`{` + iat + `,"mutation":"owners","name":"demo","vers":"1.0.0"}`: "has no vers",
		`{` + iat + `,` + strings.Replace(publish, `"publish"`, `"unyank"`, 1) + `}`: "has no cksum",
		`{` + iat + `,` + strings.Replace(publish, `abc`, `ABC`, 1) + `}`:            "64 lower-case hex",
		`{` + iat + `,` + strings.Replace(publish, `0123`, `123`, 1) + `}`:           "64 lower-case hex",
		`{` + iat + `,"mutation":"publish","name":"demo","vers":"1.0.0"}`:            "a token for publish needs cksum",
	} {
		key := testKey(t, keys.Ed25519)
		_, err := Parse(forge(t, key, payload, footerOf(key)))
		if codeOf(err) != CodeMalformed || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n%s: %v\nwant %q", payload, codeOf(err), err, want)
		}
	}
}

func TestParseRefusesFooter(t *testing.T) {
	key, other := testKey(t, keys.Ed25519), testKey(t, keys.P384)
	id, otherID := key.Public().ID().String(), other.Public().ID().String()
	for footer, want := range map[string]string{
		``:                              "not one JSON object",
		`"` + id + `"`:                  "not one JSON object",
		`{"url":"u"}`:                   "neither kid nor kip",
		`{"kid":"` + id + `"}`:          "url is missing",
		`{"url":"","kid":"` + id + `"}`: "url is empty",
		`{"url":"u","kid":""}`:          "kid is empty",
		`{"url":"u","kid":"` + id + `","kip":null}`:              "kip is not a JSON string",
		`{"url":"u","kid":"` + id + `","kip":"` + otherID + `"}`: "name different keys",
		`{"url":"u","url":"u","kid":"` + id + `"}`:               "not one JSON object",
		`{"url":"u","kid":"` + id + `","x":1}`:                   "is none of url, kip and kid",
		`{"url":"u","kid":"` + otherID + `"}`:                    "another algorithm",
		`{"url":"u","kid":"` + id[1:] + `"}`:                     "parsing key id",
		`{"url":"u","kid":"` + key.Public().String() + `"}`:      "parsing key id",
	} {
		_, err := Parse(forge(t, key, `{"iat":"2026-11-22T09:12:00Z"}`, footer))
		if codeOf(err) != CodeMalformed || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n%s: %v\nwant %q", footer, codeOf(err), err, want)
		}
	}
}

func TestParseRefusesText(t *testing.T) {
	good := mustMint(t, keys.Ed25519, readRequest)
	_, rest, _ := strings.Cut(good[len(headerV4):], ".")
	for text, want := range map[string]Code{
		"":                                      CodeMissing,
		" ":                                     CodeMalformed,
		"Bearer " + good:                        CodeMalformed,
		" " + good:                              CodeMalformed,
		strings.ToUpper(good[:9]) + good[9:]:    CodeMalformed,
		"v4.public.":                            CodeMalformed,
		"v4.public.AAAA." + rest:                CodeMalformed,
		good[:strings.LastIndex(good, ".")]:     CodeMalformed,
		good + ".":                              CodeMalformed,
		good + ".e30":                           CodeMalformed,
		good[:40] + "\n" + good[40:]:            CodeMalformed,
		"v2.public" + good[9:]:                  CodeAlgorithm,
		"v4.local" + good[9:]:                   CodeAlgorithm,
		"v5.public" + good[9:]:                  CodeMalformed,
		headerV4 + strings.Repeat("A", MaxSize): CodeMalformed,
	} {
		if _, err := Parse(text); codeOf(err) != want {
			t.Errorf("%.60q: %s, want %s (%v)", text, codeOf(err), want, err)
		}
	}
}

// A plain token, such as crates.io gives out, is a secret, and cargo sends it where ours would be.
func TestParseRepeatsNoSecret(t *testing.T) {
	for _, secret := range []string{"cioThisIsASecretOfAUser0123456789ab", "v4.public.cioThisIsASecret", "k4.secret.AAAAAAAA"} {
		_, err := Parse(secret)
		if err == nil || strings.Contains(err.Error(), secret[10:]) {
			t.Errorf("the refusal of %q says %v", secret, err)
		}
	}
}

func TestWrongKey(t *testing.T) {
	other, err := keys.Generate(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]keys.PublicKey{
		"another key":       other.Public(),
		"another algorithm": testKey(t, keys.P384).Public(),
		"no key":            {},
	} {
		if _, err := Verify(mustMint(t, keys.Ed25519, readRequest), key); codeOf(err) != CodeSignature {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One message has one replay key, however it is signed; another message has another.
func TestReplayKeyOfTwin(t *testing.T) {
	key := testKey(t, keys.P384)
	first, err := Verify(mustMint(t, keys.P384, yankRequest), key.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := join(keys.P384, string(first.payload), twin(first.signature), string(first.footer))
	second, err := Verify(text, key.Public())
	if err != nil {
		t.Fatalf("the twin does not verify: %v", err)
	}
	if bytes.Equal(first.signature, second.signature) {
		t.Fatal("the twin is no twin")
	}
	if first.ReplayKey(key.Public()) != second.ReplayKey(key.Public()) {
		t.Error("the twin has another replay key")
	}
	third, err := Parse(mustMint(t, keys.P384, yankRequest))
	if err != nil {
		t.Fatal(err)
	}
	if first.ReplayKey(key.Public()) == third.ReplayKey(key.Public()) {
		t.Error("another token has the same replay key")
	}
}
