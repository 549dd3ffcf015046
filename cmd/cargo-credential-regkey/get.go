// Making a token: find the key, open it, get a challenge where the registry wants one, sign.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/cargo-regkey/regkey/cargo"
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
	id, err := p.identity(r.Index)
	if errors.Is(err, errNotEnrolled) {
		p.hint(r.Index)
		return cargo.ProviderToken{}, cargo.ErrURLNotSupported
	}
	if err != nil {
		return cargo.ProviderToken{}, err
	}
	operation := token.Operation(r.Operation)
	limit := mutationLimit
	if !operation.IsMutation() {
		limit, id = readLimit, id.forReading()
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer p.watch(ctx, id, r.Index)()

	key, err := p.unlock(ctx, id, r, limit)
	inHardware := errors.Is(err, keys.ErrHardware)
	if err != nil && !inHardware {
		return cargo.ProviderToken{}, err
	}
	request := token.Request{
		Index: r.Index, Subject: id.subject, Operation: operation,
		Name: r.Crate, Version: r.Version, Checksum: r.Checksum,
	}
	if id.challenge && operation.IsMutation() {
		request.Challenge, err = p.challenge(ctx, r.Index)
		if err != nil {
			return cargo.ProviderToken{}, refuse(err, "%s wants a challenge in each token, and fetching one failed: try again, or run regkey status", id.registry)
		}
	}
	now, text := p.now(), ""
	if inHardware {
		text, now, err = p.inHardware(ctx, id, request)
	} else if text, err = token.Mint(ctx, key, request, now); err != nil {
		err = refuse(err, "no token could be made to %s", purpose(r, id))
	}
	if err != nil {
		return cargo.ProviderToken{}, err
	}
	return cargo.ProviderToken{Text: text, Expires: now.Add(id.window - min(readMargin, id.window/5))}, nil
}

// unlock opens the key, or fails with keys.ErrHardware, and asks again after a wrong passphrase
// where a person typed it.
func (p *provider) unlock(ctx context.Context, id *identity, r cargo.ProviderRequest, limit time.Duration) (*keys.SoftwareKey, error) {
	typed := false
	ask := func(ctx context.Context, _ keys.Record) (keys.Secret, error) {
		if file := p.getenv(envPassphraseFile); file != "" {
			passphrase, err := keys.PassphraseFromFile(ctx, file)
			if err != nil {
				err = refuse(err, "%s cannot be read", envPassphraseFile)
			}
			return passphrase, err
		}
		typed = true
		return p.terminal(ctx, cargo.Printable(fmt.Sprintf("regkey: to %s, passphrase of %s: ", purpose(r, id), id.key)))
	}
	for try := 1; ; try++ {
		key, err := id.open(ctx, ask)
		if err == nil {
			return key, nil
		}
		if !errors.Is(err, keys.ErrWrongPassphrase) || !typed || try == passphraseTries {
			return nil, unlockFailure(err, id, typed, limit)
		}
		p.say("wrong passphrase, try again")
	}
}

// unlockFailure says what to do about err.
func unlockFailure(err error, id *identity, typed bool, limit time.Duration) error {
	if told, ok := errors.AsType[*cargo.ProviderError](err); ok {
		return told
	}
	switch {
	case errors.Is(err, keys.ErrHardware):
		return err
	case errors.Is(err, errNoTerminal):
		return refuse(err, "%s needs a passphrase and there is no terminal to ask on: set %s to a file that holds it", id.key, envPassphraseFile)
	case errors.Is(err, errCancelled):
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
