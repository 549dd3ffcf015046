// A small client of the card, for the tests of the card alone.

package virtualpiv

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"encoding/binary"
	"testing"
	"time"
)

// firmware versions that the product supports.
var (
	v435 = [3]byte{4, 3, 5}
	v527 = [3]byte{5, 2, 7}
	v543 = [3]byte{5, 4, 3}
	v574 = [3]byte{5, 7, 4}
)

// user is a client with a card, a clock and a finger.
type user struct {
	*testing.T
	card   *Card
	now    time.Time
	finger bool
	asked  int
}

// take makes a card of a firmware and selects PIV.
func take(t *testing.T, firmware [3]byte) *user {
	t.Helper()
	u := &user{T: t, now: time.Unix(1_800_000_000, 0), finger: true}
	u.card = New(Options{
		Serial:   12345678,
		Firmware: firmware,
		Clock:    func() time.Time { return u.now },
		Elapse:   func(d time.Duration) { u.now = u.now.Add(d) },
		Finger:   func() bool { u.asked++; return u.finger },
	})
	u.selectPIV()
	return u
}

func (u *user) selectPIV() {
	u.Helper()
	u.want(statusOK, insSelect, 0x04, 0, applets[appletPIV][:5])
}

// send sends one command, in short APDUs, and collects its answer.
func (u *user) send(ins, p1, p2 byte, data []byte) ([]byte, uint16) {
	u.Helper()
	for len(data) > 255 {
		answer := u.card.Transmit(append([]byte{0x10, ins, p1, p2, 255}, data[:255]...))
		if status := statusOf(answer); status != statusOK {
			return nil, status
		}
		data = data[255:]
	}
	apdu := []byte{0, ins, p1, p2, byte(len(data))}
	answer := u.card.Transmit(append(apdu, data...))
	var all []byte
	for statusOf(answer)&0xff00 == statusMore {
		all = append(all, answer[:len(answer)-2]...)
		answer = u.card.Transmit([]byte{0, insGetResponse, 0, 0, 0})
	}
	if answer == nil {
		return nil, 0
	}
	return append(all, answer[:len(answer)-2]...), statusOf(answer)
}

// want sends a command and demands its status; it returns the answer.
func (u *user) want(status uint16, ins, p1, p2 byte, data []byte) []byte {
	u.Helper()
	answer, got := u.send(ins, p1, p2, data)
	if got != status {
		u.Fatalf("command %02x %02x %02x: status %04x, want %04x", ins, p1, p2, got, status)
	}
	return answer
}

// statusOf is the status word of an answer; 0 where none came.
func statusOf(answer []byte) uint16 {
	if len(answer) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(answer[len(answer)-2:])
}

// padded is a PIN as commands carry it.
func padded(pin string) []byte { return newReference(pin, 1).value }

// login verifies a PIN and demands a status.
func (u *user) login(status uint16, pin string) {
	u.Helper()
	u.want(status, insVerify, 0, referencePIN, padded(pin))
}

// manage authenticates with a management key, both sides proving themselves, and says whether
// the card took it.
func (u *user) manage(algorithm byte, key []byte) bool {
	u.Helper()
	block := cipherOf(u.T, algorithm, key)
	answer := u.want(statusOK, insAuthenticate, algorithm, slotManagement, []byte{0x7c, 2, 0x80, 0})
	run, _ := within(answer, tagTemplate)
	witness, ok := find(run, tagWitness)
	if !ok {
		u.Fatalf("no witness in %x", answer)
	}
	plain := make([]byte, block.BlockSize())
	block.Decrypt(plain, witness)
	mine := bytes.Repeat([]byte{7}, block.BlockSize())
	body := appendTLV(appendTLV(nil, tagWitness, plain), tagChallenge, mine)
	answer, status := u.send(insAuthenticate, algorithm, slotManagement, appendTLV(nil, tagTemplate, body))
	if status == statusSecurity {
		return false
	}
	if !bytes.Equal(answer, template(tagResponse, encrypt(block, mine))) || status != statusOK {
		u.Fatalf("the card did not prove itself: %x, %04x", answer, status)
	}
	return true
}

// admin authenticates with the factory's management key.
func (u *user) admin() {
	u.Helper()
	algorithm := byte(algorithm3DES)
	if u.card.atLeast(5, 7, 0) {
		algorithm = algorithmAES192
	}
	if !u.manage(algorithm, defaultManagementKey) {
		u.Fatal("the factory's management key was refused")
	}
}

func cipherOf(t *testing.T, algorithm byte, key []byte) cipher.Block {
	t.Helper()
	var block cipher.Block
	var err error
	if algorithm == algorithm3DES {
		block, err = des.NewTripleDESCipher(key)
	} else {
		block, err = aes.NewCipher(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return block
}

// generate makes a key and returns its public point.
func (u *user) generate(slot, algorithm byte, pin, touch Policy) []byte {
	u.Helper()
	u.admin()
	body := appendTLV(nil, 0x80, []byte{algorithm})
	body = appendTLV(body, tagPINPolicy, []byte{byte(pin)})
	body = appendTLV(body, tagTouchPolicy, []byte{byte(touch)})
	answer := u.want(statusOK, insGenerate, 0, slot, appendTLV(nil, 0xac, body))
	run, _ := within(answer, 0x7f49)
	point, ok := find(run, 0x86)
	if !ok {
		u.Fatalf("no point in %x", answer)
	}
	return point
}

// signed signs a message and demands a status; it returns the signature.
func (u *user) signed(status uint16, slot, algorithm byte, message []byte) []byte {
	u.Helper()
	body := appendTLV(appendTLV(nil, tagResponse, nil), tagChallenge, message)
	answer := u.want(status, insAuthenticate, algorithm, slot, appendTLV(nil, tagTemplate, body))
	if status != statusOK {
		return nil
	}
	run, _ := within(answer, tagTemplate)
	signature, ok := find(run, tagResponse)
	if !ok {
		u.Fatalf("no signature in %x", answer)
	}
	return signature
}
