// Fuzz targets: what parses is what is written again, nothing panics, no error repeats a secret.

package keys_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

// seedTexts adds the vectors' texts of all types, well-formed for the target or not.
func seedTexts(f *testing.F) {
	public, secrets := paserkVectors(f)
	for _, v := range public {
		f.Add(v.PASERK)
		f.Add(v.ID)
	}
	for _, v := range secrets {
		f.Add(v.PASERK)
	}
}

func FuzzParsePublicKey(f *testing.F) {
	seedTexts(f)
	f.Fuzz(func(t *testing.T, text string) {
		key, err := keys.ParsePublicKey(text)
		if err != nil {
			if !key.IsZero() {
				t.Fatal("a key beside an error")
			}
			return
		}
		if key.String() != text {
			t.Fatalf("%q is written as %q", text, key)
		}
		if again, err := keys.NewPublicKey(key.Algorithm(), key.Bytes()); err != nil || again != key {
			t.Fatalf("%q: its bytes are another key (%v)", text, err)
		}
		if id, err := keys.ParseID(key.ID().String()); err != nil || id != key.ID() {
			t.Fatalf("%q: its id does not parse (%v)", text, err)
		}
	})
}

func FuzzParseID(f *testing.F) {
	seedTexts(f)
	f.Fuzz(func(t *testing.T, text string) {
		id, err := keys.ParseID(text)
		if err == nil && (id.String() != text || id.Algorithm().PublicKeySize() == 0) || err != nil && !id.IsZero() {
			t.Fatalf("%q is the id %q of %v (%v)", text, id, id.Algorithm(), err)
		}
	})
}

func FuzzParseSoftwareKey(f *testing.F) {
	seedTexts(f)
	f.Fuzz(func(t *testing.T, text string) {
		key, err := keys.ParseSoftwareKey(secret(text))
		if err != nil {
			checkSilentFuzz(t, err, text)
			return
		}
		if string(key.Secret().Reveal()) != text {
			t.Fatal("the text is written as another one")
		}
		if _, err := keys.Sign(context.Background(), key, []byte("message")); err != nil {
			t.Fatalf("it parses and can't sign: %v", err)
		}
	})
}

func FuzzKeyFile(f *testing.F) {
	_, secrets := paserkVectors(f)
	for _, v := range secrets {
		f.Add([]byte(v.PASERK + "\n"))
		key, err := keys.ParseSoftwareKey(secret(v.PASERK))
		if err != nil {
			f.Fatal(err)
		}
		file, err := keys.SealKey(key, "p")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	s, _, _ := inKeychain(f, newKeychain())
	file, err := os.ReadFile(s.Path("k"))
	if err != nil {
		f.Fatal(err)
	}
	if _, err := keys.OpenKey(context.Background(), keys.NewSecret(file), nil); !errors.Is(err, keys.ErrNoKeychain) {
		f.Fatal(err)
	}
	f.Add(file)
	f.Fuzz(func(t *testing.T, file []byte) {
		key, err := keys.OpenKey(context.Background(), keys.NewSecret(file), ask("p"))
		if err != nil {
			checkSilentFuzz(t, err, string(file))
			return
		}
		again, err := keys.SealKey(key, "p")
		if err != nil {
			t.Fatal(err)
		}
		opened, err := keys.OpenKey(context.Background(), keys.NewSecret(again), ask("p"))
		if err != nil || opened.Public() != key.Public() {
			t.Fatalf("sealed and opened again: %v", err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	public, _ := paserkVectors(f)
	seeds := 0
	for _, v := range public {
		key, err := keys.ParsePublicKey(v.PASERK)
		if err != nil {
			continue // some vectors are for keys that are refused
		}
		for _, protection := range []keys.Protection{keys.Unprotected, keys.Passphrase} {
			text, err := keys.EncodeRecord(keys.Record{Name: "k", Public: key, Created: written, Protection: protection})
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
			seeds++
		}
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	for _, text := range []string{hardwareFile, agentFile, importedFile} {
		if _, err := keys.ParseRecord("k", []byte(text)); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		record, err := keys.ParseRecord("k", text)
		if err != nil {
			return
		}
		again, err := keys.EncodeRecord(record)
		if err != nil {
			t.Fatalf("%+v is read and can't be written: %v", record, err)
		}
		if parsed, err := keys.ParseRecord("k", again); err != nil || !parsed.Equal(record) {
			t.Fatalf("%+v becomes %+v (%v)", record, parsed, err)
		}
	})
}

// checkSilentFuzz fails if an error repeats sixteen characters in a row of secret text.
func checkSilentFuzz(t *testing.T, err error, text string) {
	t.Helper()
	at := strings.Index(text, ".secret.")
	if at < 0 {
		return
	}
	data := text[at+len(".secret."):]
	for i := range max(0, len(data)-16) {
		if strings.Contains(err.Error(), data[i:i+16]) {
			t.Fatalf("error repeats its input: %v", err)
		}
	}
}
