// A virtual token driven by hand: as much of PIV as it takes to make a key, have it attested, and sign.

package registry_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"

	"github.com/cargo-regkey/regkey/hardware/attestation"
	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/keys"
)

// A hardKey is a key in slot 9a of a virtual token, and what the token says of it. It is a keys.Signer.
type hardKey struct {
	card   *virtualpiv.Card
	public keys.PublicKey
	chain  [][]byte
}

var _ keys.Signer = (*hardKey)(nil)

// newHardKey makes a key in a token of its own. The intermediate goes along where the real ones would not be known.
func newHardKey(t *testing.T, a keys.Algorithm, serial uint32, firmware [3]byte, touch virtualpiv.Policy) *hardKey {
	t.Helper()
	k := &hardKey{card: virtualpiv.New(virtualpiv.Options{Serial: serial, Firmware: firmware, FormFactor: 3})}
	body := []byte{0xac, 9, 0x80, 1, algorithmOf(a), 0xaa, 1, byte(virtualpiv.PINOnce), 0xab, 1, byte(touch)}
	_, err := k.send(0xa4, 4, 0, []byte{0xa0, 0, 0, 3, 8})
	check(t, errors.Join(err, k.manage()))
	_, err = k.send(0x47, 0, 0x9a, body)
	check(t, err)
	statement, err := k.send(0xf9, 0x9a, 0, nil)
	check(t, err)
	facts, err := attestation.Read(statement)
	check(t, err)
	k.public, k.chain = facts.Public, [][]byte{statement, k.card.AttestationCertificate().Raw}
	if k.card.AttestationCertificate().CheckSignatureFrom(virtualpiv.Root()) != nil {
		k.chain = append(k.chain, virtualpiv.Intermediate().Raw)
	}
	return k
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func algorithmOf(a keys.Algorithm) byte {
	if a == keys.Ed25519 {
		return virtualpiv.AlgorithmEd25519
	}
	return virtualpiv.AlgorithmP384
}

func roots() []*x509.Certificate { return []*x509.Certificate{virtualpiv.Root()} }

// send sends one command and collects its answer.
func (k *hardKey) send(ins, p1, p2 byte, data []byte) ([]byte, error) {
	answer := k.card.Transmit(append([]byte{0, ins, p1, p2, byte(len(data))}, data...))
	var all []byte
	for {
		if len(answer) < 2 {
			return nil, errors.New("the token is silent")
		}
		end := len(answer) - 2
		all = append(all, answer[:end]...)
		switch {
		case answer[end] == 0x61:
			answer = k.card.Transmit([]byte{0, 0xc0, 0, 0, 0})
		case bytes.Equal(answer[end:], []byte{0x90, 0}):
			return all, nil
		default:
			return nil, fmt.Errorf("command %02x: %x", ins, answer[end:])
		}
	}
}

// manage authenticates with the factory's management key.
func (k *hardKey) manage() error {
	algorithm, newCipher := byte(0x03), des.NewTripleDESCipher
	if f := k.card.Firmware(); f[0] == 5 && f[1] >= 7 {
		algorithm, newCipher = 0x0a, aes.NewCipher
	}
	var block cipher.Block
	block, err := newCipher(bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 3))
	if err != nil {
		return err
	}
	asked, err := k.send(0x87, algorithm, 0x9b, []byte{0x7c, 2, 0x81, 0})
	size := block.BlockSize()
	if err != nil || len(asked) != size+4 {
		return fmt.Errorf("asking for a challenge: %x, %w", asked, err)
	}
	response := append([]byte{0x7c, byte(size + 2), 0x82, byte(size)}, make([]byte, size)...)
	block.Encrypt(response[4:], asked[4:])
	_, err = k.send(0x87, algorithm, 0x9b, response)
	return err
}

// Public is the key's public half.
func (k *hardKey) Public() keys.PublicKey { return k.public }

// Sign gives the PIN and has the token sign.
func (k *hardKey) Sign(_ context.Context, message []byte) ([]byte, error) {
	if _, err := k.send(0x20, 0, 0x80, []byte("123456\xff\xff")); err != nil {
		return nil, err
	}
	if k.public.Algorithm() == keys.P384 {
		digest := sha512.Sum384(message)
		message = digest[:]
	}
	body := append([]byte{0x7c, byte(len(message) + 4), 0x82, 0, 0x81, byte(len(message))}, message...)
	answer, err := k.send(0x87, algorithmOf(k.public.Algorithm()), 0x9a, body)
	if err != nil || len(answer) < 4 {
		return nil, errors.Join(errors.New("signing"), err)
	}
	if k.public.Algorithm() == keys.P384 {
		return keys.SignatureFromDER(answer[4:])
	}
	return answer[4:], nil
}
