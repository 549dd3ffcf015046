// The management key: its authentication, its change.

package virtualpiv

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/subtle"
)

// slotManagement is the key reference of the management key.
const slotManagement = 0x9B

// Algorithm identifiers of SP 800-78-4, table 6-2.
const (
	algorithm3DES   = 0x03
	algorithmAES128 = 0x08
	algorithmAES192 = 0x0A
	algorithmAES256 = 0x0C
)

// managementKeySizes are the lengths in bytes of the keys that a token takes.
var managementKeySizes = map[byte]int{
	algorithm3DES: 24, algorithmAES128: 16, algorithmAES192: 24, algorithmAES256: 32,
}

var defaultManagementKey = bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 3)

// managementKey is the symmetric key that authorizes changes.
type managementKey struct {
	algorithm byte
	value     []byte
	touch     bool
}

// block returns the key's cipher.
func (k managementKey) block() cipher.Block {
	var block cipher.Block
	var err error
	if k.algorithm == algorithm3DES {
		block, err = des.NewTripleDESCipher(k.value)
	} else {
		block, err = aes.NewCipher(k.value)
	}
	if err != nil {
		panic("virtualpiv: a management key of a wrong length was stored: " + err.Error())
	}
	return block
}

// Tags of the dynamic authentication template (SP 800-73-4, part 2, table 7).
const (
	tagTemplate  = 0x7c
	tagWitness   = 0x80
	tagChallenge = 0x81
	tagResponse  = 0x82
)

// authenticate is GENERAL AUTHENTICATE with the management key: the card's challenge alone, or
// witness and challenge, which prove both sides (SP 800-73-4, part 2, appendix A.1).
func (c *Card) authenticate(cmd command) ([]byte, uint16) {
	algorithm := cmd.p1
	if algorithm == 0 {
		algorithm = algorithm3DES
	}
	run, ok := within(cmd.data, tagTemplate)
	if algorithm != c.manage.algorithm || !ok {
		return nil, statusBadData
	}
	block := c.manage.block()
	witness, hasWitness := find(run, tagWitness)
	challenge, hasChallenge := find(run, tagChallenge)
	response, hasResponse := find(run, tagResponse)
	asked := c.session
	c.session.witness, c.session.challenge = nil, nil
	switch {
	case hasWitness && len(witness) == 0:
		c.session.witness = c.random(block.BlockSize())
		return template(tagWitness, encrypt(block, c.session.witness)), statusOK
	case hasChallenge && len(challenge) == 0:
		c.session.challenge = c.random(block.BlockSize())
		return template(tagChallenge, c.session.challenge), statusOK
	case hasWitness && asked.witness != nil && len(challenge) == block.BlockSize():
		if subtle.ConstantTimeCompare(witness, asked.witness) != 1 {
			break
		}
		if !c.admitManager() {
			break
		}
		return template(tagResponse, encrypt(block, challenge)), statusOK
	case hasResponse && asked.challenge != nil:
		if subtle.ConstantTimeCompare(response, encrypt(block, asked.challenge)) != 1 {
			break
		}
		if !c.admitManager() {
			break
		}
		return nil, statusOK
	default:
		return nil, statusBadData
	}
	c.session.managed = false
	return nil, statusSecurity
}

// admitManager grants the management key's status, after a touch where the key wants one.
func (c *Card) admitManager() bool {
	if c.manage.touch && (c.firing[TouchTimeout] != nil || !c.touch()) {
		return false
	}
	c.session.managed = true
	return true
}

// setManagementKey replaces the management key: algorithm, 9b, length, key.
func (c *Card) setManagementKey(cmd command) uint16 {
	if !c.session.managed {
		return statusSecurity
	}
	if cmd.p1 != 0xff || (cmd.p2 != 0xff && cmd.p2 != 0xfe) {
		return statusBadParameters
	}
	d := cmd.data
	if len(d) < 3 || d[1] != slotManagement || len(d) != 3+int(d[2]) {
		return statusBadData
	}
	if size, known := managementKeySizes[d[0]]; !known || size != int(d[2]) {
		return statusBadData
	}
	if d[0] != algorithm3DES && !c.atLeast(5, 4, 0) {
		return statusBadData
	}
	c.manage = managementKey{algorithm: d[0], value: bytes.Clone(d[3:]), touch: cmd.p2 == 0xfe}
	return statusOK
}

// encrypt enciphers one block.
func encrypt(block cipher.Block, plain []byte) []byte {
	out := make([]byte, block.BlockSize())
	block.Encrypt(out, plain)
	return out
}

// template is a dynamic authentication template with one value.
func template(tag uint32, value []byte) []byte {
	return appendTLV(nil, tagTemplate, appendTLV(nil, tag, value))
}
