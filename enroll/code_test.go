// Codes of proposals, as two people compare them.

package enroll

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"testing"
)

func TestProposalCode(t *testing.T) {
	text := firstVersion(t).Text
	sum := sha256.Sum256(text)
	code := ProposalCode(text)
	// 13 bytes hold the 100 bits; the standard library's own upper-case alphabet is the reference.
	if want := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:13])[:20]); strings.ReplaceAll(code, "-", "") != want {
		t.Errorf("%s, want %s", code, want)
	}
	// The SHA-256 of "abc" is in FIPS 180-2, appendix B.1: ba7816bf 8f01cfea 414140de …
	if got := ProposalCode([]byte("abc")); got != "xj4b-np4p-ahh6-uqkb-idpf" {
		t.Errorf("of abc: %s", got)
	}
	for _, typed := range []string{code, strings.ToUpper(code), strings.ReplaceAll(code, "-", ""), " " + strings.ReplaceAll(code, "-", " ") + "\n"} {
		if got, err := ParseProposalCode(typed); err != nil || got != code {
			t.Errorf("%q is read as %q, %v", typed, got, err)
		}
	}
	for _, wrong := range []string{"", code[1:], code + "a", strings.Replace(code, code[:1], "1", 1), code[:23] + "é"} {
		if got, err := ParseProposalCode(wrong); err == nil {
			t.Errorf("%q is read as %q", wrong, got)
		}
	}
}
