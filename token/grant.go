// Grants: an accepted token, to be compared with the request and checked again at commit.

package token

import (
	"context"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// A Grant says that the bearer of a token may do what its claims say. A registry compares it with
// the request, by [Grant.Authorize], before it acts.
type Grant struct {
	Account   string
	KeyID     keys.ID
	Claims    Claims
	ReplayKey [32]byte // under which a mutation token was spent

	token    *Token
	key      Key
	verifier *Verifier
}

// Authorize compares crate, version and checksum with the claims, byte for byte. They are those of
// the request, as the registry has determined them itself: from the path, from the crate file, by
// hashing that file; "" for what the operation does not have, and for all three of a read. A
// refusal is an [*Error]. Nothing here is secret, so this need not take constant time.
func (g *Grant) Authorize(name, version, checksum string) error {
	c := g.token.claims
	switch {
	case name != c.Name:
		return refuse(CodeWrongCrate, "the token is signed for crate %.100q, and the request is about %.100q: "+
			"run the command again, and if it happens again, find out what alters requests in transit", c.Name, name)
	case version != c.Version:
		return refuse(CodeWrongVersion, "the token is signed for version %.100q of crate %.100q, and the request is about %.100q: "+
			"run the command again, and if it happens again, find out what alters requests in transit", c.Version, c.Name, version)
	case checksum != c.Checksum:
		return refuse(CodeWrongChecksum, "the token is signed for a crate file with SHA-256 %s, and the file received has %.64s: "+
			"run the command again, and if it happens again, find out what alters uploads in transit", c.Checksum, checksum)
	}
	return nil
}

// Recheck asks [Verifier.Keys] for the key again and applies the rules on it as of [Verifier.Now].
// A registry calls it when the change is about to be committed, since a key may be revoked during
// an upload. Its errors are those of [Verifier.Authenticate].
func (g *Grant) Recheck(ctx context.Context) error {
	key, err := g.verifier.lookup(ctx, g.KeyID)
	if err != nil {
		return err
	}
	now := time.Now
	if g.verifier.Now != nil {
		now = g.verifier.Now
	}
	return g.RecheckKey(key, now())
}

// RecheckKey is [Grant.Recheck] for a registry that has read the key itself, in the
// transaction that commits the change.
func (g *Grant) RecheckKey(key Key, now time.Time) error {
	if key.Public != g.key.Public || key.Account != g.key.Account {
		return refuse(CodeKeyUnknown, "key %v is no longer that of account %q: enrol it again", g.KeyID, g.key.Account)
	}
	if err := key.judge(g.token, now); err != nil {
		return err
	}
	return checkSubject(g.token.claims.Subject, key.Subject)
}
