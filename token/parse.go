// Parsing: from text to a token whose signature is still to be checked.

package token

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cargo-regkey/regkey/keys"
)

// MaxSize is the greatest length of a token's text, in bytes. Cargo's own have about 600; HTTP
// servers commonly take 8 KiB for one header line.
const MaxSize = 8 << 10

// A Token is a parsed token. That it exists proves nothing about who made it: see [Token.Verify].
type Token struct {
	algorithm keys.Algorithm
	payload   []byte
	signature []byte
	footer    []byte
	claims    Claims
	version   int64 // the claim v, 1 where absent
	index     string
	id        keys.ID
}

// Parse reads the text of a token and checks all that the package comment says of its form. It
// checks no signature, no time and no registry. The error is an [*Error] with [CodeMissing],
// [CodeAlgorithm] or [CodeMalformed], and repeats no more of the text than names and times out of a
// payload or footer that was one.
func Parse(text string) (*Token, error) {
	if text == "" {
		return nil, refuse(CodeMissing, "this request needs a signed token and has no Authorization header: "+
			"enrol a key with this registry, and check that cargo's configuration names its credential provider")
	}
	if len(text) > MaxSize {
		return nil, malformed(fmt.Errorf("it has %d bytes, and %d is the limit", len(text), MaxSize))
	}
	t := &Token{}
	switch {
	case strings.HasPrefix(text, headerV4):
		t.algorithm = keys.Ed25519
	case strings.HasPrefix(text, headerV3):
		t.algorithm = keys.P384
	case isOtherPASETO(text):
		return nil, refuse(CodeAlgorithm, "the token is a PASETO of a kind that cargo registries do not use: "+
			"sign with an ed25519 key (v4.public) or a p384 key (v3.public)")
	default:
		return nil, malformed(errors.New("it does not begin with v4.public. or v3.public.; " +
			"was a plain token configured for this registry?"))
	}
	if err := t.decode(text[len(headerV4):]); err != nil {
		return nil, malformed(err)
	}
	return t, nil
}

// isOtherPASETO recognises the headers of versions 1 to 4, both purposes.
func isOtherPASETO(text string) bool {
	for _, purpose := range []string{".public.", ".local."} {
		if len(text) > 2 && text[0] == 'v' && text[1] >= '1' && text[1] <= '4' && strings.HasPrefix(text[2:], purpose) {
			return true
		}
	}
	return false
}

// decode reads what follows the header.
func (t *Token) decode(text string) error {
	body, footer, found := strings.Cut(text, ".")
	if !found {
		return errors.New("it has no footer")
	}
	signed, err := decodeBase64(body)
	if err != nil {
		return err
	}
	size := len(signed) - t.algorithm.SignatureSize()
	if size < 0 {
		return errors.New("it is too short for a signature")
	}
	t.payload, t.signature = signed[:size:size], signed[size:]
	if t.footer, err = decodeBase64(footer); err != nil {
		return err
	}
	if t.index, t.id, err = decodeFooter(t.footer); err != nil {
		return err
	}
	if t.id.Algorithm() != t.algorithm {
		return errors.New("footer: the key is of another algorithm than the token")
	}
	t.claims, t.version, err = decodeClaims(t.payload)
	return err
}

// decodeBase64 accepts one text for each sequence of bytes. The decoder of encoding/base64 skips
// line breaks even when strict, so they are refused here.
func decodeBase64(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("it has a line break")
	}
	raw, err := base64url.DecodeString(text)
	if err != nil {
		return nil, errors.New("a part of it is not unpadded base64url")
	}
	return raw, nil
}

// KeyID names the key that the token says it is signed with.
func (t *Token) KeyID() keys.ID { return t.id }

// Index is the index URL of the registry that the token says it is for.
func (t *Token) Index() string { return t.index }

// Claims is what the token says.
func (t *Token) Claims() Claims { return t.claims }

// Algorithm is the signature algorithm of the token's format, the same as that of its key's id.
func (t *Token) Algorithm() keys.Algorithm { return t.algorithm }

// ReplayKey is the SHA-256 of the message that key signs in this token. All texts with the same
// message, whatever their signatures, share it. key is the one on file for [Token.KeyID], since
// a v3.public message includes it.
func (t *Token) ReplayKey(key keys.PublicKey) [32]byte {
	return replayKey(message(key, t.payload, t.footer))
}

// Verify checks the signature with key, which must be the one that is on file for [Token.KeyID]:
// nothing in a token says that its key is to be trusted. The error is an [*Error] with
// [CodeSignature].
func (t *Token) Verify(key keys.PublicKey) error {
	return t.verify(key, message(key, t.payload, t.footer))
}

func (t *Token) verify(key keys.PublicKey, message []byte) error {
	if key.Algorithm() != t.algorithm || !key.Verify(message, t.signature) {
		return refuse(CodeSignature, "the token's signature does not verify with key %v, which it names: "+
			"the token was altered in transit, or signed with another key; try again, and if it happens again, enrol the key again", t.id)
	}
	return nil
}

// Verify is [Parse] and [Token.Verify] in one step, for a caller who knows the key beforehand. Like
// those it judges neither time nor registry nor replay.
func Verify(text string, key keys.PublicKey) (*Token, error) {
	t, err := Parse(text)
	if err != nil {
		return nil, err
	}
	if err := t.Verify(key); err != nil {
		return nil, err
	}
	return t, nil
}
