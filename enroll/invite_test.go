// Invite codes: the key of a code as RFC 5869 gives it, what typing is forgiven, and what is not.

package enroll

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

// pinnedCode stands for the bytes 00 01 … 0f. The seed was also computed in Python, with hmac and hashlib.
const (
	pinnedCode = "AAAQEA-YEAUD-AOCAJ-BIFQY-DIOB4"
	pinnedSeed = "67d9deb49152b2dbdc49520f3432988139ee227268e12f7fd4570a0aabba5953"
)

// seedByHand is HKDF-SHA256 (RFC 5869, sections 2.2 and 2.3) for one block, without salt.
func seedByHand(secret []byte, info string) []byte {
	extract := hmac.New(sha256.New, make([]byte, sha256.Size))
	extract.Write(secret)
	expand := hmac.New(sha256.New, extract.Sum(nil))
	expand.Write(append([]byte(info), 1))
	return expand.Sum(nil)
}

func TestInviteKey(t *testing.T) {
	secret := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	seed := seedByHand(secret, "regkey invite v1")
	if hex.EncodeToString(seed) != pinnedSeed {
		t.Errorf("the seed by hand is %x", seed)
	}
	key, err := InviteKey(keys.NewSecret([]byte(pinnedCode)))
	if err != nil {
		t.Fatal(err)
	}
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	if key.Public().Algorithm() != keys.Ed25519 || !bytes.Equal(key.Public().Bytes(), public) {
		t.Errorf("the key is %v, by hand it is %x", key.Public(), public)
	}
}

func TestInviteTyping(t *testing.T) {
	want, err := InviteKey(keys.NewSecret([]byte(pinnedCode)))
	if err != nil {
		t.Fatal(err)
	}
	bare := strings.ReplaceAll(pinnedCode, "-", "")
	for name, text := range map[string]string{
		"bare":          bare,
		"lower case":    strings.ToLower(pinnedCode),
		"spaces":        strings.ReplaceAll(pinnedCode, "-", " "),
		"other groups":  bare[:4] + " " + bare[4:13] + "--" + bare[13:],
		"pasted":        "\t " + pinnedCode + "\r\n",
		"on two lines":  bare[:13] + "\n" + bare[13:],
		"letters mixed": "aAaQeAyEaUdAoCaJbIfQyDiOb4",
	} {
		key, err := InviteKey(keys.NewSecret([]byte(text)))
		if err != nil || key.Public() != want.Public() {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"empty":                  "",
		"only hyphens":           "-----",
		"a character short":      bare[:25],
		"a character too many":   bare + "A",
		"two codes":              bare + bare,
		"set bits after the end": bare[:25] + "5",
		"0 for O":                strings.Replace(bare, "O", "0", 1),
		"1 for I":                strings.Replace(bare, "I", "1", 1),
		"8 for B":                strings.Replace(bare, "B", "8", 1),
		"padding":                bare + "======",
		"underscores":            strings.ReplaceAll(pinnedCode, "-", "_"),
		"a dash":                 strings.ReplaceAll(pinnedCode, "-", "–"),
		"no UTF-8":               bare[:25] + "\xff",
		"NUL":                    bare[:25] + "\x00",
		"the bytes in hex":       "000102030405060708090a0b0c0d0e0f",
	} {
		_, err := InviteKey(keys.NewSecret([]byte(text)))
		if err == nil {
			t.Errorf("%s is taken", name)
			continue
		}
		for n := 4; n <= len(text); n++ {
			if part := text[n-4 : n]; strings.Trim(part, "-") != "" && strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error repeats %q: %v", name, part, err)
			}
		}
	}
	// One letter mistyped is another code, which no registry knows.
	mistyped, err := InviteKey(keys.NewSecret([]byte("B" + bare[1:])))
	if err != nil || mistyped.Public() == want.Public() {
		t.Errorf("mistyped: %v", err)
	}
}

func TestGenerateInvite(t *testing.T) {
	form := regexp.MustCompile(`^[A-Z2-7]{6}(-[A-Z2-7]{5}){4}$`)
	seen := map[string]bool{}
	for range 50 {
		code, public, err := GenerateInvite()
		if err != nil {
			t.Fatal(err)
		}
		text := string(code.Reveal())
		key, err := InviteKey(code)
		if err != nil || key.Public() != public || !form.MatchString(text) || seen[text] {
			t.Fatalf("a code of the wrong form, twice the same, or of another key: %v", err)
		}
		seen[text] = true
	}
}
