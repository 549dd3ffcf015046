// Minting: from a request to the signed text.

package token

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cargo-regkey/regkey/keys"
)

// A Request is what a token is to be minted for.
type Request struct {
	Index     string    // the index URL, exactly as cargo gives it
	Subject   string    // what the registry has on file for the key, or ""
	Operation Operation // Read, or the mutation
	Name      string    // the crate; "" for Read
	Version   string    // "" for Read and Owners
	Checksum  string    // SHA-256 of the crate file in lower-case hex; "" but for Publish
	Challenge string    // from the registry, or ""
}

// Mint signs a token for r, issued now. It refuses a request whose fields do not belong to its
// operation, one that would not fit into [MaxSize], and text that is not UTF-8. The signature is
// made and checked by [keys.Sign], whose errors it wraps; with a key in hardware or
// behind a passphrase it may wait for a person until ctx ends.
func Mint(ctx context.Context, signer keys.Signer, r Request, now time.Time) (string, error) {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", fmt.Errorf("minting token: %w", err)
	}
	text, err := mint(ctx, signer, r, now, hex.EncodeToString(random[:]))
	if err != nil {
		return "", fmt.Errorf("minting token: %w", err)
	}
	return text, nil
}

func mint(ctx context.Context, signer keys.Signer, r Request, now time.Time, jti string) (string, error) {
	if err := r.check(); err != nil {
		return "", err
	}
	public := signer.Public()
	payload, err := r.payload(now, jti)
	if err != nil {
		return "", err
	}
	footer, err := r.footer(public.ID())
	if err != nil {
		return "", err
	}
	signedSize := len(payload) + public.Algorithm().SignatureSize()
	size := len(headerV4) + base64url.EncodedLen(signedSize) + 1 + base64url.EncodedLen(len(footer))
	if size > MaxSize {
		return "", fmt.Errorf("the token would have %d bytes, and %d is the limit", size, MaxSize)
	}
	signature, err := keys.Sign(ctx, signer, message(public, payload, footer))
	if err != nil {
		return "", err
	}
	out := make([]byte, 0, size)
	out = append(out, header(public.Algorithm())...)
	out = base64url.AppendEncode(out, append(payload, signature...))
	out = append(out, '.')
	out = base64url.AppendEncode(out, footer)
	return string(out), nil
}

func (r Request) check() error {
	if r.Index == "" {
		return errors.New("there is no index URL")
	}
	// RFC 3231, "Setting and storing login information".
	for i := range len(r.Subject) {
		if c := r.Subject[i]; c <= ' ' || c > '~' {
			return errors.New("the subject is not printable ASCII without spaces")
		}
	}
	return checkCombination(r.Operation, r.Name, r.Version, r.Checksum)
}

// payload writes the claims, in the order of the package comment.
func (r Request) payload(now time.Time, jti string) ([]byte, error) {
	now = now.UTC()
	if now.Year() < 0 || now.Year() > 9999 {
		return nil, errors.New("the time has no form in RFC 3339")
	}
	mutation := ""
	if r.Operation != Read {
		mutation = string(r.Operation)
	}
	out, err := appendMembers(make([]byte, 0, 512), [][2]string{
		{"iat", now.Format(time.RFC3339Nano)},
		{"sub", r.Subject},
		{"mutation", mutation},
		{"name", r.Name},
		{"vers", r.Version},
		{"cksum", r.Checksum},
		{"challenge", r.Challenge},
	})
	if err != nil {
		return nil, err
	}
	return append(out, `,"custom":{"jti":"`+jti+`"}}`...), nil
}

func (r Request) footer(id keys.ID) ([]byte, error) {
	out, err := appendMembers(make([]byte, 0, 256), [][2]string{
		{"url", r.Index}, {"kip", id.String()}, {"kid", id.String()},
	})
	return append(out, '}'), err
}

// appendMembers begins a JSON object and appends those members that have a value. The names
// need no escaping.
func appendMembers(out []byte, members [][2]string) (_ []byte, err error) {
	separator := byte('{')
	for _, member := range members {
		if member[1] == "" {
			continue
		}
		out = append(out, separator, '"')
		out = append(out, member[0]...)
		out = append(out, '"', ':')
		if out, err = jsontext.AppendQuote(out, member[1]); err != nil {
			return nil, fmt.Errorf("%s is not valid UTF-8", member[0])
		}
		separator = ','
	}
	return out, nil
}

// base64url is the only encoding that PASETO allows: no padding, and no bits set that decode to nothing.
var base64url = base64.RawURLEncoding.Strict()
