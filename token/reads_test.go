// Remembered reads: the rules on key and time hold every time, and memory is bounded.

package token

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

func TestReadTokenServesAgain(t *testing.T) {
	v, table := newVerifier(t)
	id := testKey(t, keys.P384).Public().ID()
	text := mustMint(t, keys.P384, readRequest)
	read := func(at time.Time) Code {
		_, err := v.Authenticate(t.Context(), text, Read, at)
		return codeOf(err)
	}
	for _, after := range []time.Duration{0, time.Minute, 5 * time.Minute} {
		if code := read(testTime.Add(after)); code != "" {
			t.Errorf("after %v: %s", after, code)
		}
	}
	if code := read(testTime.Add(5*time.Minute + 1)); code != CodeExpired {
		t.Errorf("remembered past its window: %q", code)
	}
	tok, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	changed := append([]byte(nil), tok.signature...)
	changed[0] ^= 1
	if _, err := v.Authenticate(t.Context(), join(keys.P384, string(tok.payload), changed, string(tok.footer)), Read, testTime); codeOf(err) != CodeSignature {
		t.Errorf("another signature under the same claims: %v", err)
	}
	good := table[id]
	revoked := good
	revoked.Revoked = true
	table[id] = revoked
	if code := read(testTime); code != CodeKeyRevoked {
		t.Errorf("remembered past its key's revocation: %q", code)
	}
	// A verification with one key says nothing about another one under the same id.
	other, err := keys.Generate(keys.P384)
	if err != nil {
		t.Fatal(err)
	}
	good.Public = other.Public()
	table[id] = good
	if code := read(testTime); code != CodeSignature {
		t.Errorf("remembered for another key: %q", code)
	}
}

func TestVerifiedReadsAreBounded(t *testing.T) {
	var c verifiedReads
	key := testKey(t, keys.P384).Public()
	name := func(i int) [32]byte { return sha256.Sum256(binary.LittleEndian.AppendUint32(nil, uint32(i))) }
	for i := range 5 * maxVerified {
		c.add(name(i), key)
		if !c.has(name(i), key) {
			t.Fatalf("%d: forgotten at once", i)
		}
		if !c.has(name(0), key) {
			t.Fatalf("%d: the one in use was forgotten", i)
		}
		if held := len(c.younger) + len(c.older); held > 2*maxVerified {
			t.Fatalf("%d held", held)
		}
	}
	if c.has(name(1), key) {
		t.Error("the oldest is still held")
	}
}
