// What metadata tells of PIN, PUK and management key; and the little BER-TLV that this takes.

package hardware

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// Key references (SP 800-73-4, part 1, table 4b).
const (
	referencePIN        = 0x80
	referencePUK        = 0x81
	referenceManagement = 0x9b
)

// Tags of GET METADATA (https://developers.yubico.com/PIV/Introduction/Yubico_extensions.html).
const (
	metadataDefault = 5
	metadataRetries = 6
)

// reference is what metadata tells of a PIN, PUK or management key.
type reference struct {
	original Answer
	tries    int // -1 unknown
}

// reference asks for metadata. A token that doesn't know the command, or says nothing, leaves both unknown.
func (u *use) reference(which byte) (reference, error) {
	unknown := reference{Unknown, -1}
	if !u.hasMetadata() {
		return unknown, nil
	}
	return ask(u, "asking for metadata", func() (reference, error) {
		answer, err := u.card.metadata(which)
		if errors.As(err, new(readerError)) {
			return unknown, err
		}
		if err != nil {
			return unknown, nil
		}
		r := unknown
		if value := findTLV(answer, metadataDefault); len(value) == 1 {
			r.original = No
			if value[0] == 1 {
				r.original = Yes
			}
		}
		if value := findTLV(answer, metadataRetries); len(value) == 2 {
			r.tries = int(value[1])
		}
		return r, nil
	})
}

// certificateAlgorithm names the algorithm of a certificate's key as metadata would.
func certificateAlgorithm(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case ed25519.PublicKey:
		return "ed25519"
	case *ecdsa.PublicKey:
		return strings.ToLower(strings.ReplaceAll(k.Curve.Params().Name, "-", ""))
	case *rsa.PublicKey:
		return fmt.Sprintf("rsa%d", k.N.BitLen())
	}
	return algorithmUnknown
}

// splitTLV reads the first value of a run whose tags have one byte; ok is false where there is none.
func splitTLV(run []byte) (tag byte, value, rest []byte, ok bool) {
	if len(run) < 2 {
		return 0, nil, nil, false
	}
	tag, size, rest := run[0], int(run[1]), run[2:]
	switch {
	case size == 0x81 && len(rest) >= 1:
		size, rest = int(rest[0]), rest[1:]
	case size == 0x82 && len(rest) >= 2:
		size, rest = int(rest[0])<<8|int(rest[1]), rest[2:]
	case size >= 0x80:
		return 0, nil, nil, false
	}
	if size > len(rest) {
		return 0, nil, nil, false
	}
	return tag, rest[:size], rest[size:], true
}

// findTLV is the first value with a tag; nil where there is none.
func findTLV(run []byte, want byte) []byte {
	for {
		tag, value, rest, ok := splitTLV(run)
		if !ok {
			return nil
		}
		if tag == want {
			return value
		}
		run = rest
	}
}

func appendTLV(run []byte, tag byte, value []byte) []byte {
	switch n := len(value); {
	case n < 0x80:
		run = append(run, tag, byte(n))
	case n < 0x100:
		run = append(run, tag, 0x81, byte(n))
	default:
		run = append(run, tag, 0x82, byte(n>>8), byte(n))
	}
	return append(run, value...)
}
