// What all tests of keys share: cheap scrypt, vectors, keys.

package keys_test

import (
	"encoding/hex"
	"os"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/keys"
)

// Real work factors, restored by the tests that are about them.
var realWorkFactor, realMaxWorkFactor int

func TestMain(m *testing.M) {
	if fault := os.Getenv(faultVariable); fault != "" {
		os.Exit(runFault(fault))
	}
	if dir := os.Getenv(mountVariable); dir != "" {
		os.Exit(runMount(dir))
	}
	realWorkFactor, realMaxWorkFactor = keys.SetWorkFactors(4, 12)
	os.Exit(m.Run())
}

var algorithms = []keys.Algorithm{keys.Ed25519, keys.P384}

type publicVector struct {
	Name    string   `json:"name"`
	Key     hexBytes `json:"key"`
	PASERK  string   `json:"paserk"`
	ID      string   `json:"id"`
	Refused string   `json:"refused,omitempty"`
}

type secretVector struct {
	Name   string   `json:"name"`
	Key    hexBytes `json:"key"`
	PASERK string   `json:"paserk"`
	Public string   `json:"public"`
}

type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// paserkVectors fails where there are none: a loop over nothing would pass.
func paserkVectors(t testing.TB) (public []publicVector, secret []secretVector) {
	t.Helper()
	text, err := os.ReadFile("testdata/paserk.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Source string         `json:"source"`
		Public []publicVector `json:"public"`
		Secret []secretVector `json:"secret"`
	}
	if err := json.Unmarshal(text, &file, json.RejectUnknownMembers(true)); err != nil {
		t.Fatal(err)
	}
	if len(file.Public) == 0 || len(file.Secret) == 0 || file.Source == "" {
		t.Fatal("testdata/paserk.json has no vectors, or does not name their source")
	}
	return file.Public, file.Secret
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func generate(t testing.TB, a keys.Algorithm) *keys.SoftwareKey {
	t.Helper()
	key, err := keys.Generate(a)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func secret(text string) keys.Secret { return keys.NewSecret([]byte(text)) }
