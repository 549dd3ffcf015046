// Signers, and the one whose key is in this process's memory.

package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A Signer signs with one key, wherever that key lives.
type Signer interface {
	// Public is the key that verifies what Sign returns. It does not change.
	Public() PublicKey

	// Sign signs the message, not a digest of it: Ed25519 needs it whole, and a signer for
	// P-384 hashes it with SHA-384. The signature is 64 bytes for Ed25519 and r‖s, 96
	// bytes with s at most n/2, for P-384. Sign may wait for a person (a passphrase, a touch) and
	// gives up when ctx ends.
	Sign(ctx context.Context, message []byte) (signature []byte, err error)
}

// Sign signs message with s and verifies the signature before it returns it, so that a faulty
// device, or a slot that holds another key than the record says, is found here and not by the
// registry. Everything in this project signs through it.
func Sign(ctx context.Context, s Signer, message []byte) ([]byte, error) {
	signature, err := s.Sign(ctx, message)
	if err != nil {
		return nil, err
	}
	public := s.Public()
	if !public.CanonicalSignature(signature) || !public.Verify(message, signature) {
		return nil, fmt.Errorf("signing with %v: the signature made does not verify with that key", public.ID())
	}
	return signature, nil
}

// A SoftwareKey is a private key in memory, and a [Signer]. Like a [Secret] it prints nothing of itself.
type SoftwareKey struct {
	public PublicKey
	secret Secret // PASERK text
	sign   func(message []byte) ([]byte, error)
}

var _ Signer = (*SoftwareKey)(nil)

// Generate makes a new key from the operating system's randomness.
func Generate(a Algorithm) (*SoftwareKey, error) {
	switch a {
	case Ed25519:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("generating ed25519 key: %w", err)
		}
		return newEd25519Key(private)
	case P384:
		private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("generating p384 key: %w", err)
		}
		return newP384Key(private)
	}
	return nil, fmt.Errorf("generating key: no algorithm %v", a)
}

// NewEd25519Key is the key derived from a 32-byte seed (RFC 8032, section 5.1.5).
func NewEd25519Key(seed Secret) (*SoftwareKey, error) {
	if len(seed.Reveal()) != ed25519.SeedSize {
		return nil, fmt.Errorf("making ed25519 key: the seed has %d bytes instead of %d", len(seed.Reveal()), ed25519.SeedSize)
	}
	return newEd25519Key(ed25519.NewKeyFromSeed(seed.Reveal()))
}

// ParseSoftwareKey reads a PASERK secret key ("k4.secret.…" or "k3.secret.…", PASERK specification,
// type "secret"), without a line break. It accepts exactly what [SoftwareKey.Secret] returns: a k4
// text whose public half is not that of its seed is refused, as signing with it would reveal the
// key. No error repeats any of the text.
func ParseSoftwareKey(text Secret) (*SoftwareKey, error) {
	a, raw, err := splitPASERK(text.Reveal(), "secret", Algorithm.secretSize)
	if err != nil {
		return nil, fmt.Errorf("parsing secret key: %w", err)
	}
	if a == Ed25519 {
		public, err := ed25519PublicOf(raw[:ed25519.SeedSize])
		if err != nil || subtle.ConstantTimeCompare(public, raw[ed25519.SeedSize:]) != 1 {
			return nil, errors.New("parsing secret key: its two halves do not belong together")
		}
		return newEd25519Key(raw)
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), raw)
	if err != nil {
		return nil, errors.New("parsing secret key: not a p384 scalar between 1 and n-1")
	}
	return newP384Key(private)
}

// Public is the public half.
func (k *SoftwareKey) Public() PublicKey { return k.public }

// Secret is the PASERK text of the private key.
func (k *SoftwareKey) Secret() Secret { return k.secret }

// Sign signs at once; it waits for nobody. P-384 signatures are deterministic (RFC 6979).
func (k *SoftwareKey) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return k.sign(message)
}

// String names the key by its id.
func (k *SoftwareKey) String() string { return k.public.ID().String() }

func newEd25519Key(private ed25519.PrivateKey) (*SoftwareKey, error) {
	public, err := NewPublicKey(Ed25519, private[ed25519.SeedSize:])
	if err != nil {
		return nil, err
	}
	return &SoftwareKey{
		public: public,
		secret: NewSecret([]byte(joinPASERK(Ed25519, "secret", private))),
		sign:   func(message []byte) ([]byte, error) { return ed25519Sign(private, message) },
	}, nil
}

func newP384Key(private *ecdsa.PrivateKey) (*SoftwareKey, error) {
	scalar, err := private.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding p384 key: %w", err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding p384 key: %w", err)
	}
	public := PublicKey{algorithm: P384}
	copy(public.raw[:], point)
	return &SoftwareKey{
		public: public.named(),
		secret: NewSecret([]byte(joinPASERK(P384, "secret", scalar))),
		sign: func(message []byte) ([]byte, error) {
			digest := sha512.Sum384(message)
			// No source of randomness means RFC 6979 (documented at PrivateKey.Sign).
			der, err := private.Sign(nil, digest[:], crypto.SHA384)
			if err != nil {
				return nil, fmt.Errorf("signing with p384: %w", err)
			}
			return SignatureFromDER(der)
		},
	}, nil
}

// SignatureFromDER turns a P-384 signature from the ASN.1 form that libraries and devices
// give (RFC 3279, section 2.2.3) into r‖s with s at most n/2.
func SignatureFromDER(der []byte) ([]byte, error) {
	var r, s big.Int
	input, inner := cryptobyte.String(der), cryptobyte.String(nil)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() ||
		!inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || !inner.Empty() {
		return nil, errors.New("reading p384 signature: not an ASN.1 sequence of two integers")
	}
	n := elliptic.P384().Params().N
	if r.Sign() <= 0 || s.Sign() <= 0 || r.Cmp(n) >= 0 || s.Cmp(n) >= 0 {
		return nil, errors.New("reading p384 signature: r or s is out of range")
	}
	if s.Cmp(p384HalfOrder()) > 0 {
		s.Sub(n, &s)
	}
	signature := make([]byte, P384.SignatureSize())
	r.FillBytes(signature[:48])
	s.FillBytes(signature[48:])
	return signature, nil
}
