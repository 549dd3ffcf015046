// Making a token: find the key, open it, get a challenge where the registry wants one, sign.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/internal/terminal"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

const (
	// defaultWindow is how long a registry takes a token unless its discovery document says otherwise.
	defaultWindow = 5 * time.Minute
	// readMargin, or a fifth of a short window, is for clocks that disagree, and for what cargo
	// starts just before the end. Cargo stops using a token 60 s before the expiration that it is
	// told.
	readMargin = time.Minute

	// Cargo waits for ever, so these are the limits. It holds the lock of its package cache while
	// it waits for a read token, and other cargo processes wait with it: nobody gets long to answer
	// there.
	readLimit     = time.Minute
	mutationLimit = 5 * time.Minute

	passphraseTries = 3
)

// Get mints the token that cargo asks for.
func (p *provider) Get(ctx context.Context, r cargo.ProviderRequest) (cargo.ProviderToken, error) {
	operation := token.Operation(r.Operation)
	id, err := p.identity(r.Index, operation)
	if errors.Is(err, errNotEnrolled) {
		p.hint(r.Index)
		return cargo.ProviderToken{}, cargo.ErrURLNotSupported
	}
	if err != nil {
		return cargo.ProviderToken{}, err
	}
	limit := mutationLimit
	if !operation.IsMutation() {
		limit = readLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer p.watch(ctx, id, r.Index)()

	request := token.Request{
		Index: r.Index, Subject: id.subject, Operation: operation,
		Name: r.Crate, Version: r.Version, Checksum: r.Checksum,
	}
	text, issued, err := p.make(ctx, id, request, purpose(r, id), limit)
	if err != nil {
		return cargo.ProviderToken{}, err
	}
	return cargo.ProviderToken{Text: text, Expires: issued.Add(id.window - min(readMargin, id.window/5))}, nil
}

// make has the token made by whatever asks nobody: the key itself where it opens, else the agent; and
// only then by a person's leave. It says when the token was signed.
func (p *provider) make(ctx context.Context, id *identity, request token.Request, purpose string, limit time.Duration) (string, time.Time, error) {
	key, err := id.open(ctx, p.fromFile)
	elsewhere := errors.Is(err, keys.ErrHardware) || errors.Is(err, keys.ErrNoKeychain) || errors.Is(err, keys.ErrSSHAgent)
	switch {
	case err == nil:
		return p.sign(ctx, id, key, request, purpose)
	case !elsewhere && !errors.Is(err, keys.ErrNoPassphrase):
		return "", time.Time{}, unlockFailure(err, id, false, limit)
	}
	if err := p.checkLimits(id, request, purpose); err != nil {
		return "", time.Time{}, err
	}
	if errors.Is(err, keys.ErrHardware) || !elsewhere {
		text, issued, err := p.throughAgent(ctx, id, request, purpose)
		if text != "" || err != nil {
			return text, issued, err
		}
	}
	if elsewhere {
		return p.throughRegkey(ctx, id, request)
	}
	return p.unlocking(ctx, id, request, purpose, limit)
}

// checkLimits refuses what the registry would refuse, before anybody is asked for anything.
func (p *provider) checkLimits(id *identity, request token.Request, purpose string) error {
	if id.limits == nil {
		return nil
	}
	record, err := id.lookup()
	if err != nil || record.Public.IsZero() {
		return nil // opening it says what is wrong
	}
	if limit, ok := errors.AsType[*enroll.LimitError](id.limits(record.Public, request.Name)); ok {
		return refuse(nil, "%s may not %s, as far as this machine knows: %s; regkey sync fetches what has changed", id.key, purpose, limit.Detail)
	}
	return nil
}

// unlocking asks a person for the passphrase, and gives the agent what it opened. While another
// program asks for the same one, it waits, and has the agent sign with what that one was given.
func (p *provider) unlocking(ctx context.Context, id *identity, request token.Request, purpose string, limit time.Duration) (string, time.Time, error) {
	if id.home != "" {
		release, err := agent.AwaitPrompt(ctx, id.home, id.name)
		if err == nil {
			defer release()
			text, issued, err := p.throughAgent(ctx, id, request, purpose)
			if text != "" || err != nil {
				return text, issued, err
			}
		}
		// Where there can be no lock, two questions are better than none.
	}
	key, err := p.unlock(ctx, id, purpose, limit)
	if err != nil {
		return "", time.Time{}, err
	}
	text, issued, err := p.sign(ctx, id, key, request, purpose)
	if err == nil {
		p.keep(ctx, id, key)
	}
	return text, issued, err
}

// sign makes the token with a key that is open.
func (p *provider) sign(ctx context.Context, id *identity, key *keys.SoftwareKey, request token.Request, purpose string) (string, time.Time, error) {
	request, err := p.challenged(ctx, id, request)
	if err != nil {
		return "", time.Time{}, err
	}
	now := p.now()
	text, err := token.Mint(ctx, key, request, now)
	if err != nil {
		return "", now, refuse(err, "no token could be made to %s", purpose)
	}
	return text, now, nil
}

// challenged is the request with a challenge, where the registry wants one.
func (p *provider) challenged(ctx context.Context, id *identity, request token.Request) (token.Request, error) {
	if !id.challenge || !request.Operation.IsMutation() {
		return request, nil
	}
	var err error
	if request.Challenge, err = p.challenge(ctx, request.Index); err != nil {
		return request, refuse(err, "%s wants a challenge in each token, and fetching one failed: try again, or run regkey status", id.registry)
	}
	return request, nil
}

// fromFile is the passphrase in the file that the environment names; none where it names none.
func (p *provider) fromFile(ctx context.Context, _ keys.Record) (keys.Secret, error) {
	file := p.getenv(envPassphraseFile)
	if file == "" {
		return keys.Secret{}, nil
	}
	passphrase, err := keys.PassphraseFromFile(ctx, file)
	if err != nil {
		err = refuse(err, "%s cannot be read", envPassphraseFile)
	}
	return passphrase, err
}

// unlock opens the key with the passphrase that a person types, and asks again after a wrong one.
func (p *provider) unlock(ctx context.Context, id *identity, purpose string, limit time.Duration) (*keys.SoftwareKey, error) {
	again := false
	ask := func(ctx context.Context, _ keys.Record) (keys.Secret, error) {
		return p.ask(ctx, question{purpose, id.key, again})
	}
	for try := 1; ; try++ {
		key, err := id.open(ctx, ask)
		if err == nil {
			return key, nil
		}
		if !errors.Is(err, keys.ErrWrongPassphrase) || try == passphraseTries {
			return nil, unlockFailure(err, id, true, limit)
		}
		again = true
		p.say("wrong passphrase, try again")
	}
}

// unlockFailure says what to do about err.
func unlockFailure(err error, id *identity, typed bool, limit time.Duration) error {
	if told, ok := errors.AsType[*cargo.ProviderError](err); ok {
		return told
	}
	switch {
	case errors.Is(err, terminal.ErrNone):
		return refuse(err, "%s needs a passphrase and there is no terminal to ask on: set %s to a file that holds it", id.key, envPassphraseFile)
	case errors.Is(err, terminal.ErrCancelled):
		return refuse(nil, "nothing was signed: the passphrase of %s was not given", id.key)
	case errors.Is(err, context.DeadlineExceeded) && typed:
		return refuse(nil, "nothing was signed: nobody typed the passphrase of %s within %v", id.key, limit)
	case errors.Is(err, keys.ErrNoPassphrase):
		return refuse(nil, "nothing was signed: the passphrase of %s was empty", id.key)
	case errors.Is(err, keys.ErrWrongPassphrase) && typed:
		return refuse(nil, "nothing was signed: %d wrong passphrases for %s", passphraseTries, id.key)
	case errors.Is(err, keys.ErrWrongPassphrase):
		return refuse(nil, "%s does not hold the passphrase of %s", envPassphraseFile, id.key)
	case errors.Is(err, fs.ErrNotExist):
		return refuse(err, "%s, which signs for %s, is not here: %s", id.key, id.registry, id.recovery)
	}
	return refuse(err, "%s, which signs for %s, cannot be opened", id.key, id.registry)
}

// purpose completes "to …" for a person. The crate's name and version are what the project at
// hand says, so they are shown only as far as they can be read.
func purpose(r cargo.ProviderRequest, id *identity) string {
	crate := readable(r.Crate)
	switch r.Operation {
	case cargo.OperationRead:
		return "read from " + id.registry
	case cargo.OperationOwners:
		return "see or change who owns " + crate + " at " + id.registry
	}
	place := " at "
	if r.Operation == cargo.OperationPublish {
		place = " to "
	}
	return r.Operation + " " + crate + " " + readable(r.Version) + place + id.registry
}

// readable is text as it is if it looks like a name or a version, else quoted in ASCII.
func readable(text string) string {
	for i := range len(text) {
		c := text[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '-' && c != '_' && c != '.' && c != '+' {
			return fmt.Sprintf("%+q", shorten(text))
		}
	}
	return shorten(text)
}
