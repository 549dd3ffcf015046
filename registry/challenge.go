// Challenges: proof that a token was made after the registry was asked.

package registry

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"time"

	"github.com/cargo-regkey/regkey/token"
)

// A challenge is base64url of: the time of issue (8 bytes, milliseconds since 1970, big-endian), a nonce (16 bytes), and
// HMAC-SHA256 over both (32 bytes). Nothing is stored until it is spent, so issuing costs
// the registry no memory.
const (
	challengeTime  = 8
	challengeNonce = 16
	challengeSize  = challengeTime + challengeNonce + sha256.Size
)

var challengeEncoding = base64.RawURLEncoding.Strict()

// challenges issues and redeems; it is a token.Challenges.
type challenges struct {
	key    [32]byte // of this process: a restart makes open challenges worthless, and no database holds it
	window time.Duration
	spend  func(ctx context.Context, nonce string, until time.Time) (first bool, err error)
}

func newChallenges(window time.Duration, spend func(context.Context, string, time.Time) (bool, error)) *challenges {
	c := &challenges{window: window, spend: spend}
	_, _ = rand.Read(c.key[:]) // never fails (crypto/rand)
	return c
}

// issue makes a challenge that can be redeemed until expires.
func (c *challenges) issue(now time.Time) (text string, expires time.Time) {
	raw := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
	nonce := make([]byte, challengeNonce)
	_, _ = rand.Read(nonce) // never fails (crypto/rand)
	raw = append(raw, nonce...)
	return challengeEncoding.EncodeToString(append(raw, c.sum(raw)...)), now.Add(c.window)
}

func (c *challenges) sum(raw []byte) []byte {
	mac := hmac.New(sha256.New, c.key[:])
	mac.Write(raw)
	return mac.Sum(nil)
}

// Redeem spends a challenge, once.
func (c *challenges) Redeem(ctx context.Context, challenge string, now time.Time) error {
	if len(challenge) != challengeEncoding.EncodedLen(challengeSize) {
		return token.ErrChallenge
	}
	raw, err := challengeEncoding.DecodeString(challenge)
	if err != nil || len(raw) != challengeSize {
		return token.ErrChallenge
	}
	signed, sum := raw[:challengeTime+challengeNonce], raw[challengeTime+challengeNonce:]
	if !hmac.Equal(sum, c.sum(signed)) {
		return token.ErrChallenge
	}
	expires := time.UnixMilli(int64(binary.BigEndian.Uint64(signed))).Add(c.window)
	if now.After(expires) {
		return token.ErrChallenge
	}
	first, err := c.spend(ctx, challengeEncoding.EncodeToString(signed[challengeTime:]), expires)
	if err != nil {
		return fmt.Errorf("redeeming challenge: %w", err)
	}
	if !first {
		return token.ErrChallenge
	}
	return nil
}

func (s *Server) issueChallenge(w http.ResponseWriter, _ *http.Request) error {
	text, expires := s.challenges.issue(s.now())
	return answer(w, http.StatusOK, map[string]string{"challenge": text, "expires": expires.UTC().Format(time.RFC3339)})
}
