// Codes of proposals: what two people at two machines compare.

package enroll

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
)

// codeBits is how much of the hash a code shows. Whoever would slip another text under a code must
// find a second one for it, which takes 2^100 tries within minutes.
const codeBits = 100

var codeEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ProposalCode is the code of a proposed keyset's text: the first 100 bits of its SHA-256 in base32
// (RFC 4648, section 6), lower case, in five groups of four with "-" between.
func ProposalCode(text []byte) string {
	sum := sha256.Sum256(text)
	letters := codeEncoding.EncodeToString(sum[:])[:codeBits/5]
	groups := []string{letters[:4], letters[4:8], letters[8:12], letters[12:16], letters[16:]}
	return strings.Join(groups, "-")
}

// ParseProposalCode reads a code as people type it, without regard to case, spaces and hyphens, and
// returns it as [ProposalCode] writes it.
func ParseProposalCode(text string) (string, error) {
	letters := strings.ToLower(strings.NewReplacer("-", "", " ", "", "\t", "", "\r", "", "\n", "").Replace(text))
	if len(letters) != codeBits/5 || strings.Trim(letters, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return "", errors.New("the code is not 20 characters of a-z and 2-7: check for a typing mistake")
	}
	return letters[:4] + "-" + letters[4:8] + "-" + letters[8:12] + "-" + letters[12:16] + "-" + letters[16:], nil
}
