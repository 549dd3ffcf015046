// The agent and this program's own use of tokens: who has a token when, and PINs that the agent keeps from now on.

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/token"
)

const (
	// releaseLimit is how long the agent may take to give its tokens back. It finishes what it signs first; after that time the
	// token counts as busy, and is waited for as ever.
	releaseLimit = 2 * time.Second
	// handLimit is how long the agent may take to start and to take the PINs.
	handLimit = 5 * time.Second
)

// agentClient fails where no agent runs.
func (a *app) agentClient(ctx context.Context) (*agent.Client, error) {
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	return agent.Dial(ctx, home)
}

// releaseTokens has the agent give its tokens back, as this program is about to open one.
func (a *app) releaseTokens(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, releaseLimit)
	defer cancel()
	if client, err := a.agentClient(ctx); err == nil {
		_ = client.Release(ctx)
	}
}

// agentHas reports whether the agent has that token open: it is plugged in then.
func (a *app) agentHas(ctx context.Context, serial uint32) bool {
	ctx, cancel := context.WithTimeout(ctx, releaseLimit)
	defer cancel()
	return a.agentHolds(ctx, func(t agent.HeldToken) bool { return t.Serial == serial && t.Open })
}

// agentHolds reports whether an agent runs that has such a token.
func (a *app) agentHolds(ctx context.Context, such func(agent.HeldToken) bool) bool {
	client, err := a.agentClient(ctx)
	if err != nil {
		return false
	}
	status, err := client.Status(ctx)
	return err == nil && slices.ContainsFunc(status.Tokens, such)
}

// forgetPIN has the agent drop a PIN that was changed, and with it all that it holds: an old one would cost a try.
func (a *app) forgetPIN(ctx context.Context, serial uint32) {
	ctx, cancel := context.WithTimeout(ctx, releaseLimit)
	defer cancel()
	held := a.agentHolds(ctx, func(t agent.HeldToken) bool { return t.Serial == serial && !t.Idle.IsZero() })
	if client, err := a.agentClient(ctx); held && err == nil {
		_ = client.Lock(ctx)
	}
}

// accepted remembers a PIN that the token has just taken, for the agent: one that a person typed, for a key that wants it
// once. One from a file never leaves this process, and what wants it always wants the person.
func (s *tokenSigner) accepted() {
	q := pinOf(s.key.Serial)
	pin, given := s.pins[q]
	if given && s.policy == hardware.PINOnce && s.secretFile(q) == "" {
		s.keep[s.key.Serial] = pin
	}
}

// mintByAgent waits while another program asks a person for the same PIN, and has the agent sign with what that one was given.
// Where it comes to nothing it is "": the person is to be asked here, and until the end of this run nowhere else.
func (a *app) mintByAgent(ctx context.Context, home string, e *enroll.Enrolment, r tokenRequest) string {
	record, err := a.store(home).Lookup(e.KeyFor(r.Operation))
	if err != nil || record.Token == nil || record.Token.PIN == string(hardware.PINNever) || r.Operation == string(token.Read) {
		return ""
	}
	serial := record.Token.Serial
	if a.secretFile(pinOf(serial)) != "" || agent.Off() {
		return ""
	}
	if a.endPrompt, err = agent.AwaitPrompt(ctx, home, fmt.Sprintf("PIN of %d", serial)); err != nil {
		return ""
	}
	client, err := a.agentClient(ctx)
	if err != nil {
		return ""
	}
	challenge, err := a.challengeFor(ctx, home, e, r)
	if err != nil {
		return ""
	}
	request := agent.TokenRequest{
		Index: e.Index, Operation: r.Operation, Name: r.Name, Version: r.Version, Checksum: r.Checksum, Challenge: challenge,
	}
	text, _ := client.Token(ctx, request, func(serial uint32) func() {
		return (&tokenSigner{app: a}).Touch(ctx, hardware.Key{Serial: serial})
	})
	return text
}

// handPINs gives the agent what was accepted, and starts one if none runs. All tokens are closed by then: the agent looks for itself
// whether they are there.
func (a *app) handPINs(ctx context.Context) {
	if a.endPrompt != nil {
		defer a.endPrompt()
	}
	if len(a.keep) == 0 || ctx.Err() != nil || agent.Off() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handLimit)
	defer cancel()
	for serial, pin := range a.keep {
		client, err := a.agentClient(ctx)
		if errors.Is(err, agent.ErrNoAgent) {
			client, err = a.startAgent(ctx)
		}
		if err == nil {
			err = client.AddPIN(ctx, serial, pin)
		}
		if err != nil {
			a.advise("regkey: the PIN of YubiKey %d is not kept for the next time: %v", serial, err)
		}
	}
}

func (a *app) startAgent(ctx context.Context) (*agent.Client, error) {
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	if err := agent.Start(ctx, home); err != nil {
		return nil, err
	}
	return agent.Dial(ctx, home)
}
