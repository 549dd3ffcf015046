// Signed notes: C2SP's format as others compute it, and no byte of one can be changed, added or taken away.

package enroll

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/cargo-regkey/regkey/keys"
)

// otherVerifier is a note.Verifier written from protocol.md's words, on the standard library alone.
type otherVerifier struct {
	name      string
	kind      string
	key       []byte
	signature func(message, signature []byte) bool
}

func (v otherVerifier) Name() string { return v.name }

func (v otherVerifier) KeyHash() uint32 {
	sum := sha256.Sum256(slices.Concat([]byte(v.name), []byte{'\n', 0xff}, []byte("regkey "+v.kind), v.key))
	return binary.BigEndian.Uint32(sum[:4])
}

func (v otherVerifier) Verify(text, signature []byte) bool {
	digest := sha512.Sum512(text)
	message := append([]byte("regkey note v1\n"), digest[:]...)
	return len(message) == 79 && v.signature(message, signature)
}

func other(key keys.PublicKey) note.Verifier {
	v := otherVerifier{name: key.ID().String(), kind: key.Algorithm().String(), key: key.Bytes()}
	v.signature = func(message, signature []byte) bool { return ed25519.Verify(key.Bytes(), message, signature) }
	if key.Algorithm() == keys.P384 {
		x, y := elliptic.UnmarshalCompressed(elliptic.P384(), key.Bytes())
		point := slices.Concat([]byte{4}, x.FillBytes(make([]byte, 48)), y.FillBytes(make([]byte, 48)))
		v.signature = func(message, signature []byte) bool {
			public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), point)
			digest := sha512.Sum384(message)
			r, s := new(big.Int).SetBytes(signature[:48]), new(big.Int).SetBytes(signature[48:])
			return err == nil && ecdsa.Verify(public, digest[:], r, s)
		}
	}
	return v
}

func TestNotesAreC2SP(t *testing.T) {
	for _, name := range []string{"keyset-1", "keyset-3", "revocation"} {
		signed, err := parseNote(readDocument(t, name))
		if err != nil {
			t.Fatal(err)
		}
		verifiers := []note.Verifier{other(ed(1).Public()), other(p384(2).Public()), other(ed(4).Public())}
		opened, err := note.Open(signed.note, note.VerifierList(verifiers...))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(opened.Sigs) != len(signed.signatures) || len(opened.UnverifiedSigs) != 0 || opened.Text != string(signed.text) {
			t.Errorf("%s: %d of %d signatures verify elsewhere", name, len(opened.Sigs), len(signed.signatures))
		}
	}
}

// A PAE begins with the number of its pieces, 4 or 5, and what is signed here with the letter r.
func TestNoteIsNoToken(t *testing.T) {
	message := noteMessage(textOf(t, readDocument(t, "keyset-3")))
	if len(message) != 79 || message[0] != 'r' {
		t.Errorf("signed are %d bytes that begin with %q", len(message), message[0])
	}
}

// acceptedNote is a version 2 with three signers of both algorithms, and what it is judged by.
func acceptedNote(t testing.TB) ([]byte, Standing) {
	t.Helper()
	first := firstVersion(t)
	next := follow(first)
	next.Keys = []Entry{entry(ed(1), CanEverything), entry(p384(4), CanByDefault), entry(ed(5), Read)}
	signed := mustSign(t, next, ed(1), p384(4), ed(5))
	standing := Standing{Indexes: []string{testIndex}, Account: testAccount, Previous: first, Now: noon}
	if err := standing.Accept(signed); err != nil {
		t.Fatal(err)
	}
	return signed.Note, standing
}

func acceptNote(standing Standing) func([]byte) error {
	return func(data []byte) error {
		signed, err := ParseSignedKeyset(data)
		if err != nil {
			return err
		}
		return standing.Accept(signed)
	}
}

func verifyRevocation(data []byte) error {
	r, err := ParseSignedRevocation(data)
	if err != nil {
		return err
	}
	if r.Registry != testIndex || r.Key != p384(2).Public().ID() || r.Signer() != ed(1).Public().ID() {
		return errors.New("it is about something else")
	}
	return r.Verify(ed(1).Public())
}

// mangle calls accept with data changed in one byte, in every place to every one of values, of some
// and of those one bit away; with one byte inserted anywhere; with one deleted; and cut short.
func mangle(t *testing.T, data, values []byte, accept func([]byte) error) {
	t.Helper()
	if err := accept(data); err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	some := []byte("\x00\n =A9\xe2\xff")
	tried := 0
	try := func(what string, i int, changed []byte) {
		tried++
		if !bytes.Equal(changed, data) && accept(changed) == nil {
			t.Errorf("%s at %d is accepted:\n%s", what, i, changed)
		}
	}
	for i := range data {
		candidates := slices.Concat(values, some)
		for bit := range 8 {
			candidates = append(candidates, data[i]^1<<bit)
		}
		for _, c := range candidates {
			changed := slices.Clone(data)
			changed[i] = c
			try("change", i, changed)
		}
		try("deletion", i, slices.Delete(slices.Clone(data), i, i+1))
		try("truncation", i, data[:i])
	}
	for i := range len(data) + 1 {
		for _, c := range []byte("\n A=") {
			try("insertion", i, slices.Insert(slices.Clone(data), i, c))
		}
	}
	if tried < len(data)*len(some) {
		t.Errorf("only %d notes tried", tried)
	}
}

func TestMangledKeyset(t *testing.T) {
	t.Parallel()
	data, standing := acceptedNote(t)
	mangle(t, data, nil, acceptNote(standing))
}

func TestMangledRevocation(t *testing.T) {
	t.Parallel()
	var many []byte
	for c := 0; c < 256; c += 5 {
		many = append(many, byte(c))
	}
	mangle(t, readDocument(t, "revocation"), many, verifyRevocation)
}

// signatureLines gives the note's text with its empty line, and its signature lines.
func signatureLines(data []byte) (text string, lines []string) {
	i := bytes.LastIndex(data, []byte("\n\n"))
	return string(data[:i+2]), strings.SplitAfter(strings.TrimSuffix(string(data[i+2:]), "\n"), "\n")
}

// twin turns the P-384 signature of a line into (r, n−s), which verifies as well.
func twin(t *testing.T, line string) string {
	t.Helper()
	fields := strings.Fields(line)
	data, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil || len(data) != 100 {
		t.Fatalf("no P-384 line: %q, %v", line, err)
	}
	s := new(big.Int).SetBytes(data[52:])
	s.Sub(elliptic.P384().Params().N, s).FillBytes(data[52:])
	return fmt.Sprintf("— %s %s\n", fields[1], base64.StdEncoding.EncodeToString(data))
}

func TestSignatureLines(t *testing.T) {
	data, standing := acceptedNote(t)
	accept := acceptNote(standing)
	text, lines := signatureLines(data)
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "— k3.pid.") {
		t.Fatalf("lines are %q", lines)
	}
	lines[2] += "\n"
	a, b, c := lines[0], lines[1], lines[2]
	stranger := func(text string, key *keys.SoftwareKey) string {
		signed, err := signText(context.Background(), []byte(strings.TrimSuffix(text, "\n")), key)
		if err != nil {
			t.Fatal(err)
		}
		_, lines := signatureLines(signed)
		return lines[0] + "\n"
	}
	extra := stranger(text, ed(9))
	if strings.Compare(extra, c) < 0 {
		t.Fatal("the stranger's line is not last: choose another key")
	}
	otherText := stranger(strings.Replace(text, "version: 2", "version: 9", 1), ed(1))
	relabelled := strings.Replace(extra, ed(9).Public().ID().String(), ed(1).Public().ID().String(), 1)
	// swap puts line in the place of the one with the same signer.
	swap := func(line string) string {
		for _, l := range []string{a, b, c} {
			if strings.Fields(l)[1] == strings.Fields(line)[1] {
				return strings.Replace(a+b+c, l, line, 1)
			}
		}
		t.Fatalf("no line has the signer of %q", line)
		return ""
	}
	twinned := twin(t, a)
	if !p384(4).Public().Verify(noteMessage([]byte(strings.TrimSuffix(text, "\n"))), decoded(t, twinned)) {
		t.Fatal("the twin does not verify, so that it shows nothing")
	}
	for name, changed := range map[string]string{
		"unsorted":                       text + a + c + b,
		"reversed":                       text + c + b + a,
		"a line twice":                   text + a + a + b + c,
		"the last line twice":            text + a + b + c + c,
		"a line missing":                 text + a + b,
		"no line":                        text,
		"no empty line":                  strings.TrimSuffix(text, "\n") + a + b + c,
		"two empty lines":                text + "\n" + a + b + c,
		"an empty line between":          text + a + "\n" + b + c,
		"an empty line at the end":       text + a + b + c + "\n",
		"a stranger's good signature":    text + a + b + c + extra,
		"a stranger's under a manager":   text + swap(relabelled),
		"a manager's under another text": text + swap(otherText),
		"the P-384 twin":                 text + twinned + b + c,
		"CRLF in the text":               strings.ReplaceAll(text, "\n", "\r\n") + a + b + c,
		"CRLF in the lines":              text + strings.ReplaceAll(a+b+c, "\n", "\r\n"),
		"BOM":                            "\ufeff" + text + a + b + c,
		"a hyphen for the dash":          text + strings.ReplaceAll(a+b+c, "— ", "- "),
		"trailing space":                 text + a + b + strings.TrimSuffix(c, "\n") + " \n",
		"no last line break":             text + a + b + strings.TrimSuffix(c, "\n"),
		"base64url":                      text + strings.NewReplacer("+", "-", "/", "_").Replace(a+b+c),
		"no padding":                     text + strings.ReplaceAll(a+b+c, "=\n", "\n"),
		"two notes":                      text + a + b + c + "\n" + text + a + b + c,
		"more than a note":               text + a + b + c + strings.Repeat(extra, MaxNote/len(extra)),
	} {
		if err := accept([]byte(changed)); err == nil {
			t.Errorf("%s is accepted:\n%s", name, changed)
		}
	}
}

func decoded(t *testing.T, line string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(strings.Fields(line)[2])
	if err != nil {
		t.Fatal(err)
	}
	return data[4:]
}

// A revocation has one signature, and its twin is not it.
func TestRevocationSignatures(t *testing.T) {
	id := p384(2).Public().ID()
	r := mustRevoke(t, id, Lost, p384(2))
	if err := r.Verify(p384(2).Public()); err != nil || r.Signer() != id {
		t.Fatalf("own revocation: %v", err)
	}
	text, lines := signatureLines(r.Note)
	changed, err := ParseSignedRevocation([]byte(text + twin(t, lines[0])))
	if err != nil {
		t.Fatal(err)
	}
	if changed.Verify(p384(2).Public()) == nil {
		t.Error("the twin of a P-384 signature is accepted")
	}
	if r.Verify(p384(3).Public()) == nil || r.Verify(ed(1).Public()) == nil || r.Verify(keys.PublicKey{}) == nil {
		t.Error("another key verifies it")
	}
	two, err := signText(context.Background(), r.Text, ed(1), p384(2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseSignedRevocation(two); err == nil {
		t.Error("two signatures are accepted")
	}
	if _, err := ParseSignedKeyset(r.Note); err == nil {
		t.Error("a revocation is taken for a keyset")
	}
	if _, err := ParseSignedRevocation(firstVersion(t).Note); err == nil {
		t.Error("a keyset is taken for a revocation")
	}
}

// Whoever signs is checked at once: a device that signs wrongly, or twice the same key, makes no note.
func TestSignRefuses(t *testing.T) {
	k := &Keyset{Registry: testIndex, Account: testAccount, Version: 1, Issued: noon, Keys: []Entry{entry(ed(1), CanEverything)}}
	if _, err := SignKeyset(context.Background(), k, ed(1), ed(1)); err == nil {
		t.Error("a key signs twice")
	}
	if _, err := SignKeyset(context.Background(), k); err == nil {
		t.Error("nobody signs")
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := SignKeyset(ended, k, ed(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("signing after the end: %v", err)
	}
}
