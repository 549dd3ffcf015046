// The vectors about signatures and the note around them.

package enroll

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"
	"testing"

	"filippo.io/edwards25519"

	"github.com/cargo-regkey/regkey/keys"
)

// rawNote signs any text, even one that is no document.
func rawNote(t *testing.T, text string, signers ...keys.Signer) string {
	t.Helper()
	var signatures []signature
	for _, s := range signers {
		raw, err := keys.Sign(context.Background(), s, noteMessage([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		signatures = append(signatures, signature{s.Public().ID(), noteHash(s.Public()), raw})
	}
	slices.SortFunc(signatures, func(a, b signature) int { return a.signer.Compare(b.signer) })
	return string(encodeNote([]byte(text), signatures))
}

// resigned changes what stands in key's signature line: four bytes of the key's hash, and the signature.
func resigned(t *testing.T, note string, key *keys.SoftwareKey, change func(data []byte) []byte) string {
	t.Helper()
	lines := strings.SplitAfter(note, "\n")
	i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "— "+key.Public().ID().String()) })
	words := strings.Fields(lines[i])
	data, err := base64.StdEncoding.DecodeString(words[2])
	if err != nil {
		t.Fatal(err)
	}
	lines[i] = words[0] + " " + words[1] + " " + base64.StdEncoding.EncodeToString(change(data)) + "\n"
	return strings.Join(lines, "")
}

// highS turns (r, s) into (r, n−s), which verifies as well.
func highS(data []byte) []byte {
	n := elliptic.P384().Params().N
	s := new(big.Int).SetBytes(data[52:])
	return append(bytes.Clone(data[:52]), s.Sub(n, s).FillBytes(make([]byte, 48))...)
}

func der(data []byte) []byte {
	text, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(data[4:52]), new(big.Int).SetBytes(data[52:])})
	if err != nil {
		panic(err)
	}
	return append(bytes.Clone(data[:4]), text...)
}

// beyondL is S + L in place of S, which is the same number modulo L.
func beyondL(data []byte) []byte {
	l, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	little := bytes.Clone(data[36:])
	slices.Reverse(little)
	sum := l.Add(l, new(big.Int).SetBytes(little)).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	return append(bytes.Clone(data[:36]), sum...)
}

// twisted is a signature by the Ed25519 key with the seed n, n, n, … whose R has a part of order 8. Whoever
// multiplies by the cofactor takes it.
func twisted(t *testing.T, n byte, message []byte) []byte {
	t.Helper()
	seed := bytes.Repeat([]byte{n}, ed25519.SeedSize)
	h := sha512.Sum512(seed)
	secret, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := hex.DecodeString("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
	torsion, err := new(edwards25519.Point).SetBytes(raw)
	if err != nil {
		t.Fatal(err)
	}
	nonce, _ := edwards25519.NewScalar().SetUniformBytes(bytes.Repeat([]byte{n}, 64))
	r := new(edwards25519.Point).ScalarBaseMult(nonce)
	r.Add(r, torsion)
	public := new(edwards25519.Point).ScalarBaseMult(secret)
	h = sha512.Sum512(slices.Concat(r.Bytes(), public.Bytes(), message))
	k, _ := edwards25519.NewScalar().SetUniformBytes(h[:])
	return append(r.Bytes(), edwards25519.NewScalar().MultiplyAdd(k, secret, nonce).Bytes()...)
}

// notes are violations around a good version 3, and signatures of another form.
func (m *maker) notes() {
	text := string(mustSign(m.t, m.next(), m.laptop, m.fresh).Text)
	good := rawNote(m.t, text, m.laptop, m.fresh)
	_, signatures, _ := strings.Cut(good, "\n\n")
	lines := strings.SplitAfter(signatures, "\n")
	line := strings.Fields(lines[0])[2]
	for _, c := range []struct{ name, old, new string }{
		{"no signatures", signatures, ""}, {"no empty line", "\n\n", "\n"}, {"two empty lines", "\n\n", "\n\n\n"}, {"signatures unsorted", lines[0] + lines[1], lines[1] + lines[0]},
		{"a signature twice", lines[0], lines[0] + lines[0]}, {"no newline at the end", lines[1], strings.TrimSuffix(lines[1], "\n")}, {"a newline more at the end", lines[1], lines[1] + "\n"},
		{"CRLF after a signature", lines[0], strings.TrimSuffix(lines[0], "\n") + "\r\n"}, {"a hyphen for the dash", "\n\n— ", "\n\n- "}, {"a space behind a signature", lines[0], strings.TrimSuffix(lines[0], "\n") + " \n"},
		{"a signature without padding", line, strings.TrimRight(line, "=")}, {"a signature with a stray bit", line, line[:len(line)-2] + string(line[len(line)-2]+1) + "="},
		{"a signature in base64url", line, strings.NewReplacer("+", "-", "/", "_").Replace(line)}, {"a name that is no id", m.laptop.Public().ID().String() + " ", "laptop "},
	} {
		m.add(vectorCase{Name: c.name, Kind: "keyset", After: 2, Note: strings.Replace(good, c.old, c.new, 1), Refused: "keyset-malformed"})
	}
	k := m.next()
	without(m.fresh)(k)
	k.Keys = append(k.Keys, entry(m.fresh384, CanByDefault))
	other := string(mustSign(m.t, k, m.laptop, m.fresh384).Note)
	flip := func(data []byte) []byte { data[0] ^= 1; return data }
	for _, c := range []struct{ name, refused, note string }{
		{"another key hash", CodeUnmanaged, resigned(m.t, good, m.laptop, flip)},
		{"another text than was signed", CodeUnmanaged, strings.Replace(good, "can=publish,yank,read\n", "can=publish,read\n", 1)},
		{"Ed25519 with S + L", CodePossession, resigned(m.t, good, m.fresh, beyondL)},
		{"Ed25519 that is good with the cofactor alone", CodePossession, resigned(m.t, good, m.fresh, func(data []byte) []byte {
			return append(data[:4:4], twisted(m.t, 5, noteMessage([]byte(text)))...)
		})},
		{"Ed25519 cut short", "keyset-malformed", resigned(m.t, good, m.fresh, func(data []byte) []byte { return data[:67] })},
		{"P-384", "", other},
		{"P-384 with a high s", CodePossession, resigned(m.t, other, m.fresh384, highS)},
		{"P-384 in DER", "keyset-malformed", resigned(m.t, other, m.fresh384, der)},
		{"P-384 with r = 0", CodePossession, resigned(m.t, other, m.fresh384, func(data []byte) []byte { clear(data[4:52]); return data })},
		{"P-384 with a byte more", "keyset-malformed", resigned(m.t, other, m.fresh384, func(data []byte) []byte { return append(data, 0) })},
	} {
		m.add(vectorCase{Name: c.name, Kind: "keyset", After: 2, Note: c.note, Refused: c.refused})
	}
}
