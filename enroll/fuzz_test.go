// Fuzzing the parsers: whatever they take, they give back byte for byte; nothing makes them panic or talk.

package enroll

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gonote "golang.org/x/mod/sumdb/note"

	"github.com/cargo-regkey/regkey/keys"
)

// seeds are the pinned notes whose name begins with prefix; none is a fault of the test.
func seeds(f *testing.F, prefix string) [][]byte {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "documents", prefix+"*.note"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds %s*.note: %v", prefix, err)
	}
	var all [][]byte
	for _, file := range files {
		note, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, note)
	}
	return all
}

// addTexts adds the seeds' texts, each good and each with a fault.
func addTexts(f *testing.F, prefix string) {
	for _, note := range seeds(f, prefix) {
		text := textOf(f, note)
		f.Add(text)
		f.Add(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")))
		f.Add(text[:len(text)-1])
	}
}

func FuzzParseKeyset(f *testing.F) {
	addTexts(f, "keyset-")
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParseKeyset(text)
		if err != nil {
			return
		}
		again, err := k.Encode()
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%q\nis encoded as\n%q (%v)", text, again, err)
		}
	})
}

func FuzzParseRevocation(f *testing.F) {
	addTexts(f, "revocation")
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRevocation(text)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%q\nis encoded as\n%q (%v)", text, again, err)
		}
	})
}

func FuzzParseSignedKeyset(f *testing.F) {
	for _, note := range seeds(f, "") {
		f.Add(note)
	}
	standing := Standing{Indexes: []string{testIndex}, Account: testAccount, Now: noon, Bootstrap: ByInvite(ed(100).Public())}
	f.Fuzz(func(t *testing.T, note []byte) {
		k, err := ParseSignedKeyset(note)
		if err != nil {
			return
		}
		if !bytes.Equal(encodeNote(k.Text, k.signed.signatures), note) || !bytes.Equal(k.Note, note) || !bytes.HasPrefix(note, k.Text) {
			t.Fatalf("%q is not what it was read from", note)
		}
		if standing.Accept(k) == nil {
			t.Fatalf("accepted without the invite:\n%s", note)
		}
		if len(k.Signers()) == 0 {
			t.Fatal("a note that nobody signed")
		}
		// Another reader of C2SP signed notes sees the same text and the same signers.
		var unverified *gonote.UnverifiedNoteError
		if _, err := gonote.Open(note, gonote.VerifierList()); !errors.As(err, &unverified) ||
			unverified.Note.Text != string(k.Text) || len(unverified.Note.UnverifiedSigs) != len(k.Signers()) {
			t.Fatalf("golang.org/x/mod/sumdb/note reads otherwise (%v):\n%s", err, note)
		}
	})
}

func FuzzParseSignedRevocation(f *testing.F) {
	good := map[string]bool{}
	for _, note := range seeds(f, "") {
		f.Add(note)
		good[string(note)] = true
	}
	f.Fuzz(func(t *testing.T, note []byte) {
		r, err := ParseSignedRevocation(note)
		if err != nil {
			return
		}
		if !bytes.Equal(encodeNote(r.Text, r.signed.signatures), note) {
			t.Fatalf("%q is not what it was read from", note)
		}
		if r.Verify(ed(1).Public()) == nil && !good[string(note)] {
			t.Fatalf("forged:\n%s", note)
		}
	})
}

func FuzzInviteKey(f *testing.F) {
	for _, code := range []string{pinnedCode, strings.ToLower(pinnedCode), " " + strings.ReplaceAll(pinnedCode, "-", "") + "\n", "", "A0", pinnedCode[:29] + "5"} {
		f.Add([]byte(code))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		key, err := InviteKey(keys.NewSecret(code))
		if err != nil {
			if text := err.Error(); text != "the invite code is not 26 characters of A-Z and 2-7: check for a typing mistake" {
				t.Fatalf("the error is %q", text)
			}
			return
		}
		if key.Public().Algorithm() != keys.Ed25519 || len(code) < 26 {
			t.Fatalf("%q gives a key", code)
		}
	})
}
