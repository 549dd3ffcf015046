// What all tests of this package use: keys, a time, tokens made by hand.

package token

import (
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

const testIndex = "sparse+https://crates.example.com/index/"

var testTime = time.Date(2026, 11, 22, 9, 12, 0, 1, time.UTC)

var (
	testChecksum   = strings.Repeat("0123456789abcdef", 4)
	publishRequest = Request{Index: testIndex, Subject: "crates-team", Operation: Publish,
		Name: "demo", Version: "1.0.0-rc.1+build.5", Checksum: testChecksum}
	readRequest   = Request{Index: testIndex, Operation: Read}
	yankRequest   = Request{Index: testIndex, Operation: Yank, Name: "demo", Version: "1.0.0"}
	unyankRequest = Request{Index: testIndex, Operation: Unyank, Name: "demo", Version: "1.0.0"}
	ownersRequest = Request{Index: testIndex, Operation: Owners, Name: "demo"}
)

const testJTI = "000102030405060708090a0b0c0d0e0f"

// testKey is a fixed key of each algorithm; those who know its bytes are many.
func testKey(t testing.TB, a keys.Algorithm) *keys.SoftwareKey {
	t.Helper()
	raw := make([]byte, 48)
	for i := range raw {
		raw[i] = byte(i + 1)
	}
	var key *keys.SoftwareKey
	var err error
	if a == keys.Ed25519 {
		key, err = keys.NewEd25519Key(keys.NewSecret(raw[:32]))
	} else {
		key, err = keys.ParseSoftwareKey(keys.NewSecret([]byte("k3.secret." + base64url.EncodeToString(raw))))
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mustMint(t testing.TB, a keys.Algorithm, r Request) string {
	t.Helper()
	text, err := Mint(t.Context(), testKey(t, a), r, testTime)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// forge signs any payload and footer with key, which Mint would not.
func forge(t testing.TB, key *keys.SoftwareKey, payload, footer string) string {
	t.Helper()
	signature, err := key.Sign(t.Context(), message(key.Public(), []byte(payload), []byte(footer)))
	if err != nil {
		t.Fatal(err)
	}
	return join(key.Public().Algorithm(), payload, signature, footer)
}

func join(a keys.Algorithm, payload string, signature []byte, footer string) string {
	return header(a) + base64url.EncodeToString(append([]byte(payload), signature...)) + "." +
		base64url.EncodeToString([]byte(footer))
}

func footerOf(key *keys.SoftwareKey) string {
	id := key.Public().ID().String()
	return `{"url":"` + testIndex + `","kip":"` + id + `","kid":"` + id + `"}`
}

// codeOf is the code of a refusal, "" for no error, and "not a refusal" for any other.
func codeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := err.(*Error); ok {
		return e.Code
	}
	return "not a refusal"
}
