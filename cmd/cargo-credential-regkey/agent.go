// The agent, which keeps what a person has unlocked: asked before anybody is, and given what was typed.

package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

// keepLimit is how long cargo waits for an agent to start and to take a key: some 30 ms are usual.
const keepLimit = 5 * time.Second

// throughAgent has the agent make the token. Without an error and without a token the agent does not
// have what it takes, or there is none: then there are other ways. What comes is
// held against what was asked for.
func (p *provider) throughAgent(ctx context.Context, id *identity, request token.Request, purpose string) (string, time.Time, error) {
	if id.home == "" || p.silent {
		return "", time.Time{}, nil
	}
	client, err := agent.Dial(ctx, id.home)
	if err != nil {
		return "", time.Time{}, nil
	}
	defer func() { _ = client.Close() }()
	record, err := id.lookup()
	if err != nil || record.Public.IsZero() {
		return "", time.Time{}, nil // opening it says what is wrong, and mends what can be mended
	}
	if request, err = p.challenged(ctx, id, request); err != nil {
		return "", time.Time{}, err
	}
	begun := p.now()
	text, err := client.Token(ctx, agent.TokenRequest{
		Index: request.Index, Operation: string(request.Operation),
		Name: request.Name, Version: request.Version, Checksum: request.Checksum, Challenge: request.Challenge,
	}, func(serial uint32) func() {
		p.say("to %s, touch your YubiKey %d", purpose, serial)
		return func() {}
	})
	if silent, ok := errors.AsType[*agent.SilentError](err); ok {
		p.silent = true
		p.say("%v", silent)
	}
	if err != nil {
		return "", time.Time{}, agentFailure(id, err)
	}
	// The signature is verified where it is made, by the agent, which is this user's own process. Once
	// more here would take as long as making it.
	made, err := token.Parse(text)
	issued := begun
	if err == nil {
		issued, err = checkToken(made, request, record.Public, begun.Add(-iatSlack), p.now().Add(iatSlack))
	}
	if err != nil {
		return "", time.Time{}, refuse(err, "what the agent made with %s is not the token that was asked for, and is not used", id.key)
	}
	return text, issued, nil
}

// agentFailure is nil where there are other ways than the agent.
func agentFailure(id *identity, err error) error {
	denied, ok := errors.AsType[*agent.DeniedError](err)
	switch {
	case ok:
		return refuse(nil, "nothing was signed with %s: %s", id.key, denied.Detail)
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(nil, "nothing was signed: %s was not used in time", id.key)
	case errors.Is(err, context.Canceled):
		return refuse(nil, "nothing was signed: cancelled")
	}
	return nil
}

// keep gives the agent a key that a person has just unlocked, and starts one where none runs, so that
// nobody is asked again soon. It reports what goes wrong and fails nothing: the token is made.
func (p *provider) keep(ctx context.Context, id *identity, key *keys.SoftwareKey) {
	if id.home == "" || p.silent {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, keepLimit)
	defer cancel()
	client, err := agent.Dial(ctx, id.home)
	if errors.Is(err, agent.ErrOff) {
		return
	}
	if err != nil {
		if err = agent.Start(ctx, id.home); err == nil {
			client, err = agent.Dial(ctx, id.home)
		}
	}
	if err == nil {
		err = client.Add(ctx, id.name, key.Secret())
	}
	if err != nil {
		p.say("%s is not kept unlocked for the next time: %s", id.key, strings.ReplaceAll(err.Error(), "\n", ": "))
	}
}
