// Verified read tokens, remembered: one build sends the same token with hundreds of requests,
// and a P-384 verification costs 0.7 ms.

package token

import (
	"crypto/sha256"
	"sync"

	"github.com/cargo-regkey/regkey/keys"
)

// verifiedReads remembers with which key a text was verified, and nothing else: every other rule is
// applied each time. It holds two generations of maxVerified texts, and when the younger one is full
// it becomes the older one. The zero value is empty.
type verifiedReads struct {
	mutex          sync.Mutex
	younger, older map[[32]byte]keys.PublicKey
}

// maxVerified bounds a generation: 2048 entries of about 200 bytes.
const maxVerified = 2048

func (c *verifiedReads) has(text [32]byte, key keys.PublicKey) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if found, ok := c.younger[text]; ok {
		return found == key
	}
	found, ok := c.older[text]
	if ok && found == key {
		c.insert(text, key) // it is in use: keep it past the next change of generations
		return true
	}
	return false
}

func (c *verifiedReads) add(text [32]byte, key keys.PublicKey) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.insert(text, key)
}

func (c *verifiedReads) insert(text [32]byte, key keys.PublicKey) {
	if len(c.younger) >= maxVerified {
		c.younger, c.older = nil, c.younger
	}
	if c.younger == nil {
		c.younger = make(map[[32]byte]keys.PublicKey)
	}
	c.younger[text] = key
}

// checkSignature verifies t, whose text and signed message are given. Mutation tokens serve once,
// so there is nothing to remember of them.
func (v *Verifier) checkSignature(text string, t *Token, key keys.PublicKey, signed []byte) error {
	if t.claims.Operation.IsMutation() {
		return t.verify(key, signed)
	}
	name := sha256.Sum256([]byte(text))
	if v.verified.has(name, key) {
		return nil
	}
	if err := t.verify(key, signed); err != nil {
		return err
	}
	v.verified.add(name, key)
	return nil
}
