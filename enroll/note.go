// Signed notes: how documents carry their signatures.

package enroll

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cargo-regkey/regkey/keys"
)

// A signedText is a note whose framing is good and whose signatures nobody has checked yet.
type signedText struct {
	text, note []byte
	message    []byte      // what is signed in place of text
	signatures []signature // sorted by signer, each signer once
}

type signature struct {
	signer keys.ID
	hash   uint32
	raw    []byte
}

// noteMessage is what is signed in place of text: 79 bytes, however long the text is.
func noteMessage(text []byte) []byte {
	digest := sha512.Sum512(text)
	return append(append(make([]byte, 0, 79), "regkey note v1\n"...), digest[:]...)
}

// noteHash is the key hash of C2SP signed-note: it binds the name, the signature type and the key.
func noteHash(key keys.PublicKey) uint32 {
	data := append(make([]byte, 0, 160), key.ID().String()...)
	data = append(data, "\n\xffregkey "...)
	data = append(data, key.Algorithm().String()...)
	sum := sha256.Sum256(append(data, key.Bytes()...))
	return binary.BigEndian.Uint32(sum[:])
}

// signText makes a note of text, signed by every signer, in the order given: the caller lists
// first the one whose person may refuse. No signer may stand twice.
func signText(ctx context.Context, text []byte, signers ...keys.Signer) ([]byte, error) {
	var signatures []signature
	for _, s := range signers {
		raw, err := keys.Sign(ctx, s, noteMessage(text))
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, signature{s.Public().ID(), noteHash(s.Public()), raw})
	}
	slices.SortFunc(signatures, func(a, b signature) int { return a.signer.Compare(b.signer) })
	signed := encodeNote(text, signatures)
	if _, err := parseNote(signed); err != nil {
		return nil, fmt.Errorf("encoding signed note: %w", err)
	}
	return signed, nil
}

func encodeNote(text []byte, signatures []signature) []byte {
	b := make([]byte, 0, len(text)+1+maxSignatureLine*len(signatures))
	b = append(append(b, text...), '\n')
	for _, s := range signatures {
		b = append(s.appendLine(b), '\n')
	}
	return b
}

// appendLine appends what stands in the line.
func (s signature) appendLine(b []byte) []byte {
	var raw [4 + 96]byte // the longest signature is P-384's
	data := append(binary.BigEndian.AppendUint32(raw[:0], s.hash), s.raw...)
	b = append(append(append(b, "— "...), s.signer.String()...), ' ')
	return base64.StdEncoding.AppendEncode(b, data)
}

// maxSignatureLine is what the line of a P-384 signature takes, in bytes, and a little more.
const maxSignatureLine = 210

// maxSignatures is how many signatures a note has at most, as in golang.org/x/mod/sumdb/note.
const maxSignatures = 100

// parseNote reads the framing only. Whatever it accepts is a note in the sense of C2SP signed-note,
// but not every such note is accepted: it is what encodeNote writes, with no other signers than keys,
// no repeated lines and no slack in base64.
func parseNote(data []byte) (*signedText, error) {
	if len(data) > MaxNote {
		return nil, fmt.Errorf("reading signed note: longer than %d bytes", MaxNote)
	}
	end := bytes.Index(data, []byte("\n\n")) // no document of ours holds an empty line
	if end < 0 || data[len(data)-1] != '\n' || end+2 == len(data) {
		return nil, errors.New("reading signed note: not a text, an empty line and signature lines")
	}
	data = slices.Clone(data)
	n := &signedText{text: data[: end+1 : end+1], note: data}
	n.message = noteMessage(n.text)
	for rest := data[end+2:]; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		rest = after
		s, err := parseSignature(line)
		if err != nil {
			return nil, fmt.Errorf("reading signed note: %w", err)
		}
		if last := len(n.signatures) - 1; last >= 0 && n.signatures[last].signer.Compare(s.signer) >= 0 {
			return nil, errors.New("reading signed note: signatures are not sorted by signer, each once")
		}
		if n.signatures = append(n.signatures, s); len(n.signatures) > maxSignatures {
			return nil, fmt.Errorf("reading signed note: more than %d signatures", maxSignatures)
		}
	}
	return n, nil
}

// parseSignature reads a line, which must be what it is encoded as again.
func parseSignature(line []byte) (signature, error) {
	named, found := strings.CutPrefix(string(line), "— ")
	name, encoded, _ := strings.Cut(named, " ")
	if !found {
		return signature{}, errors.New("a signature line does not begin with a dash")
	}
	signer, err := keys.ParseID(name)
	if err != nil {
		return signature{}, fmt.Errorf("signer's name: %w", err)
	}
	data, err := base64.StdEncoding.Strict().DecodeString(encoded) // it skips line breaks, of which a line has none
	if err != nil {
		return signature{}, errors.New("a signature is not strict base64")
	}
	if len(data) != 4+signer.Algorithm().SignatureSize() {
		return signature{}, fmt.Errorf("a signature of %d bytes for %v", len(data)-4, signer)
	}
	s := signature{signer, binary.BigEndian.Uint32(data), data[4:]}
	var again [maxSignatureLine]byte
	if !bytes.Equal(s.appendLine(again[:0]), line) {
		return signature{}, errors.New("a signature line is not in its one encoding")
	}
	return s, nil
}

// signers are the ids that the note claims, sorted.
func (n *signedText) signers() []keys.ID {
	ids := make([]keys.ID, len(n.signatures))
	for i, s := range n.signatures {
		ids[i] = s.signer
	}
	return ids
}

// signedBy reports whether the note claims a signature by id.
func (n *signedText) signedBy(id keys.ID) bool {
	_, found := n.signature(id)
	return found
}

// verify checks the one signature by key.
func (n *signedText) verify(key keys.PublicKey) error {
	s, found := n.signature(key.ID())
	if !found {
		return fmt.Errorf("there is no signature by %v", key.ID())
	}
	if !s.framed(key, noteHash(key)) || !key.Verify(n.message, s.raw) {
		return fmt.Errorf("the signature by %v does not verify", key.ID())
	}
	return nil
}

// framed reports whether the signature names the key, whose hash is given, and is in its one form.
func (s signature) framed(key keys.PublicKey, hash uint32) bool {
	return s.hash == hash && key.CanonicalSignature(s.raw)
}

// signature is the one that claims to be by id.
func (n *signedText) signature(id keys.ID) (signature, bool) {
	i, found := slices.BinarySearchFunc(n.signatures, id, func(s signature, id keys.ID) int { return s.signer.Compare(id) })
	if !found {
		return signature{}, false
	}
	return n.signatures[i], true
}
