// Signing, with the PIN and the finger that a key demands.

package virtualpiv

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
)

// sign is GENERAL AUTHENTICATE with a slot's key: for the curves of NIST over a digest no
// longer than the curve, for Ed25519 over the whole message. An empty slot, another algorithm
// or a malformed template is answered 6A80; a missing PIN and a missing finger both 6982, and
// telling them apart is the caller's affair, as with a real token.
func (c *Card) sign(cmd command, fresh bool) ([]byte, uint16) {
	key := c.slots[cmd.p2]
	run, ok := within(cmd.data, tagTemplate)
	if key == nil || !ok || key.algorithm != cmd.p1 {
		return nil, statusBadData
	}
	message, hasMessage := find(run, tagChallenge)
	if response, wanted := find(run, tagResponse); !hasMessage || !wanted || len(response) != 0 {
		return nil, statusBadData
	}
	if key.algorithm != AlgorithmEd25519 && len(message) > privateSize(key.algorithm) {
		return nil, statusBadData
	}
	if !c.allowed(key, fresh) || !c.touched(key) {
		return nil, statusSecurity
	}
	signature, err := c.signature(key, message)
	if err != nil {
		return nil, statusConditions
	}
	return template(tagResponse, signature), statusOK
}

// allowed checks the PIN policy.
func (c *Card) allowed(key *keyPair, fresh bool) bool {
	switch key.pin {
	case Never:
		return true
	case PINAlways:
		return fresh
	}
	return c.session.verified
}

// touched checks the touch policy, and waits for a finger where one is due.
func (c *Card) touched(key *keyPair) bool {
	if c.firing[TouchTimeout] != nil {
		return false
	}
	now := c.options.Clock()
	if key.touch == Never || key.touch == TouchCached && !key.touched.IsZero() && now.Sub(key.touched) < touchCache {
		return true
	}
	if !c.touch() {
		return false
	}
	key.touched = c.options.Clock()
	return true
}

// signature signs, well or as badly as a fault orders.
func (c *Card) signature(key *keyPair, message []byte) ([]byte, error) {
	if c.firing[TruncatedMessage] != nil {
		message = truncate(key.algorithm, message)
	}
	if c.firing[WrongSignature] != nil {
		message = append([]byte{^firstByte(message)}, message[min(1, len(message)):]...)
	}
	var signature []byte
	var err error
	switch private := key.private.(type) {
	case ed25519.PrivateKey:
		signature = ed25519.Sign(private, message)
	case *ecdsa.PrivateKey:
		signature, err = private.Sign(c.options.Rand, message, crypto.Hash(0))
	}
	if err == nil && c.firing[WrongLength] != nil {
		signature = signature[:len(signature)-1]
	}
	return signature, err
}

// truncate leaves of a message what a faulty token signs: the first 64 bytes for Ed25519, half
// of a digest for the others.
func truncate(algorithm byte, message []byte) []byte {
	if algorithm == AlgorithmEd25519 {
		return message[:min(len(message), 64)]
	}
	return message[:len(message)/2]
}

func firstByte(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}
