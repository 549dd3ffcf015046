// The PASETO message: what a signature covers, and the name under which a token is spent.

package token

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/cargo-regkey/regkey/keys"
)

const (
	headerV4 = "v4.public."
	headerV3 = "v3.public."
)

// header is the header of the PASETO format that belongs to the algorithm.
func header(a keys.Algorithm) string {
	switch a {
	case keys.Ed25519:
		return headerV4
	case keys.P384:
		return headerV3
	}
	return ""
}

// message is what key signs for payload and footer (PASETO specification, version 3 and
// version 4, "Sign"): there is no implicit assertion, and only version 3 names the key.
func message(key keys.PublicKey, payload, footer []byte) []byte {
	pieces := [][]byte{key.Bytes(), []byte(header(key.Algorithm())), payload, footer, nil}
	if key.Algorithm() == keys.Ed25519 {
		pieces = pieces[1:]
	}
	return pae(pieces...)
}

// pae is PASETO's pre-authentication encoding ("Common implementation details"). Lengths are
// of data in memory, so their top bit, which the specification clears, is never set.
func pae(pieces ...[]byte) []byte {
	size := 8
	for _, piece := range pieces {
		size += 8 + len(piece)
	}
	out := make([]byte, 0, size)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(pieces)))
	for _, piece := range pieces {
		out = binary.LittleEndian.AppendUint64(out, uint64(len(piece)))
		out = append(out, piece...)
	}
	return out
}

// replayKey names a signed message, whatever signature it came with.
func replayKey(message []byte) [32]byte { return sha256.Sum256(message) }
