// Key files: what is accepted, what is refused, and that no refusal repeats what it refuses.

package keys_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/cargo-regkey/regkey/keys"
)

// openText writes text to a key file and opens it with the passphrase "p".
func openText(t testing.TB, text string) (*keys.SoftwareKey, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, text, 0o600)
	return keys.OpenKeyFile(context.Background(), path, ask("p"))
}

// sealed is the content of a passphrase key file with the passphrase "p".
func sealed(t testing.TB, key *keys.SoftwareKey) string {
	t.Helper()
	s, _ := newStore(t)
	mustCreate(t, s, "k", key, "p")
	text, err := os.ReadFile(s.Path("k"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func unarmor(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := io.ReadAll(armor.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func rearmor(t testing.TB, raw []byte) string {
	t.Helper()
	var b strings.Builder
	w := armor.NewWriter(&b)
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// encrypt is an armored age file as somebody else may make one.
func encrypt(t testing.TB, text string, to ...age.Recipient) string {
	t.Helper()
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return rearmor(t, b.Bytes())
}

func scrypt(t testing.TB, passphrase string, workFactor int) age.Recipient {
	t.Helper()
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	to.SetWorkFactor(workFactor)
	return to
}

func TestAgeOpensOurFiles(t *testing.T) {
	for _, a := range algorithms {
		key := generate(t, a)
		identity, err := age.NewScryptIdentity("p")
		if err != nil {
			t.Fatal(err)
		}
		plain, err := age.Decrypt(armor.NewReader(strings.NewReader(sealed(t, key))), identity)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(plain)
		if err != nil || string(text) != string(key.Secret().Reveal())+"\n" {
			t.Errorf("%v: age gives %d bytes that are not the key and a line feed (%v)", a, len(text), err)
		}
	}
}

// TestRealWorkFactor pays the real price once. The header of an age file tells the work factor.
func TestRealWorkFactor(t *testing.T) {
	if realWorkFactor != 18 || realMaxWorkFactor < realWorkFactor || realMaxWorkFactor > 22 {
		t.Fatalf("the real work factors are %d and %d", realWorkFactor, realMaxWorkFactor)
	}
	writing, most := keys.SetWorkFactors(realWorkFactor, realMaxWorkFactor)
	defer keys.SetWorkFactors(writing, most)
	key := generate(t, keys.Ed25519)
	text := sealed(t, key)
	if header, _, _ := bytes.Cut(unarmor(t, text), []byte("---")); !bytes.Contains(header, []byte(" 18\n")) {
		t.Errorf("header is %q", header)
	}
	if testing.Short() {
		return
	}
	if opened, err := openText(t, text); err != nil || opened.Public() != key.Public() {
		t.Errorf("it does not open: %v", err)
	}
}

// TestHostileWorkFactor asks for work of ten seconds to years: refused before any is done.
func TestHostileWorkFactor(t *testing.T) {
	raw := unarmor(t, sealed(t, generate(t, keys.Ed25519)))
	for _, factor := range []int{realMaxWorkFactor + 1, 30, 63, 64, 1000} {
		writing, most := keys.SetWorkFactors(realWorkFactor, realMaxWorkFactor)
		hostile := rearmor(t, bytes.Replace(raw, []byte(" 4\n"), []byte(" "+strconv.Itoa(factor)+"\n"), 1))
		if _, err := openText(t, hostile); err == nil || !strings.Contains(err.Error(), "work factor") {
			t.Errorf("%d: %v", factor, err)
		}
		keys.SetWorkFactors(writing, most)
	}
}

func TestKeyFilesAccepted(t *testing.T) {
	key := generate(t, keys.Ed25519)
	text := string(key.Secret().Reveal())
	for name, file := range map[string]string{
		"as written":         text + "\n",
		"without line break": text,
		"with CRLF":          text + "\r\n",
		"sealed":             sealed(t, key),
		"sealed elsewhere":   encrypt(t, text, scrypt(t, "p", 5)),
		"sealed with CRLF":   strings.ReplaceAll(sealed(t, key), "\n", "\r\n"),
	} {
		if opened, err := openText(t, file); err != nil || opened.Public() != key.Public() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyFilesRefused(t *testing.T) {
	key := generate(t, keys.Ed25519)
	text := string(key.Secret().Reveal())
	x25519, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	armored := sealed(t, key)
	for name, file := range map[string]string{
		"empty":                   "",
		"line break":              "\n",
		"two line breaks":         text + "\n\n",
		"space behind":            text + " \n",
		"carriage return":         text + "\r",
		"break before":            "\n" + text,
		"byte order mark":         "\ufeff" + text + "\n",
		"quoted":                  `"` + text + `"`,
		"two keys":                text + "\n" + text + "\n",
		"NUL behind":              text + "\x00",
		"UTF-16":                  strings.Join(strings.Split(text, ""), "\x00"),
		"cut":                     text[:len(text)-1],
		"public half":             key.Public().String() + "\n",
		"id":                      key.Public().ID().String() + "\n",
		"PEM":                     "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n",
		"not UTF-8":               "\xff\xfe\xfd",
		"longer than 64 KiB":      text + strings.Repeat("\n", 64<<10),
		"sealed and long":         armored + strings.Repeat("\n", 64<<10),
		"sealed, not armored":     string(unarmor(t, armored)),
		"sealed, more behind":     armored + "x",
		"sealed, end missing":     strings.Replace(armored, "-----END AGE ENCRYPTED FILE-----", "", 1),
		"sealed for a recipient":  encrypt(t, text+"\n", x25519.Recipient()),
		"sealed nothing":          encrypt(t, "", scrypt(t, "p", 4)),
		"sealed garbage":          encrypt(t, "garbage", scrypt(t, "p", 4)),
		"sealed public half":      encrypt(t, key.Public().String()+"\n", scrypt(t, "p", 4)),
		"sealed sealed":           encrypt(t, armored, scrypt(t, "p", 4)),
		"sealed with two breaks":  encrypt(t, text+"\n\n", scrypt(t, "p", 4)),
		"sealed and long inside":  encrypt(t, text+strings.Repeat("\n", 40<<10), scrypt(t, "p", 4)),
		"two armored files":       armored + armored,
		"armor without a content": "-----BEGIN AGE ENCRYPTED FILE-----\n-----END AGE ENCRYPTED FILE-----\n",
	} {
		opened, err := openText(t, file)
		if err == nil {
			t.Errorf("%s: opened as %v", name, opened)
			continue
		}
		checkSilent(t, err, text)
		if errors.Is(err, keys.ErrWrongPassphrase) || errors.Is(err, keys.ErrNoPassphrase) {
			t.Errorf("%s: the passphrase is blamed: %v", name, err)
		}
	}
	for name, path := range map[string]string{"a folder": t.TempDir(), "nothing": filepath.Join(t.TempDir(), "none")} {
		if _, err := keys.OpenKeyFile(context.Background(), path, nil); err == nil || errors.Is(err, fs.ErrNotExist) != (name == "nothing") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMangledSealedFile changes every byte of a passphrase key file, and cuts it everywhere: what
// opens at all is the very key.
func TestMangledSealedFile(t *testing.T) {
	key := generate(t, keys.Ed25519)
	text := sealed(t, key)
	path := filepath.Join(t.TempDir(), "key")
	refused := 0
	try := func(what string, position int, file string) {
		write(t, path, file, 0o600)
		opened, err := keys.OpenKeyFile(context.Background(), path, ask("p"))
		switch {
		case err != nil:
			refused++
		case opened.Public() != key.Public():
			t.Errorf("%s at %d opens as another key", what, position)
		case what == "cut" && position < len(text)-1:
			t.Errorf("cut at %d opens", position)
		}
	}
	for i := range len(text) {
		try("cut", i, text[:i])
		for _, change := range []byte{0x01, 0x20, 0x80} { // a neighbour, the other case, no text
			try("change", i, text[:i]+string([]byte{text[i] ^ change})+text[i+1:])
		}
	}
	if all := 4 * len(text); refused < all-64 { // age's armor allows some white space
		t.Errorf("only %d of %d changes were refused", refused, all)
	}
}

func TestPassphraseFromFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passphrase")
	for file, want := range map[string]string{
		"p": "p", "p\n": "p", "p\r\n": "p", "p\n\n": "p\n", " p ": " p ", "p\r": "p\r", "ü\xff\x00": "ü\xff\x00",
		strings.Repeat("p", 4<<10): strings.Repeat("p", 4<<10),
	} {
		write(t, path, file, 0o644)
		if got, err := keys.PassphraseFromFile(t.Context(), path); err != nil || string(got.Reveal()) != want {
			t.Errorf("%.20q: %q, %v", file, got.Reveal(), err)
		}
	}
	for _, file := range []string{"", "\n", "\r\n", strings.Repeat("secret", 1000)} {
		write(t, path, file, 0o600)
		if got, err := keys.PassphraseFromFile(t.Context(), path); err == nil || strings.Contains(err.Error(), "secretsecret") || !got.IsZero() {
			t.Errorf("%.20q: %v", file, err)
		}
	}
	if _, err := keys.PassphraseFromFile(t.Context(), path+".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := keys.PassphraseFromFile(t.Context(), t.TempDir()); err == nil {
		t.Error("a folder has a passphrase")
	}
}
