// The slots: which there are, making, importing, moving and describing their keys.

package virtualpiv

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"time"
)

// Algorithms of keys: SP 800-78-4, table 6-2, and Yubico's number for Ed25519.
const (
	AlgorithmP256    = 0x11
	AlgorithmP384    = 0x14
	AlgorithmEd25519 = 0xE0
)

// A Policy is the PIN policy or the touch policy of a key, as the commands number them.
type Policy byte

const (
	// Never asks for nothing.
	Never Policy = 1
	// PINOnce asks for the PIN once until the card loses power or another applet is selected.
	PINOnce Policy = 2
	// PINAlways asks for the PIN in the command right before each signature.
	PINAlways Policy = 3
	// TouchAlways asks for a finger for each signature.
	TouchAlways Policy = 2
	// TouchCached asks for a finger unless one came within 15 seconds.
	TouchCached Policy = 3
)

const (
	originGenerated = 1
	originImported  = 2
)

// Tags of a key's policies in commands.
const (
	tagPINPolicy   = 0xAA
	tagTouchPolicy = 0xAB
)

// keyPair is the key of one slot.
type keyPair struct {
	algorithm  byte
	pin, touch Policy
	origin     byte
	private    crypto.Signer
	touched    time.Time
}

// isSlot says whether a key reference is a slot for asymmetric keys.
func isSlot(reference byte) bool {
	return reference >= 0x9A && reference <= 0x9E && reference != slotManagement ||
		reference >= 0x82 && reference <= 0x95
}

// supports says whether this firmware has the algorithm. RSA is left out: no test wants it.
func (c *Card) supports(algorithm byte) bool {
	switch algorithm {
	case AlgorithmP256, AlgorithmP384:
		return true
	case AlgorithmEd25519:
		return c.atLeast(5, 7, 0)
	}
	return false
}

// policies reads the policies of a new key; absent or zero means the slot's default.
func policies(run []tlv, slot byte) (pin, touch Policy, ok bool) {
	pin, touch = PINOnce, Never
	switch slot {
	case 0x9C:
		pin = PINAlways
	case 0x9E:
		pin = Never
	}
	for tag, policy := range map[uint32]*Policy{tagPINPolicy: &pin, tagTouchPolicy: &touch} {
		value, given := find(run, tag)
		if !given {
			continue
		}
		if len(value) != 1 || value[0] > 3 {
			return 0, 0, false
		}
		if value[0] != 0 {
			*policy = Policy(value[0])
		}
	}
	return pin, touch, true
}

// generate is GENERATE ASYMMETRIC KEY PAIR. It replaces the key that is there, as tokens do.
func (c *Card) generate(cmd command) ([]byte, uint16) {
	if !c.session.managed {
		return nil, statusSecurity
	}
	if cmd.p1 != 0 || !isSlot(cmd.p2) {
		return nil, statusBadParameters
	}
	run, ok := within(cmd.data, 0xac)
	if !ok {
		return nil, statusBadData
	}
	algorithm, _ := find(run, 0x80)
	pin, touch, ok := policies(run, cmd.p2)
	if len(algorithm) != 1 || !ok || !c.supports(algorithm[0]) {
		return nil, statusBadData
	}
	key := &keyPair{algorithm: algorithm[0], pin: pin, touch: touch, origin: originGenerated}
	for key.private == nil {
		// A scalar outside the group's order is drawn again.
		key.private = privateKey(key.algorithm, c.random(privateSize(key.algorithm)))
	}
	c.slots[cmd.p2] = key
	return appendTLV(nil, 0x7f49, publicTemplate(key.private.Public())), statusOK
}

// importKey stores a key that was made elsewhere.
func (c *Card) importKey(cmd command) uint16 {
	if !c.session.managed {
		return statusSecurity
	}
	if !isSlot(cmd.p2) {
		return statusBadParameters
	}
	run, ok := parseTLV(cmd.data)
	if !ok || !c.supports(cmd.p1) {
		return statusBadData
	}
	tag := uint32(0x06)
	if cmd.p1 == AlgorithmEd25519 {
		tag = 0x07
	}
	raw, _ := find(run, tag)
	pin, touch, ok := policies(run, cmd.p2)
	if !ok || len(raw) != privateSize(cmd.p1) {
		return statusBadData
	}
	private := privateKey(cmd.p1, raw)
	if private == nil {
		return statusBadData
	}
	c.slots[cmd.p2] = &keyPair{algorithm: cmd.p1, pin: pin, touch: touch, origin: originImported, private: private}
	return statusOK
}

// moveKey moves the key of slot P2 to the empty slot P1, or deletes it when P1 is ff.
func (c *Card) moveKey(cmd command) uint16 {
	if !c.session.managed {
		return statusSecurity
	}
	if !isSlot(cmd.p2) || (cmd.p1 != 0xff && !isSlot(cmd.p1)) || cmd.p1 == cmd.p2 {
		return statusBadParameters
	}
	key := c.slots[cmd.p2]
	if key == nil {
		return statusNoReference
	}
	if cmd.p1 != 0xff {
		if c.slots[cmd.p1] != nil {
			return statusBadData
		}
		c.slots[cmd.p1] = key
	}
	delete(c.slots, cmd.p2)
	return statusOK
}

// metadata is GET METADATA of a slot, the management key, the PIN or the PUK.
func (c *Card) metadata(reference byte) ([]byte, uint16) {
	const (
		tagAlgorithm = 1
		tagPolicy    = 2
		tagOrigin    = 3
		tagPublic    = 4
		tagDefault   = 5
		tagRetries   = 6
	)
	switch reference {
	case referencePIN, referencePUK:
		r := &c.pin
		if reference == referencePUK {
			r = &c.puk
		}
		b := appendTLV(nil, tagAlgorithm, []byte{0xff})
		b = appendTLV(b, tagDefault, []byte{oneIf(r.original)})
		return appendTLV(b, tagRetries, []byte{byte(r.limit), byte(r.tries)}), statusOK
	case slotManagement:
		touch := Never
		if c.manage.touch {
			touch = TouchAlways
		}
		b := appendTLV(nil, tagAlgorithm, []byte{c.manage.algorithm})
		b = appendTLV(b, tagPolicy, []byte{0, byte(touch)})
		return appendTLV(b, tagDefault, []byte{oneIf(bytes.Equal(c.manage.value, defaultManagementKey))}), statusOK
	}
	key := c.slots[reference]
	if reference == slotAttestation {
		key = c.attester.pair()
	}
	if key == nil {
		return nil, statusNoReference
	}
	b := appendTLV(nil, tagAlgorithm, []byte{key.algorithm})
	b = appendTLV(b, tagPolicy, []byte{byte(key.pin), byte(key.touch)})
	b = appendTLV(b, tagOrigin, []byte{key.origin})
	return appendTLV(b, tagPublic, publicTemplate(key.private.Public())), statusOK
}

func oneIf(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// privateSize is the length in bytes of a private key in commands.
func privateSize(algorithm byte) int {
	if algorithm == AlgorithmP384 {
		return 48
	}
	return 32
}

// privateKey makes a key of raw material; nil when a scalar is out of range.
func privateKey(algorithm byte, raw []byte) crypto.Signer {
	curve := elliptic.P256()
	switch algorithm {
	case AlgorithmEd25519:
		return ed25519.NewKeyFromSeed(raw)
	case AlgorithmP384:
		curve = elliptic.P384()
	}
	key, err := ecdsa.ParseRawPrivateKey(curve, raw)
	if err != nil {
		return nil
	}
	return key
}

// publicTemplate is a public key as the card states it: the point, uncompressed, under tag 86.
func publicTemplate(public crypto.PublicKey) []byte {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return appendTLV(nil, 0x86, k)
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err == nil {
			return appendTLV(nil, 0x86, point)
		}
	}
	panic("virtualpiv: a key without a public half was stored")
}
