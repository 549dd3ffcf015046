// Fuzzing: whatever parses is what it was parsed from.

package token

import (
	"bytes"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// parseSeeds are cargo's tokens and ours.
func parseSeeds(t testing.TB) []string {
	t.Helper()
	var seeds []string
	for _, v := range cargoVectors(t) {
		seeds = append(seeds, v.Token)
	}
	for _, r := range []Request{readRequest, publishRequest, yankRequest, unyankRequest, ownersRequest} {
		seeds = append(seeds, mustMint(t, keys.Ed25519, r), mustMint(t, keys.P384, r))
	}
	return seeds
}

func TestParseSeeds(t *testing.T) {
	seeds := parseSeeds(t)
	if len(seeds) != 34 {
		t.Errorf("%d seeds instead of 34", len(seeds))
	}
	for _, seed := range seeds {
		if _, err := Parse(seed); err != nil {
			t.Errorf("%v: %q", err, seed)
		}
	}
}

// FuzzParse: a token has one text, its claims fit together, and nothing panics or passes as signed.
func FuzzParse(f *testing.F) {
	for _, seed := range parseSeeds(f) {
		f.Add(seed)
	}
	signed := map[string]bool{}
	for _, seed := range parseSeeds(f) {
		signed[seed] = true
	}
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := Parse(text)
		if err != nil {
			if codeOf(err) == "not a refusal" || tok != nil {
				t.Fatalf("%v, %v", tok, err)
			}
			return
		}
		if again := join(tok.algorithm, string(tok.payload), tok.signature, string(tok.footer)); again != text {
			t.Fatalf("%q is also %q", text, again)
		}
		checkClaims(t, tok.Claims())
		if tok.KeyID().Algorithm() != tok.Algorithm() || tok.Index() == "" || len(text) > MaxSize {
			t.Fatalf("token %+v", tok)
		}
		if key := testKey(t, tok.Algorithm()).Public(); tok.Verify(key) == nil && !verifiesAsSeed(t, tok, signed) {
			t.Fatalf("a forgery: %q", text)
		}
	})
}

// verifiesAsSeed reports whether tok says what a seed says: the fuzzer may find the twin of a P-384
// signature, and tokens that an earlier run has minted.
func verifiesAsSeed(t testing.TB, tok *Token, signed map[string]bool) bool {
	if bytes.Contains(tok.payload, []byte(`"custom":{"jti":"`)) {
		return true
	}
	for seed := range signed {
		if other, err := Parse(seed); err == nil && bytes.Equal(other.payload, tok.payload) && bytes.Equal(other.footer, tok.footer) {
			return true
		}
	}
	return false
}

func checkClaims(t testing.TB, c Claims) {
	if err := checkCombination(c.Operation, c.Name, c.Version, c.Checksum); err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	if c.IssuedAt.Location() != time.UTC {
		t.Fatalf("%+v: iat is not in UTC", c)
	}
}

// FuzzClaims: any payload is refused or read, and what was read can be minted and read back.
func FuzzClaims(f *testing.F) {
	for _, v := range cargoVectors(f) {
		f.Add([]byte(v.Payload))
	}
	f.Add([]byte(`{"iat":"2026-11-22T14:42:00.25+05:30","v":1,"challenge":"c","custom":{"jti":"j","x":[1,{}]}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, version, err := decodeClaims(payload)
		if err != nil || version != 1 {
			return
		}
		checkClaims(t, c)
		r := Request{Index: testIndex, Subject: c.Subject, Operation: c.Operation, Name: c.Name,
			Version: c.Version, Checksum: c.Checksum, Challenge: c.Challenge}
		text, err := r.payload(c.IssuedAt, testJTI)
		if err != nil {
			return // a year before 0 or after 9999, after the offset is taken off
		}
		again, _, err := decodeClaims(text)
		if err != nil {
			t.Fatalf("%q, from %q: %v", text, payload, err)
		}
		if c.JTI = testJTI; again != c {
			t.Fatalf("%+v became %+v", c, again)
		}
	})
}
