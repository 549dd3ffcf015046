// The tokens and where they are plugged in: the stand-in daemon, or a real one's reader.

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/internal/virtualpiv/pcsc"
	"github.com/cargo-regkey/regkey/internal/virtualpiv/vpcd"
)

// A token is one card with its reader's name and its finger.
type token struct {
	name, reader string
	card         *virtualpiv.Card

	mu      sync.Mutex
	changed *sync.Cond
	out     bool
	finger  string
	waiting bool
}

func newToken() *token {
	t := &token{finger: "yes"}
	t.changed = sync.NewCond(&t.mu)
	return t
}

// pull says whether the token is pulled out from now on.
func (t *token) pull(out bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out = out
}

// pulled says whether it is.
func (t *token) pulled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out
}

// setFinger says what the next touches come to: "yes", "no", or "wait" for another word.
func (t *token) setFinger(word string) error {
	if word != "yes" && word != "no" && word != "wait" {
		return errors.New("a finger is yes, no or wait")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.finger = word
	t.changed.Broadcast()
	return nil
}

// touch is the card's finger.
func (t *token) touch() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = true
	defer func() { t.waiting = false }()
	for t.finger == "wait" {
		t.changed.Wait()
	}
	return t.finger == "yes"
}

// awaitsTouch says whether the card waits for a finger now.
func (t *token) awaitsTouch() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting
}

// A plug is a token as a real daemon's reader sees it: there, or not.
type plug struct{ *token }

func (p plug) Transmit(command []byte) []byte {
	if p.pulled() {
		return nil
	}
	return p.card.Transmit(command)
}

func (p plug) ATR() []byte {
	if p.pulled() {
		return nil
	}
	return p.card.ATR()
}

func (p plug) Reset() {
	if !p.pulled() && p.card.ATR() != nil {
		p.card.Reset()
	}
}

// A server has the tokens, and either a daemon or a connection to a real one's reader.
type server struct {
	ctx    context.Context
	tokens []*token
	daemon *pcsc.Daemon
	// vpcd is the address of the reader, or the one that it calls (listening).
	vpcd      string
	listening bool
	// hang ends the connection to the reader, and served awaits that.
	hang   context.CancelFunc
	served sync.WaitGroup
}

// start plugs in every token that is not to start out.
func start(ctx context.Context, o options) (*server, error) {
	s := &server{ctx: ctx, tokens: o.tokens, vpcd: o.vpcd, listening: o.listen}
	var err error
	switch {
	case (o.vpcd != "" || o.listen) && len(o.tokens) != 1:
		return nil, errors.New("plugging into a reader: it takes one card")
	case o.listen:
		err = s.listen()
	case o.vpcd == "":
		s.daemon, err = pcsc.Start(o.dir)
	}
	if err != nil {
		return nil, err
	}
	for _, t := range s.tokens {
		if !t.pulled() {
			s.insert(t)
		}
	}
	return s, nil
}

// listen waits for the reader's call, on ports that are free.
func (s *server) listen() error {
	l, err := vpcd.Listen("127.0.0.1", 0)
	if err != nil {
		return err
	}
	s.vpcd = l.Address()
	ctx, hang := context.WithCancel(s.ctx)
	s.hang = hang
	s.served.Go(func() { _ = l.Serve(ctx, plug{s.tokens[0]}) })
	return nil
}

// insert plugs a token in.
func (s *server) insert(t *token) {
	if s.daemon != nil {
		t.pull(false)
		s.daemon.Insert(t.reader, t.card)
		return
	}
	if !s.listening {
		s.remove(t)
		t.pull(false)
		t.card.Reset()
		ctx, hang := context.WithCancel(s.ctx)
		s.hang = hang
		s.served.Go(func() {
			if err := vpcd.Dial(ctx, s.vpcd, plug{t}); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "virtualpivd:", err)
			}
		})
		return
	}
	t.pull(false)
	t.card.Reset()
}

// remove pulls a token out.
func (s *server) remove(t *token) {
	t.pull(true)
	switch {
	case s.daemon != nil:
		s.daemon.Remove(t.reader)
	case !s.listening && s.hang != nil:
		s.hang()
		s.served.Wait()
		s.hang = nil
	}
}

// close pulls everything out. Nobody waits for a finger after it.
func (s *server) close() error {
	for _, t := range s.tokens {
		_ = t.setFinger("no")
		s.remove(t)
	}
	if s.hang != nil {
		s.hang()
		s.served.Wait()
	}
	if s.daemon != nil {
		return s.daemon.Close()
	}
	return nil
}

// find returns the token with a name.
func (s *server) find(name string) (*token, error) {
	for _, t := range s.tokens {
		if t.name == name {
			return t, nil
		}
	}
	return nil, fmt.Errorf("no card is called %q", name)
}
