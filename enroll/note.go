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

	"golang.org/x/mod/sumdb/note"

	"github.com/cargo-regkey/regkey/keys"
)

// A signedText is a note whose framing is good and whose signatures nobody has checked yet.
type signedText struct {
	text, note []byte
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
	return append([]byte("regkey note v1\n"), digest[:]...)
}

// noteHash is the key hash of C2SP signed-note: it binds the name, the signature type and the key.
func noteHash(key keys.PublicKey) uint32 {
	h := sha256.New()
	fmt.Fprintf(h, "%v\n\xffregkey %v", key.ID(), key.Algorithm())
	h.Write(key.Bytes())
	return binary.BigEndian.Uint32(h.Sum(nil))
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
	var b bytes.Buffer
	b.Write(text)
	b.WriteByte('\n')
	for _, s := range signatures {
		data := binary.BigEndian.AppendUint32(nil, s.hash)
		data = append(data, s.raw...)
		fmt.Fprintf(&b, "— %v %s\n", s.signer, base64.StdEncoding.EncodeToString(data))
	}
	return b.Bytes()
}

// parseNote reads the framing only. note.Open is the parser; it takes at most 100 signature
// lines. It also tolerates signers that it does not know, repeated lines and slack in base64, so
// the note must besides be what encodeNote writes.
func parseNote(data []byte) (*signedText, error) {
	if len(data) > maxNote {
		return nil, fmt.Errorf("reading signed note: longer than %d bytes", maxNote)
	}
	_, err := note.Open(data, note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return nil, errors.New("reading signed note: not a text, an empty line and signature lines")
	}
	n := &signedText{text: []byte(unverified.Note.Text), note: slices.Clone(data)}
	for _, line := range unverified.Note.UnverifiedSigs {
		s, err := parseSignature(line)
		if err != nil {
			return nil, fmt.Errorf("reading signed note: %w", err)
		}
		if last := len(n.signatures) - 1; last >= 0 && n.signatures[last].signer.Compare(s.signer) >= 0 {
			return nil, errors.New("reading signed note: signatures are not sorted by signer, each once")
		}
		n.signatures = append(n.signatures, s)
	}
	if !bytes.Equal(encodeNote(n.text, n.signatures), data) {
		return nil, errors.New("reading signed note: not in its one encoding")
	}
	return n, nil
}

func parseSignature(line note.Signature) (signature, error) {
	signer, err := keys.ParseID(line.Name)
	if err != nil {
		return signature{}, fmt.Errorf("signer's name: %w", err)
	}
	data, err := base64.StdEncoding.Strict().DecodeString(line.Base64)
	if err != nil || strings.ContainsAny(line.Base64, "\r\n") {
		return signature{}, errors.New("a signature is not strict base64")
	}
	if len(data) != 4+signer.Algorithm().SignatureSize() {
		return signature{}, fmt.Errorf("a signature of %d bytes for %v", len(data)-4, signer)
	}
	return signature{signer, binary.BigEndian.Uint32(data), data[4:]}, nil
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
	return slices.ContainsFunc(n.signatures, func(s signature) bool { return s.signer == id })
}

// verify checks the one signature by key.
func (n *signedText) verify(key keys.PublicKey) error {
	id := key.ID()
	for _, s := range n.signatures {
		if s.signer != id {
			continue
		}
		if s.hash != noteHash(key) || !key.CanonicalSignature(s.raw) || !key.Verify(noteMessage(n.text), s.raw) {
			return fmt.Errorf("the signature by %v does not verify", id)
		}
		return nil
	}
	return fmt.Errorf("there is no signature by %v", id)
}
