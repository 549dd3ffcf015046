// The verifier: the rules by which a registry accepts a token, in their order.

package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// What a [Verifier] uses where its Window or Skew is zero.
const (
	DefaultWindow = 5 * time.Minute
	DefaultSkew   = 30 * time.Second
)

// A Key is what a registry knows of a key.
type Key struct {
	Public  keys.PublicKey
	Account string // whose it is; empty is an error
	Subject string // what sub must say; "" = there must be no sub
	// May reports whether the key may do op on crate, which is "" for Read. nil = nothing.
	May     func(op Operation, crate string) bool
	Until   time.Time // the last moment at which it serves; zero = no end
	Revoked bool
}

// ErrUnknownKey is what a [KeySource] returns, wrapped or not, for a key that it does not have.
var ErrUnknownKey = errors.New("unknown key")

// ErrChallenge is what [Challenges] return, wrapped or not, for a challenge that is not theirs,
// spent or expired.
var ErrChallenge = errors.New("invalid challenge")

// A KeySource knows the keys of a registry's accounts, revoked ones included.
type KeySource interface {
	// LookupKey returns the key as it stands now, or ErrUnknownKey.
	LookupKey(ctx context.Context, id keys.ID) (Key, error)
}

// Spent remembers which mutation tokens were used.
type Spent interface {
	// Spend records replayKey and reports whether this is the first time. Of any number of calls
	// with one key, simultaneous or not, from any process of the registry, exactly one gets true.
	// The record is durable when Spend returns, and is kept until the given time at least, which a
	// signer with a wrong clock can put years ahead. After an error the request is refused.
	Spend(ctx context.Context, replayKey [32]byte, until time.Time) (first bool, err error)
}

// Challenges judges the challenges of a registry that issues them.
type Challenges interface {
	// Redeem spends a challenge: of any number of calls with one text at most one returns
	// nil. The others, and those with a text that was not issued or whose time was over
	// at now, return ErrChallenge.
	Redeem(ctx context.Context, challenge string, now time.Time) error
}

// A Verifier judges tokens by the rules of RFC 3231 and of this project's protocol. Set Index, Keys
// and Spent; the other fields may stay zero. It is for use by any number of goroutines and must not
// be changed or copied after the first call.
type Verifier struct {
	Index      string           // the index URL that tokens must name, exactly as users configure it
	Algorithms []keys.Algorithm // those allowed; nil = both
	Window     time.Duration    // how old a token may be when its request arrives; 0 = DefaultWindow
	Skew       time.Duration    // how far ahead of our clock it may be signed; 0 = DefaultSkew
	Keys       KeySource
	Spent      Spent
	Challenges Challenges       // nil = none are asked for, and those given are not looked at
	Now        func() time.Time // for Recheck; nil = time.Now

	verified verifiedReads
}

// Authenticate judges the value of a request's Authorization header ("" if there is none) for the
// operation that the request's method and path mean. It needs no body, and should be called as soon
// as the headers are there, at arrived: a token is spent before a body is received, and an upload
// may take longer than the window. A refusal is an [*Error]; any other error is a failure of Keys,
// Spent or Challenges, which it wraps, or a Verifier without its fields.
//
// The rules, in their order: form; format; key known, not revoked, not past its end, allowed to do
// this on this crate; signature; registry; not too old; then a mutation token is spent, and stays
// so whatever follows; not signed in the future; subject; v; operation; challenge. A mutation token
// presented for a read is refused, and spent.
func (v *Verifier) Authenticate(ctx context.Context, authorization string, op Operation, arrived time.Time) (*Grant, error) {
	if v.Index == "" || v.Keys == nil || v.Spent == nil {
		return nil, errors.New("verifying token: the verifier needs Index, Keys and Spent")
	}
	if _, err := ParseOperation(string(op)); err != nil {
		return nil, fmt.Errorf("verifying token: %w", err)
	}
	t, err := Parse(authorization)
	if err != nil {
		return nil, err
	}
	if v.Algorithms != nil && !slices.Contains(v.Algorithms, t.algorithm) {
		return nil, refuse(CodeAlgorithm, "this registry does not take tokens of %v keys: enrol a key of another algorithm", t.algorithm)
	}
	key, err := v.lookup(ctx, t.id)
	if err != nil {
		return nil, err
	}
	if err := key.judge(t, arrived); err != nil {
		return nil, err
	}
	signed := message(key.Public, t.payload, t.footer)
	if err := v.checkSignature(authorization, t, key.Public, signed); err != nil {
		return nil, err
	}
	g := &Grant{Account: key.Account, KeyID: t.id, Claims: t.claims, ReplayKey: replayKey(signed), token: t, key: key, verifier: v}
	if err := v.judge(ctx, g, op, arrived); err != nil {
		return nil, err
	}
	return g, nil
}

// judge applies the rules that come behind the signature.
func (v *Verifier) judge(ctx context.Context, g *Grant, op Operation, arrived time.Time) error {
	if g.token.index != v.Index {
		return refuse(CodeWrongRegistry, "the token is signed for %.200q, and this registry is %q: "+
			"check the index URL of this registry in cargo's configuration, and enrol with that one", g.token.index, v.Index)
	}
	if err := v.checkAge(g.Claims.IssuedAt, arrived); err != nil {
		return err
	}
	if err := v.spend(ctx, g); err != nil {
		return err
	}
	// Only after spending: otherwise whoever has seen a token that was refused as too early could
	// use it later.
	if err := v.checkNotAhead(g.Claims.IssuedAt, arrived); err != nil {
		return err
	}
	if err := checkSubject(g.Claims.Subject, g.key.Subject); err != nil {
		return err
	}
	if g.token.version != 1 {
		return refuse(CodeVersion, "the token is of version %d, and this registry knows version 1: "+
			"use a credential provider that signs by RFC 3231 as it stands", g.token.version)
	}
	if g.Claims.Operation != op {
		return refuse(CodeWrongOperation, "the token is signed for %s, and the request is %s: "+
			"each operation needs its own token; check that nothing between cargo and its credential provider reuses tokens", g.Claims.Operation, op)
	}
	return v.redeem(ctx, g.Claims, arrived)
}

func (v *Verifier) window() time.Duration {
	if v.Window == 0 {
		return DefaultWindow
	}
	return v.Window
}

func (v *Verifier) skew() time.Duration {
	if v.Skew == 0 {
		return DefaultSkew
	}
	return v.Skew
}

func (v *Verifier) checkAge(issued, arrived time.Time) error {
	if age := arrived.Sub(issued); age > v.window() {
		return refuse(CodeExpired, "the token was signed %s ago, and this registry accepts %s: "+
			"check this machine's clock and try again", duration(age), duration(v.window()))
	}
	return nil
}

func (v *Verifier) checkNotAhead(issued, arrived time.Time) error {
	if ahead := issued.Sub(arrived); ahead > v.skew() {
		return refuse(CodeNotYetValid, "the token was signed %s in the future, and this registry accepts %s: "+
			"set this machine's clock and try again", duration(ahead), duration(v.skew()))
	}
	return nil
}

// spend uses up a mutation token. It is remembered until no request with it could pass checkAge,
// and for Skew longer, for requests that waited after their arrival.
func (v *Verifier) spend(ctx context.Context, g *Grant) error {
	if !g.Claims.Operation.IsMutation() {
		return nil
	}
	first, err := v.Spent.Spend(ctx, g.ReplayKey, g.Claims.IssuedAt.Add(v.window()+v.skew()))
	if err != nil {
		return fmt.Errorf("spending token: %w", err)
	}
	if !first {
		e := refuse(CodeReplayed, "this %s token for %.100q was used before, and each serves one request: "+
			"run the command again to sign a new one", g.Claims.Operation, g.Claims.Name)
		e.Used = &Used{ReplayKey: g.ReplayKey, Account: g.Account, Claims: g.Claims}
		return e
	}
	return nil
}

func checkSubject(claimed, onFile string) error {
	const remedy = "enrol the key again, with the subject that this registry shows for it"
	switch {
	case claimed == onFile:
		return nil
	case onFile == "":
		return refuse(CodeWrongSubject, "the token has the subject %.100q, and this registry has none on file for the key: %s", claimed, remedy)
	case claimed == "":
		return refuse(CodeWrongSubject, "the token has no subject, and this registry expects %.100q for the key: %s", onFile, remedy)
	}
	return refuse(CodeWrongSubject, "the token has the subject %.100q, and this registry expects %.100q for the key: %s", claimed, onFile, remedy)
}

func (v *Verifier) redeem(ctx context.Context, c Claims, now time.Time) error {
	if v.Challenges == nil || !c.Operation.IsMutation() {
		return nil
	}
	if c.Challenge == "" {
		return refuse(CodeChallengeMissing, "this registry asks for a signed challenge with each change, and the token has none: "+
			"use a credential provider that fetches one, and enrol again so that it knows")
	}
	err := v.Challenges.Redeem(ctx, c.Challenge, now)
	if errors.Is(err, ErrChallenge) {
		return refuse(CodeChallengeInvalid, "the token's challenge is not one that this registry has issued and that is still unused: "+
			"run the command again to fetch a new one")
	}
	if err != nil {
		return fmt.Errorf("redeeming challenge: %w", err)
	}
	return nil
}
