// Minting: the stored form, what is refused, and a second opinion.

package token

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"aidanwoods.dev/go-paseto"

	"github.com/cargo-regkey/regkey/keys"
)

// The form that registries and recordings hold. A change here breaks tokens, not the test.
func TestMintedForm(t *testing.T) {
	for _, test := range []struct {
		algorithm keys.Algorithm
		request   Request
		payload   string
		text      string
	}{
		{keys.Ed25519, publishRequest,
			`{"iat":"2026-11-22T09:12:00.000000001Z","sub":"crates-team","mutation":"publish","name":"demo","vers":"1.0.0-rc.1+build.5",` +
				`"cksum":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","custom":{"jti":"000102030405060708090a0b0c0d0e0f"}}`,
			"v4.public.eyJpYXQiOiIyMDI2LTExLTIyVDA5OjEyOjAwLjAwMDAwMDAwMVoiLCJzdWIiOiJjcmF0ZXMtdGVhbSIsIm11dGF0aW9uIjoicHVibGlzaCIsIm5hbWUiOiJkZW1vIiwidmVycyI6IjEuMC4wLXJjLjErYnVpbGQuNSIsImNrc3VtIjoiMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZiIsImN1c3RvbSI6eyJqdGkiOiIwMDAxMDIwMzA0MDUwNjA3MDgwOTBhMGIwYzBkMGUwZiJ9fQur_d-ztQ--emJoLoGrnpPlHjeHQbA2ByWksBwxgrNA7wwPFTeboMjlVfxFZiSo5ETcbtqAH9Wql_7629KyIwo.eyJ1cmwiOiJzcGFyc2UraHR0cHM6Ly9jcmF0ZXMuZXhhbXBsZS5jb20vaW5kZXgvIiwia2lwIjoiazQucGlkLjRYNzJzUUFlRFYzeUtIMHBWV0IzY1lXbnEyS0k3aW5jM21BRzQxQjViTFN5Iiwia2lkIjoiazQucGlkLjRYNzJzUUFlRFYzeUtIMHBWV0IzY1lXbnEyS0k3aW5jM21BRzQxQjViTFN5In0"},
		{keys.P384, readRequest,
			`{"iat":"2026-11-22T09:12:00.000000001Z","custom":{"jti":"000102030405060708090a0b0c0d0e0f"}}`,
			"v3.public.eyJpYXQiOiIyMDI2LTExLTIyVDA5OjEyOjAwLjAwMDAwMDAwMVoiLCJjdXN0b20iOnsianRpIjoiMDAwMTAyMDMwNDA1MDYwNzA4MDkwYTBiMGMwZDBlMGYifX1J1cvDOQn7MqxrG8fomUMxEKKv3FE5zc5cu28eL53hWV-yBRKve0j_CKWWMxH_DlN4LBvpHPdnl11H2cw0JuGTco1parX0sb_v4S5nEAPRPl3FLG2Q6gL_o2z0gKrXMUc.eyJ1cmwiOiJzcGFyc2UraHR0cHM6Ly9jcmF0ZXMuZXhhbXBsZS5jb20vaW5kZXgvIiwia2lwIjoiazMucGlkLjZDSDg3S1p0NFRVYkM5czA5RDhsTVQ1cjRNYlplTlMtZWI4Y282M2w0NTQxIiwia2lkIjoiazMucGlkLjZDSDg3S1p0NFRVYkM5czA5RDhsTVQ1cjRNYlplTlMtZWI4Y282M2w0NTQxIn0"},
	} {
		text, err := mint(t.Context(), testKey(t, test.algorithm), test.request, testTime, testJTI)
		if err != nil {
			t.Fatal(err)
		}
		if text != test.text {
			t.Errorf("%v: token\n%s\nwant\n%s", test.algorithm, text, test.text)
		}
		tok, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if string(tok.payload) != test.payload {
			t.Errorf("%v: payload\n%s\nwant\n%s", test.algorithm, tok.payload, test.payload)
		}
		if want := footerOf(testKey(t, test.algorithm)); string(tok.footer) != want {
			t.Errorf("%v: footer\n%s\nwant\n%s", test.algorithm, tok.footer, want)
		}
	}
}

func TestMintThenParse(t *testing.T) {
	challenged := yankRequest
	challenged.Challenge = `"</script>&\` + "\u2028é"
	for _, r := range []Request{readRequest, publishRequest, yankRequest, unyankRequest, ownersRequest, challenged} {
		for _, a := range []keys.Algorithm{keys.Ed25519, keys.P384} {
			// The same moment in another zone is the same claim.
			text, err := Mint(t.Context(), testKey(t, a), r, testTime.In(time.FixedZone("", 19800)))
			if err != nil {
				t.Fatal(err)
			}
			tok, err := Verify(text, testKey(t, a).Public())
			if err != nil {
				t.Fatal(err)
			}
			got := tok.Claims()
			if len(got.JTI) != 32 {
				t.Errorf("jti %q is not 128 bits in hex", got.JTI)
			}
			want := Claims{IssuedAt: testTime, Subject: r.Subject, Operation: r.Operation, Name: r.Name,
				Version: r.Version, Checksum: r.Checksum, Challenge: r.Challenge, JTI: got.JTI}
			if got != want || tok.Index() != r.Index || tok.KeyID() != testKey(t, a).Public().ID() || tok.Algorithm() != a {
				t.Errorf("claims %+v, want %+v", got, want)
			}
			if strings.Contains(string(tok.payload), `\u00`) {
				t.Errorf("payload escapes for HTML: %s", tok.payload)
			}
		}
	}
}

func TestMintIsUnique(t *testing.T) {
	key := testKey(t, keys.Ed25519).Public()
	a, errA := Parse(mustMint(t, keys.Ed25519, yankRequest))
	b, errB := Parse(mustMint(t, keys.Ed25519, yankRequest))
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if a.ReplayKey(key) == b.ReplayKey(key) {
		t.Error("two tokens minted for the same at the same time have one replay key")
	}
}

func TestMintRefuses(t *testing.T) {
	with := func(r Request, change func(*Request)) Request { change(&r); return r }
	for name, r := range map[string]Request{
		"no operation":        with(readRequest, func(r *Request) { r.Operation = "" }),
		"unknown operation":   with(yankRequest, func(r *Request) { r.Operation = "delete" }),
		"no index":            with(readRequest, func(r *Request) { r.Index = "" }),
		"read name":           with(readRequest, func(r *Request) { r.Name = "demo" }),
		"read version":        with(readRequest, func(r *Request) { r.Version = "1.0.0" }),
		"read checksum":       with(readRequest, func(r *Request) { r.Checksum = testChecksum }),
		"publish no name":     with(publishRequest, func(r *Request) { r.Name = "" }),
		"publish no version":  with(publishRequest, func(r *Request) { r.Version = "" }),
		"publish no checksum": with(publishRequest, func(r *Request) { r.Checksum = "" }),
		"upper-case checksum": with(publishRequest, func(r *Request) { r.Checksum = strings.ToUpper(testChecksum) }),
		"short checksum":      with(publishRequest, func(r *Request) { r.Checksum = testChecksum[1:] }),
		"yank checksum":       with(yankRequest, func(r *Request) { r.Checksum = testChecksum }),
		"yank no version":     with(yankRequest, func(r *Request) { r.Version = "" }),
		"unyank no name":      with(unyankRequest, func(r *Request) { r.Name = "" }),
		"owners version":      with(ownersRequest, func(r *Request) { r.Version = "1.0.0" }),
		"owners no name":      with(ownersRequest, func(r *Request) { r.Name = "" }),
		"subject with space":  with(readRequest, func(r *Request) { r.Subject = "a b" }),
		"subject not ASCII":   with(readRequest, func(r *Request) { r.Subject = "é" }),
		"not UTF-8":           with(yankRequest, func(r *Request) { r.Name = "\xff" }),
		"index not UTF-8":     with(yankRequest, func(r *Request) { r.Index = "\xff" }),
		"too long":            with(yankRequest, func(r *Request) { r.Challenge = strings.Repeat("c", MaxSize) }),
	} {
		if text, err := Mint(t.Context(), testKey(t, keys.Ed25519), r, testTime); err == nil {
			t.Errorf("%s: minted %q", name, text)
		}
	}
	if _, err := Mint(t.Context(), testKey(t, keys.Ed25519), readRequest, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)); err == nil {
		t.Error("minted in the year 10000")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Mint(ended, testKey(t, keys.Ed25519), readRequest, testTime); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

// The longest token that Mint makes is one that Parse takes.
func TestMintLimit(t *testing.T) {
	r := yankRequest
	for n := 5300; ; n++ {
		r.Challenge = strings.Repeat("c", n)
		text, err := Mint(t.Context(), testKey(t, keys.Ed25519), r, testTime)
		if err != nil {
			if n == 5300 {
				t.Fatalf("no token was long: %v", err)
			}
			return
		}
		if _, err := Parse(text); err != nil || len(text) > MaxSize {
			t.Fatalf("minted %d bytes, parsed: %v", len(text), err)
		}
	}
}

func TestGoPASETOAcceptsOurs(t *testing.T) {
	for _, r := range []Request{readRequest, publishRequest, yankRequest, unyankRequest, ownersRequest} {
		for _, a := range []keys.Algorithm{keys.Ed25519, keys.P384} {
			parsed, err := oracleParse(t, testKey(t, a).Public(), mustMint(t, a, r))
			if err != nil {
				t.Errorf("%v %s: %v", a, r.Operation, err)
				continue
			}
			if name, _ := parsed.GetString("name"); name != r.Name {
				t.Errorf("%v %s: name %q, want %q", a, r.Operation, name, r.Name)
			}
			if issued, err := parsed.GetIssuedAt(); err != nil || !issued.Equal(testTime) {
				t.Errorf("%v %s: iat %v (%v)", a, r.Operation, issued, err)
			}
			if string(parsed.Footer()) != footerOf(testKey(t, a)) {
				t.Errorf("%v %s: footer %s", a, r.Operation, parsed.Footer())
			}
		}
	}
}

func oracleParse(t *testing.T, public keys.PublicKey, text string) (*paseto.Token, error) {
	t.Helper()
	parser := paseto.NewParserWithoutExpiryCheck()
	if public.Algorithm() == keys.Ed25519 {
		key, err := paseto.NewV4AsymmetricPublicKeyFromBytes(public.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return parser.ParseV4Public(key, text, nil)
	}
	key, err := paseto.NewV3AsymmetricPublicKeyFromBytes(public.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return parser.ParseV3Public(key, text, nil)
}

// Go-paseto sorts the claims, writes whole seconds and the local offset.
func TestGoPASETOIsAccepted(t *testing.T) {
	issued := testTime.Truncate(time.Second).In(time.FixedZone("", -3600))
	for _, a := range []keys.Algorithm{keys.Ed25519, keys.P384} {
		key := testKey(t, a)
		made := paseto.NewToken()
		made.SetIssuedAt(issued)
		made.SetSubject("crates-team")
		made.SetString("mutation", "publish")
		made.SetString("name", "demo")
		made.SetString("vers", "1.0.0")
		made.SetString("cksum", testChecksum)
		made.SetFooter([]byte(`{"kid": "` + key.Public().ID().String() + `", "url": "` + testIndex + `"}`))
		tok, err := Verify(oracleSign(t, key, &made), key.Public())
		if err != nil {
			t.Errorf("%v: %v", a, err)
			continue
		}
		want := Claims{IssuedAt: issued.UTC(), Subject: "crates-team", Operation: Publish, Name: "demo", Version: "1.0.0", Checksum: testChecksum}
		if tok.Claims() != want {
			t.Errorf("%v: claims %+v, want %+v", a, tok.Claims(), want)
		}
	}
}

func oracleSign(t *testing.T, key *keys.SoftwareKey, made *paseto.Token) string {
	t.Helper()
	raw, err := base64url.DecodeString(string(key.Secret().Reveal())[len("k4.secret."):])
	if err != nil {
		t.Fatal(err)
	}
	if key.Public().Algorithm() == keys.Ed25519 {
		secret, err := paseto.NewV4AsymmetricSecretKeyFromBytes(raw)
		if err != nil {
			t.Fatal(err)
		}
		return made.V4Sign(secret, nil)
	}
	secret, err := paseto.NewV3AsymmetricSecretKeyFromBytes(raw)
	if err != nil {
		t.Fatal(err)
	}
	return made.V3Sign(secret, nil)
}
