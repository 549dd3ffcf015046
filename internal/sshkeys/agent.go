// A running ssh-agent: which keys it holds, and signatures by them.

package sshkeys

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/cargo-regkey/regkey/keys"
)

const (
	// listLimit is how long an agent may take to say what it holds.
	listLimit = 5 * time.Second
	// signLimit is how long it may take to sign: it may ask a person first.
	signLimit = time.Minute
	// maxComment bounds what is kept of a key's comment, in bytes.
	maxComment = 200
)

var (
	// ErrNoAgent is wrapped by errors that say that there is no ssh-agent to ask.
	ErrNoAgent = errors.New("no ssh-agent")
	// ErrNotHeld is wrapped by errors that say that the ssh-agent does not hold a key, or is locked.
	ErrNotHeld = errors.New("the ssh-agent does not hold the key, or is locked")
)

// An Agent is a running ssh-agent. Each method asks it anew, by a connection of its own, so one that
// was restarted at the same place goes on.
type Agent struct{ socket string }

// A Key is one that an ssh-agent holds.
type Key struct {
	Public      keys.PublicKey
	Fingerprint string // "SHA256:…", as OpenSSH shows it
	Comment     string // what others wrote: not safe to print as it is; at most 200 bytes
}

// Dial is the agent whose socket has that path, the value of SSH_AUTH_SOCK. It fails with an error
// that wraps [ErrNoAgent] where the path is empty, or nothing listens there.
func Dial(ctx context.Context, socket string) (*Agent, error) {
	if socket == "" {
		return nil, fmt.Errorf("%w: SSH_AUTH_SOCK is not set", ErrNoAgent)
	}
	a := &Agent{socket}
	conn, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	return a, conn.Close()
}

func (a *Agent) connect(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", a.socket)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAgent, err)
	}
	return conn, nil
}

// ask has do speak with the agent. The end of ctx ends it, and so does the limit.
func (a *Agent) ask(ctx context.Context, limit time.Duration, do func(agent.ExtendedAgent) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := a.connect(limited)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(limited, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	err = do(agent.NewClient(conn))
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil && limited.Err() != nil:
		return fmt.Errorf("it did not answer within %v", limit)
	}
	return err
}

// Keys are those that can sign cargo tokens, in the agent's order; others is how many it holds
// besides: of other kinds, certificates, keys in FIDO tokens. An agent that is locked shows none.
func (a *Agent) Keys(ctx context.Context) (usable []Key, others int, err error) {
	var held []*agent.Key
	err = a.ask(ctx, listLimit, func(c agent.ExtendedAgent) (err error) {
		held, err = c.List()
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("asking the ssh-agent for its keys: %w", err)
	}
	for _, key := range held {
		public, fingerprint, err := publicKey(key.Blob)
		if err != nil {
			others++
			continue
		}
		usable = append(usable, Key{public, fingerprint, fmt.Sprintf("%.*s", maxComment, key.Comment)})
	}
	return usable, others, nil
}

// publicKey is an SSH public key (RFC 4253, section 6.6; RFC 5656; RFC 8709) as one of ours.
func publicKey(blob []byte) (keys.PublicKey, string, error) {
	parsed, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return keys.PublicKey{}, "", err
	}
	holder, ok := parsed.(ssh.CryptoPublicKey)
	if !ok {
		return keys.PublicKey{}, "", errors.New("no plain key")
	}
	var public keys.PublicKey
	switch key := holder.CryptoPublicKey().(type) {
	case ed25519.PublicKey:
		if parsed.Type() != ssh.KeyAlgoED25519 {
			return public, "", errors.New("a key in a FIDO token")
		}
		public, err = keys.NewPublicKey(keys.Ed25519, key)
	case *ecdsa.PublicKey:
		if parsed.Type() != ssh.KeyAlgoECDSA384 {
			return public, "", errors.New("on another curve")
		}
		public, err = p384Public(key)
	default:
		err = errors.New("of another kind")
	}
	return public, ssh.FingerprintSHA256(parsed), err
}

// p384Public compresses a point (SEC 1, section 2.3.3).
func p384Public(key *ecdsa.PublicKey) (keys.PublicKey, error) {
	point, err := key.Bytes() // 4, x, y
	if err != nil {
		return keys.PublicKey{}, err
	}
	size := (len(point) - 1) / 2
	return keys.NewPublicKey(keys.P384, append([]byte{2 + point[len(point)-1]&1}, point[1:1+size]...))
}

// Signer signs with the key that the agent holds under that public key. Its Sign fails with
// an error that wraps [ErrNotHeld] or [ErrNoAgent]; it waits up to a minute for a person whom the
// agent asks.
func (a *Agent) Signer(public keys.PublicKey) keys.Signer { return &signer{a, public} }

type signer struct {
	agent  *Agent
	public keys.PublicKey
}

func (s *signer) Public() keys.PublicKey { return s.public }

func (s *signer) Sign(ctx context.Context, message []byte) ([]byte, error) {
	public, err := sshKey(s.public)
	if err != nil {
		return nil, fmt.Errorf("signing through the ssh-agent: %w", err)
	}
	var made *ssh.Signature
	err = s.agent.ask(ctx, signLimit, func(c agent.ExtendedAgent) (err error) {
		made, err = c.Sign(public, message)
		return err
	})
	if err == nil {
		var signature []byte
		if signature, err = signatureOf(s.public.Algorithm(), public.Type(), made); err == nil {
			return signature, nil
		}
	}
	return nil, fmt.Errorf("signing through the ssh-agent: %w", s.explain(ctx, err))
}

// explain finds out whether the agent has the key at all: it gives no reasons.
func (s *signer) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, ErrNoAgent) {
		return err
	}
	held, _, listErr := s.agent.Keys(ctx)
	if listErr != nil {
		return err
	}
	for _, key := range held {
		if key.Public == s.public {
			return err
		}
	}
	return ErrNotHeld
}

// sshKey is one of our public keys as OpenSSH has it.
func sshKey(public keys.PublicKey) (ssh.PublicKey, error) {
	if public.Algorithm() == keys.Ed25519 {
		return ssh.NewPublicKey(ed25519.PublicKey(public.Bytes()))
	}
	x, y := elliptic.UnmarshalCompressed(elliptic.P384(), public.Bytes())
	if x == nil {
		return nil, errors.New("not a point of P-384")
	}
	point := make([]byte, 1+2*48)
	point[0] = 4
	x.FillBytes(point[1:49])
	y.FillBytes(point[49:])
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), point)
	if err != nil {
		return nil, err
	}
	return ssh.NewPublicKey(key)
}

// signatureOf is what an agent made, in our form: 64 bytes, or r‖s with s at most n/2. For P-384 OpenSSH
// gives two integers (RFC 5656, section 3.1.2), and hashes with SHA-384 as we do. Whether it
// verifies is for [keys.Sign] to find out.
func signatureOf(a keys.Algorithm, kind string, made *ssh.Signature) ([]byte, error) {
	if made == nil || made.Format != kind {
		return nil, errors.New("it signed in another way than it was asked to")
	}
	if a == keys.Ed25519 {
		if len(made.Blob) != ed25519.SignatureSize {
			return nil, fmt.Errorf("its signature has %d bytes instead of %d", len(made.Blob), ed25519.SignatureSize)
		}
		return made.Blob, nil
	}
	var pair struct{ R, S *big.Int }
	if err := ssh.Unmarshal(made.Blob, &pair); err != nil {
		return nil, errors.New("its signature is not two integers")
	}
	var der cryptobyte.Builder
	der.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(pair.R)
		b.AddASN1BigInt(pair.S)
	})
	text, err := der.Bytes()
	if err != nil {
		return nil, errors.New("its signature is not two integers")
	}
	return keys.SignatureFromDER(text)
}
