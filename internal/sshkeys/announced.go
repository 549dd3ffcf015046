// The public key that a private key file states in the open, before what may be encrypted.

package sshkeys

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"

	"github.com/cargo-regkey/regkey/keys"
)

// magic begins every key in OpenSSH's own format (PROTOCOL.key).
const magic = "openssh-key-v1\x00"

// announced is the public key of a file. It shows before anybody is asked for a passphrase whether the
// key is of any use, and that the private half belongs to it is for the caller to find out.
func announced(text []byte) (keys.PublicKey, error) {
	if len(text) > maxFile {
		return keys.PublicKey{}, fmt.Errorf("reading SSH key: it is longer than %d bytes", maxFile)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "OPENSSH PRIVATE KEY" {
		return keys.PublicKey{}, errors.New("reading SSH key: it is not in OpenSSH's format: ssh-keygen -p -f FILE rewrites an older one")
	}
	data, found := bytes.CutPrefix(block.Bytes, []byte(magic))
	var envelope struct {
		Cipher, KDF, Options string
		Count                uint32
		Public               []byte
		Rest                 []byte `ssh:"rest"`
	}
	if !found || ssh.Unmarshal(data, &envelope) != nil || envelope.Count != 1 {
		return keys.PublicKey{}, errDamaged
	}
	public, _, err := publicKey(envelope.Public)
	if err != nil {
		return keys.PublicKey{}, errDamaged
	}
	return public, nil
}
