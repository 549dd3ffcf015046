// Package sshkeys brings keys of OpenSSH: from private key files, and those that live in a running
// ssh-agent. Of their kinds, Ed25519 (ssh-ed25519) and P-384 (ecdsa-sha2-nistp384) can sign cargo
// tokens; keys in FIDO tokens ("sk-") sign something else than they are given, and can't.
package sshkeys

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"

	"github.com/cargo-regkey/regkey/keys"
)

var (
	// ErrPassphrase says that a private key file wants a passphrase.
	ErrPassphrase = errors.New("the SSH key needs a passphrase and none was given")
	// ErrWrongPassphrase says that a passphrase does not open a private key file.
	ErrWrongPassphrase = errors.New("wrong passphrase for the SSH key")

	errDamaged = errors.New("reading SSH key: it is damaged, or of another kind than Ed25519 and P-384")
)

// maxFile bounds a private key file, in bytes: those of the kinds taken here have some 600.
const maxFile = 64 << 10

// ParsePrivateKey reads an OpenSSH private key file (openssh-key-v1, PROTOCOL.key of OpenSSH) with an
// Ed25519 or a P-384 key. A zero passphrase is none. It fails with [ErrPassphrase] or
// [ErrWrongPassphrase], but not for a key of another kind, nor for one whose two halves do not belong
// together; no error repeats any of the text.
func ParsePrivateKey(text, passphrase keys.Secret) (*keys.SoftwareKey, error) {
	public, err := announced(text.Reveal())
	if err != nil {
		return nil, err
	}
	raw, err := parse(text.Reveal(), passphrase)
	if err != nil {
		return nil, err
	}
	key, err := softwareKey(raw)
	if err == nil && key.Public() != public {
		return nil, errors.New("reading SSH key: its two halves do not belong together")
	}
	return key, err
}

func softwareKey(raw any) (*keys.SoftwareKey, error) {
	switch key := raw.(type) {
	case *ed25519.PrivateKey:
		return keys.NewEd25519Key(keys.NewSecret(key.Seed()))
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P384() {
			return p384Key(key)
		}
		return nil, fmt.Errorf("reading SSH key: it is ECDSA on %s: Ed25519 and P-384 are taken", key.Curve.Params().Name)
	}
	return nil, errors.New("reading SSH key: it is of another kind than Ed25519 and P-384")
}

// parse keeps the library's errors away from whoever prints ours: they might quote what they read.
func parse(text []byte, passphrase keys.Secret) (any, error) {
	raw, err := ssh.ParseRawPrivateKey(text)
	if errors.As(err, new(*ssh.PassphraseMissingError)) {
		if passphrase.IsZero() {
			return nil, ErrPassphrase
		}
		raw, err = ssh.ParseRawPrivateKeyWithPassphrase(text, passphrase.Reveal())
	}
	switch {
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, ErrWrongPassphrase
	case err != nil:
		return nil, errDamaged
	}
	return raw, nil
}

// p384Key goes through the one text form that keys reads.
func p384Key(key *ecdsa.PrivateKey) (*keys.SoftwareKey, error) {
	scalar, err := key.Bytes()
	if err != nil {
		return nil, errors.New("reading SSH key: it is no P-384 key")
	}
	text := append([]byte("k3.secret."), base64.RawURLEncoding.AppendEncode(nil, scalar)...)
	return keys.ParseSoftwareKey(keys.NewSecret(text))
}
