// Tokens that others have made: by cargo itself, and those of the PASETO project.

package token

import (
	"bytes"
	"crypto/elliptic"
	"encoding/hex"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/keys"
)

// A cargoVector is a token that cargo 1.95 made and sent.
type cargoVector struct {
	Operation string `json:"operation"`
	Command   string `json:"command"`
	SecretKey string `json:"secret_key"`
	PublicKey string `json:"public_key"`
	Subject   string `json:"subject"`
	Token     string `json:"token"`
	Payload   string `json:"payload"`
	Signature string `json:"signature_hex"`
	Footer    string `json:"footer"`
}

func cargoVectors(t testing.TB) []cargoVector {
	t.Helper()
	var file struct {
		Vectors []cargoVector `json:"vectors"`
	}
	readJSON(t, "testdata/cargo-1.95-tokens.json", &file)
	if len(file.Vectors) != 24 {
		t.Fatalf("%d tokens of cargo instead of 24", len(file.Vectors))
	}
	return file.Vectors
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func parsePublic(t testing.TB, text string) keys.PublicKey {
	t.Helper()
	public, err := keys.ParsePublicKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func TestCargoTokens(t *testing.T) {
	for _, v := range cargoVectors(t) {
		public := parsePublic(t, v.PublicKey)
		tok, err := Verify(v.Token, public)
		if err != nil {
			t.Errorf("%s of %q: %v", v.Operation, v.Command, err)
			continue
		}
		if string(tok.payload) != v.Payload || string(tok.footer) != v.Footer || hex.EncodeToString(tok.signature) != v.Signature {
			t.Errorf("%s of %q: parts differ from those listed", v.Operation, v.Command)
		}
		// The lists are read here by a general decoder, and in Parse by our own.
		var payload struct{ Iat, Sub, Mutation, Name, Vers, Cksum string }
		var footer struct{ URL, Kip string }
		fold := json.MatchCaseInsensitiveNames(true)
		if err := json.Unmarshal([]byte(v.Payload), &payload, fold); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(v.Footer), &footer, fold); err != nil {
			t.Fatal(err)
		}
		issued, err := time.Parse(time.RFC3339Nano, payload.Iat)
		if err != nil {
			t.Fatal(err)
		}
		want := Claims{IssuedAt: issued, Subject: payload.Sub, Operation: Operation(v.Operation),
			Name: payload.Name, Version: payload.Vers, Checksum: payload.Cksum}
		if got := tok.Claims(); got != want {
			t.Errorf("claims %+v, want %+v", got, want)
		}
		if v.Subject != payload.Sub || (v.Operation != "read" && v.Operation != payload.Mutation) {
			t.Errorf("the list disagrees with itself: %+v", v)
		}
		if tok.Index() != footer.URL || tok.KeyID().String() != footer.Kip || tok.KeyID() != public.ID() {
			t.Errorf("footer %q of key %v, want %+v", tok.Index(), tok.KeyID(), footer)
		}
	}
}

// oneOfEach returns cargo's first token for each operation.
func oneOfEach(t testing.TB) []cargoVector {
	t.Helper()
	var out []cargoVector
	for _, op := range []Operation{Read, Publish, Yank, Unyank, Owners} {
		for _, v := range cargoVectors(t) {
			if v.Operation == string(op) {
				out = append(out, v)
				break
			}
		}
	}
	if len(out) != 5 {
		t.Fatalf("tokens for %d operations instead of 5", len(out))
	}
	return out
}

// A P-384 verification costs 0.7 ms, so these bytes get eight other values each: one
// with each bit flipped.
func TestChangedCargoTokens(t *testing.T) {
	for _, v := range oneOfEach(t) {
		t.Run(v.Operation, func(t *testing.T) {
			t.Parallel()
			mangle(t, v.Token, parsePublic(t, v.PublicKey), func(old byte) []byte {
				var values []byte
				for bit := range 8 {
					values = append(values, old^1<<bit)
				}
				return values
			})
		})
	}
}

func TestChangedMintedToken(t *testing.T) {
	t.Parallel()
	public := testKey(t, keys.Ed25519).Public()
	mangle(t, mustMint(t, keys.Ed25519, publishRequest), public, func(old byte) []byte {
		var values []byte
		for b := range 256 {
			if byte(b) != old {
				values = append(values, byte(b))
			}
		}
		return values
	})
}

// mangle demands that Verify refuses text with any byte changed, left out or doubled. Under the
// race detector, which has nothing to find here, it takes every eighth byte.
func mangle(t *testing.T, text string, public keys.PublicKey, values func(old byte) []byte) {
	if _, err := Verify(text, public); err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	try := func(changed string) {
		if changed == text {
			return
		}
		if _, err := Verify(changed, public); err == nil {
			t.Errorf("accepted: %q", changed)
		}
	}
	for i := range len(text) {
		tried := values(text[i])
		if underRace {
			if tried = tried[:1]; i%8 != 0 {
				continue
			}
		}
		for _, value := range tried {
			try(text[:i] + string([]byte{value}) + text[i+1:])
		}
		try(text[:i] + text[i+1:])
		try(text[:i] + text[i:i+1] + text[i:])
		try(text[:i])
	}
	for _, more := range []string{"\n", "=", ".", " ", "A", "."} {
		try(text + more)
		try(more + text)
	}
}

// The PASETO project's own tests know neither our claims nor our footer, so they test what lies
// under Parse and Mint: the message and the signature.
func TestPASETOVectors(t *testing.T) {
	var file struct {
		Tests []struct {
			Name     string `json:"name"`
			Public   string `json:"public-key"`
			Secret   string `json:"secret-key"`
			Token    string `json:"token"`
			Payload  string `json:"payload"`
			Footer   string `json:"footer"`
			Implicit string `json:"implicit-assertion"`
		} `json:"tests"`
	}
	readJSON(t, "testdata/paseto-public.json", &file)
	if len(file.Tests) != 6 {
		t.Fatalf("%d tests instead of 6", len(file.Tests))
	}
	for _, v := range file.Tests {
		key := keyFromHex(t, v.Secret)
		public := key.Public()
		if hex.EncodeToString(public.Bytes()) != v.Public {
			t.Errorf("%s: public key %x", v.Name, public.Bytes())
		}
		parts := strings.Split(v.Token, ".")
		signed, err := decodeBase64(parts[2])
		if err != nil || string(signed[:len(v.Payload)]) != v.Payload || parts[0]+".public." != header(public.Algorithm()) {
			t.Fatalf("%s: token and payload disagree (%v)", v.Name, err)
		}
		signature := signed[len(v.Payload):]
		m := message(public, []byte(v.Payload), []byte(v.Footer))
		// The token with an implicit assertion must not verify as one of ours.
		if got, want := public.Verify(m, signature), v.Implicit == ""; got != want {
			t.Errorf("%s: verifies %v, want %v", v.Name, got, want)
		}
		if v.Implicit != "" {
			continue
		}
		ours, err := keys.Sign(t.Context(), key, m)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, signature) && (public.Algorithm() == keys.Ed25519 || !bytes.Equal(ours, twin(signature))) {
			t.Errorf("%s: our signature %x, theirs %x", v.Name, ours, signature)
		}
	}
}

// keyFromHex takes the key of a PASETO test: 64 bytes for version 4, 48 for version 3.
func keyFromHex(t testing.TB, text string) *keys.SoftwareKey {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	prefix := "k4.secret."
	if len(raw) == 48 {
		prefix = "k3.secret."
	}
	key, err := keys.ParseSoftwareKey(keys.NewSecret([]byte(prefix + base64url.EncodeToString(raw))))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// twin is the other signature that verifies wherever r‖s does: r‖(n−s).
func twin(signature []byte) []byte {
	s := new(big.Int).SetBytes(signature[48:])
	s.Sub(elliptic.P384().Params().N, s)
	return append(bytes.Clone(signature[:48]), s.FillBytes(make([]byte, 48))...)
}
