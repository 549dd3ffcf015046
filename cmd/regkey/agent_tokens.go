// The agent's hardware tokens: opened for a while, signed with, and watched while nobody has them.

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/internal/agent/keeper"
	"github.com/cargo-regkey/regkey/keys"
)

// agentTokens are the tokens of this machine, as the agent uses them: those that are open, by serial number. One token
// is opened, watched or closed at a time; several don't wait for each other.
type agentTokens struct {
	mu    sync.Mutex
	turns map[uint32]chan struct{}
	open  map[uint32]*hardware.Token
}

var (
	_ keeper.Tokens     = (*agentTokens)(nil)
	_ keeper.Session    = (*agentSession)(nil)
	_ hardware.Prompter = agentSigner{}
)

func newAgentTokens() *agentTokens {
	return &agentTokens{turns: map[uint32]chan struct{}{}, open: map[uint32]*hardware.Token{}}
}

// Open is [keeper.Tokens.Open]. It waits for a busy token as long as [hardware.Open] does.
func (a *agentTokens) Open(ctx context.Context, r keys.Record) (keeper.Session, error) {
	key, err := hardwareKey(r)
	if err != nil {
		return nil, err
	}
	turn := a.turn(key.Serial)
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	t, err := a.take(ctx, key.Serial)
	if err != nil {
		return nil, agentError(err)
	}
	return &agentSession{a, t}, nil
}

// turn holds a value while that token is being opened, watched or closed.
func (a *agentTokens) turn(serial uint32) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	turn := a.turns[serial]
	if turn == nil {
		turn = make(chan struct{}, 1)
		a.turns[serial] = turn
	}
	return turn
}

// take opens a token, and waits for none of those that are open already.
func (a *agentTokens) take(ctx context.Context, serial uint32) (*hardware.Token, error) {
	a.mu.Lock()
	var beside []*hardware.Token
	for _, t := range a.open {
		beside = append(beside, t)
	}
	taken := a.open[serial] != nil
	a.mu.Unlock()
	if taken {
		return nil, fmt.Errorf("opening token %d: it is open", serial)
	}
	t, err := hardware.Open(ctx, serial, beside...)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open[serial] = t
	return t, nil
}

func (a *agentTokens) give(t *hardware.Token) error {
	a.mu.Lock()
	delete(a.open, t.Serial())
	a.mu.Unlock()
	return t.Close()
}

// Watch is [keeper.Tokens.Watch]. To be certain that the token is there, and where, it opens one that the agent doesn't have
// open, for three commands; one that is not to be had counts as pulled out.
func (a *agentTokens) Watch(ctx context.Context, serial uint32) <-chan struct{} {
	gone := make(chan struct{})
	turn := a.turn(serial)
	mine := false
	select {
	case turn <- struct{}{}:
		mine = true // so that nobody opens the token before it is watched
	default:
	}
	go func() {
		defer close(gone)
		if !mine {
			turn <- struct{}{}
		}
		pulled := a.watch(ctx, serial)
		<-turn
		select {
		case <-pulled:
		case <-ctx.Done():
		}
	}()
	return gone
}

// watch is for whoever has the token's turn.
func (a *agentTokens) watch(ctx context.Context, serial uint32) <-chan struct{} {
	a.mu.Lock()
	t := a.open[serial]
	a.mu.Unlock()
	if t != nil {
		return t.Gone(ctx)
	}
	t, err := a.take(ctx, serial)
	if err != nil {
		pulled := make(chan struct{})
		close(pulled)
		return pulled
	}
	pulled := t.Gone(ctx)
	_ = a.give(t) // whatever it says: nothing was unlocked
	return pulled
}

// An agentSession is a token that the agent has open.
type agentSession struct {
	tokens *agentTokens
	token  *hardware.Token
}

// Close is [keeper.Session.Close].
func (s *agentSession) Close() error {
	turn := s.tokens.turn(s.token.Serial())
	turn <- struct{}{}
	defer func() { <-turn }()
	return agentError(s.tokens.give(s.token))
}

// Signer is [keeper.Session.Signer].
func (s *agentSession) Signer(r keys.Record, p keeper.Person) keys.Signer {
	return agentSigner{s.token, r, p}
}

// An agentSigner is a key in a token that the agent has open, and the keeper in the person's place.
type agentSigner struct {
	token  *hardware.Token
	record keys.Record
	person keeper.Person
}

func (s agentSigner) Public() keys.PublicKey { return s.record.Public }

func (s agentSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	key, err := hardwareKey(s.record)
	if err != nil {
		return nil, err
	}
	signature, err := s.token.Signer(key, s).Sign(ctx, message)
	return signature, agentError(err)
}

// PIN is the one that is kept. Of the last tries none is spent unasked, whatever the keeper says: nobody is there who could say yes.
func (s agentSigner) PIN(ctx context.Context, about hardware.Key, tries int) (keys.Secret, error) {
	pin, err := s.person.PIN(ctx, string(about.PIN), tries)
	if err == nil && tries <= hardware.FewTries {
		return keys.Secret{}, fmt.Errorf("%w: %w", keeper.ErrWrongPIN, &hardware.FewTriesError{Retries: tries})
	}
	return pin, err
}

func (s agentSigner) Touch(context.Context, hardware.Key) (done func()) { return s.person.Touch() }

// agentError marks the errors that the keeper tells apart. A token that wants its PIN, though it has had it, has forgotten or
// changed it.
func agentError(err error) error {
	switch {
	case errors.As(err, new(*hardware.PINError)), errors.As(err, new(*hardware.FormatError)), errors.Is(err, hardware.ErrPINNeeded):
		return fmt.Errorf("%w: %w", keeper.ErrWrongPIN, err)
	case errors.As(err, new(*hardware.RemovedError)):
		return fmt.Errorf("%w: %w", keeper.ErrGone, err)
	}
	return err
}
