// Opening keys for signing, and handing what a person opened to the agent.

package main

import (
	"context"
	"errors"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/keys"
)

// unlock opens a key of the store, once: further calls get the same key without a question. It
// never takes a key from the agent: whoever changes what is trusted is asked anew. A key in a token
// asks for its PIN when it signs.
func (a *app) unlock(ctx context.Context, store *keys.Store, name string) (keys.Signer, error) {
	if key, found := a.unlocked[name]; found {
		return key, nil
	}
	var key keys.Signer
	record, err := store.Lookup(name)
	switch {
	case err == nil && record.Protection == keys.Hardware:
		key, err = a.unlockToken(ctx, record)
	case err == nil && record.Protection == keys.SSHAgent:
		key, err = a.unlockSSHAgent(ctx, record)
	default:
		key, err = a.unlockFile(ctx, store, name)
	}
	if err != nil {
		return nil, err
	}
	return a.opened(name, key), nil
}

// opened has a key that was opened, or made, sign in this run without a further question.
func (a *app) opened(name string, key keys.Signer) keys.Signer {
	if a.signing != nil {
		key = a.signing(key)
	}
	a.unlocked[name] = key
	return key
}

// unlockFile opens a key whose secret is in a file, asking for its passphrase.
func (a *app) unlockFile(ctx context.Context, store *keys.Store, name string) (*keys.SoftwareKey, error) {
	var key *keys.SoftwareKey
	_, typed, err := a.asking(ctx, a.passphraseOf(name), func(ask keys.PassphraseFunc) (err error) {
		key, err = store.Unlock(ctx, name, ask)
		return err
	})
	if err != nil {
		return nil, err
	}
	if typed {
		a.keepKey(ctx, name, key)
	}
	return key, nil
}

// keepKey hands a key, whose passphrase a person has just typed, to the agent, which is started if
// none runs: cargo's next run does not ask again.
func (a *app) keepKey(ctx context.Context, name string, key *keys.SoftwareKey) {
	if agent.Off() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handLimit)
	defer cancel()
	client, err := a.agentClient(ctx)
	if errors.Is(err, agent.ErrNoAgent) {
		client, err = a.startAgent(ctx)
	}
	if err == nil {
		err = client.Add(ctx, name, key.Secret())
	}
	if err != nil {
		a.advise("regkey: key %s is not kept unlocked for the next time: %v", name, err)
	}
}

// forgetKeys has the agent, if one runs, drop all that it holds: a key among it is protected in
// another way from now on.
func (a *app) forgetKeys(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handLimit)
	defer cancel()
	client, err := a.agentClient(ctx)
	if err == nil {
		err = client.Lock(ctx)
	}
	if err != nil && !errors.Is(err, agent.ErrNoAgent) {
		a.say("regkey: warning: the agent may still hold the key unlocked: %v", err)
	}
}
