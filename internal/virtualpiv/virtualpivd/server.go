// The tokens and where they are plugged in: the stand-in daemon, or a real one's reader.

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/internal/virtualpiv/pcsc"
	"github.com/cargo-regkey/regkey/internal/virtualpiv/vpcd"
)

// A token is one card with its reader's name and its finger.
type token struct {
	name, reader string
	out          bool
	card         *virtualpiv.Card

	mu      sync.Mutex
	changed *sync.Cond
	finger  string
	waiting bool
}

func newToken() *token {
	t := &token{finger: "yes"}
	t.changed = sync.NewCond(&t.mu)
	return t
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

// A server has the tokens, and either a daemon or the address of a reader.
type server struct {
	ctx    context.Context
	tokens []*token
	daemon *pcsc.Daemon
	vpcd   string
	// hang hangs up from the reader; it is nil while nothing is plugged in there.
	hang   context.CancelFunc
	served sync.WaitGroup
}

// start plugs in every token that is not to start out.
func start(ctx context.Context, dir, address string, tokens []*token) (*server, error) {
	s := &server{ctx: ctx, tokens: tokens, vpcd: address}
	if address != "" && len(tokens) != 1 {
		return nil, errors.New("plugging into a reader: it takes one card")
	}
	if address == "" {
		var err error
		if s.daemon, err = pcsc.Start(dir); err != nil {
			return nil, err
		}
	}
	for _, t := range tokens {
		if !t.out {
			s.insert(t)
		}
	}
	return s, nil
}

// insert plugs a token in.
func (s *server) insert(t *token) {
	t.out = false
	if s.daemon != nil {
		s.daemon.Insert(t.reader, t.card)
		return
	}
	s.remove(t)
	t.out = false
	var ctx context.Context
	ctx, s.hang = context.WithCancel(s.ctx)
	t.card.Reset()
	s.served.Go(func() {
		if err := vpcd.Dial(ctx, s.vpcd, t.card); err != nil && ctx.Err() == nil {
			fmt.Println(`{"error":"the reader was lost"}`)
		}
	})
}

// remove pulls a token out.
func (s *server) remove(t *token) {
	t.out = true
	if s.daemon != nil {
		s.daemon.Remove(t.reader)
		return
	}
	if s.hang != nil {
		s.hang()
		s.hang = nil
		s.served.Wait()
	}
}

// close pulls everything out. Nobody waits for a finger after it.
func (s *server) close() error {
	for _, t := range s.tokens {
		_ = t.setFinger("no")
		s.remove(t)
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
