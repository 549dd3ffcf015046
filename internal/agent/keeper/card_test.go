// Hardware, as far as the keeper has rules for it: whose PIN is kept, when it is sent, and when the
// card is given back.

package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cargo-regkey/regkey/internal/agent"
)

var pinLocked = agent.LockedError{Serial: 7}

func TestKeptPIN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, p := cardLab(t, "once", "never")
		c := begin(t, Options{Home: home, Tokens: p})
		c.wantLocked(t, publish, pinLocked)
		if _, opened, _ := p.state(); opened != 0 {
			t.Error("the card was taken though no PIN is there for it")
		}
		c.addPIN(t, 7, "123456")
		for range 3 {
			c.wantToken(t, publish)
		}
		if open, opened, sent := p.state(); open != 1 || opened != 1 || len(sent) != 1 {
			t.Errorf("three signatures: open %d, opened %d times, sent %q", open, opened, sent)
		}
		time.Sleep(linger - time.Millisecond)
		c.wantToken(t, read)
		time.Sleep(linger - time.Millisecond)
		synctest.Wait()
		if open, _, _ := p.state(); open != 1 || !c.status().Tokens[0].Open {
			t.Error("the card was given back too early")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if open, _, _ := p.state(); open != 0 || c.status().Tokens[0].Open {
			t.Error("the card was not given back")
		}
		c.wantToken(t, publish)
		if _, opened, sent := p.state(); opened != 2 || len(sent) != 2 {
			t.Errorf("after a while: opened %d times, sent %q", opened, sent)
		}
	})
}

// TestPINAlways: that policy means that a person is there each time, whatever is kept.
func TestPINAlways(t *testing.T) {
	for _, policy := range []string{"always", "match-always", ""} {
		home, p := cardLab(t, policy, "never")
		c := begin(t, Options{Home: home, Tokens: p})
		c.addPIN(t, 7, "123456")
		c.wantLocked(t, publish, pinLocked)
		// The token's own word counts, too.
		home, p = cardLab(t, "once", "never")
		p.policy = policy
		c = begin(t, Options{Home: home, Tokens: p})
		c.addPIN(t, 7, "123456")
		c.wantLocked(t, publish, pinLocked)
		if _, _, sent := p.state(); len(sent) != 0 {
			t.Errorf("%q: sent %q", policy, sent)
		}
	}
}

func TestNoPINNeeded(t *testing.T) {
	home, p := cardLab(t, "never", "never")
	c := begin(t, Options{Home: home, Tokens: p})
	c.wantToken(t, publish)
	c.wantToken(t, read)
	c.Tokens, c.sessions.tokens = nil, nil
	c.lock("a test")
	c.refused(t, publish, "no hardware")
}

// TestWrongPIN: what the token refused is dropped, and sent no second time.
func TestWrongPIN(t *testing.T) {
	home, p := cardLab(t, "once", "never")
	c := begin(t, Options{Home: home, Tokens: p})
	p.tries = 10
	c.addPIN(t, 7, "654321")
	for range 3 {
		c.wantLocked(t, publish, pinLocked)
	}
	if s := c.status(); len(s.Tokens) != 0 {
		t.Errorf("still held: %+v", s.Tokens)
	}
	if open, _, sent := p.state(); !slices.Equal(sent, []string{"654321"}) || open != 0 {
		t.Errorf("sent %q, open %d", sent, open)
	}
	c.addPIN(t, 7, "123456")
	p.tries = fewTries
	c.wantLocked(t, publish, pinLocked)
	if _, _, sent := p.state(); len(sent) != 1 {
		t.Errorf("one of the last tries was spent: %q", sent)
	}
	p.tries = fewTries + 1
	c.wantToken(t, publish)
}

func TestPulled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, p := cardLab(t, "once", "never")
		c := begin(t, Options{Home: home, Tokens: p})
		c.addPIN(t, 7, "123456")
		c.wantToken(t, publish)
		p.pull()
		synctest.Wait()
		if s := c.status(); len(s.Tokens) != 0 {
			t.Errorf("held after it was pulled: %+v", s.Tokens)
		}
		c.wantLocked(t, publish, pinLocked)
		if err := c.add(&agent.Request{Kind: agent.AskAdd, Serial: 7, Secret: []byte("123456")}); err == nil {
			t.Error("the PIN of a token that is not there is kept")
		}
		// What a signature says of it counts as well.
		p.out = false
		c.addPIN(t, 7, "123456")
		p.broken = fmt.Errorf("signing: %w", ErrGone)
		c.refused(t, publish, "pulled out")
		p.broken = nil
		c.wantLocked(t, publish, pinLocked)
	})
}

func TestReleaseGivesCardsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, p := cardLab(t, "once", "never")
		p.touch = make(chan struct{})
		c := begin(t, Options{Home: home, Tokens: p})
		c.addPIN(t, 7, "123456")
		signed, released := make(chan error, 1), make(chan error, 1)
		var told []agent.Answer
		go func() {
			_, heard, err := c.sign(t.Context(), publish)
			told = heard
			signed <- err
		}()
		synctest.Wait()
		go func() { released <- c.sessions.release(t.Context()) }()
		synctest.Wait()
		select {
		case <-released:
			t.Error("the card was given back during a signature")
		default:
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.sessions.release(impatient); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waits a second: %v", err)
		}
		close(p.touch)
		if err := <-signed; err != nil {
			t.Error(err)
		}
		if err := <-released; err != nil {
			t.Error(err)
		}
		if open, _, _ := p.state(); open != 0 {
			t.Error("the card was not given back")
		}
		want := []agent.Answer{{Kind: agent.SayTouch, Serial: 7}, {Kind: agent.SayTouched}}
		if !slices.Equal(told, want) {
			t.Errorf("told %+v", told)
		}
		c.wantToken(t, publish) // the PIN was kept
	})
}

// TestLockEndsSignatures: a finger that comes after "lock" signs nothing.
func TestLockEndsSignatures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, p := cardLab(t, "once", "always")
		p.touch = make(chan struct{})
		c := begin(t, Options{Home: home, Tokens: p})
		c.addPIN(t, 7, "123456")
		signed := make(chan error, 1)
		go func() {
			_, _, err := c.sign(t.Context(), publish)
			signed <- err
		}()
		synctest.Wait()
		c.lock("a test")
		if err := <-signed; !errors.As(err, new(*agent.LockedError)) {
			t.Errorf("the signature under way: %v", err)
		}
		if open, _, _ := p.state(); open != 0 {
			t.Error("the card was not given back")
		}
		if s := c.status(); len(s.Tokens) != 0 {
			t.Errorf("still held: %+v", s.Tokens)
		}
	})
}

// TestReadsWaitForNoFinger: cargo reads without asking anybody.
func TestReadsWaitForNoFinger(t *testing.T) {
	home, p := cardLab(t, "once", "cached")
	c := begin(t, Options{Home: home, Tokens: p})
	c.addPIN(t, 7, "123456")
	c.refused(t, read, "touch")
	if _, opened, _ := p.state(); opened != 0 {
		t.Error("the card was taken")
	}
	c.wantToken(t, publish)
}

// TestExpiredPINClosesTheCard: a card must not stay open with a PIN that is not kept any more.
func TestExpiredPINClosesTheCard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, p := cardLab(t, "once", "never")
		c := begin(t, Options{Home: home, Tokens: p, Settings: Settings{TTL: time.Second, Max: time.Hour}})
		c.addPIN(t, 7, "123456")
		c.wantToken(t, publish)
		time.Sleep(time.Second)
		synctest.Wait()
		if open, _, _ := p.state(); open != 0 {
			t.Error("the card is open without a PIN")
		}
	})
}
