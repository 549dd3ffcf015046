// Requests: one connection from its first byte to its answer.

package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/internal/agent/peer"
	"github.com/cargo-regkey/regkey/internal/lockedmemory"
	"github.com/cargo-regkey/regkey/keys"
)

const (
	// requestLimit is how long a client has for its request, which it sends in one piece.
	requestLimit = 5 * time.Second
	// answerLimit is how long a line may wait for a client that does not read. Most fit into the
	// socket's own buffer, and wait for nobody.
	answerLimit = time.Second
	// waitPause is between two words to a client whose request takes long.
	waitPause = 2 * time.Second
	// maxCrowd is how many requests may wait at a time for a person or a card.
	maxCrowd = 32
)

// A caller is one connection whose request is being worked on.
type caller struct {
	*keeper
	conn  net.Conn
	who   peer.Peer
	mutex sync.Mutex // of what is written
}

// handle is one connection.
func (k *keeper) handle(conn net.Conn, who peer.Peer) {
	defer func() { _ = conn.Close() }()
	defer k.quiet.Reset(idlePause)
	_ = conn.SetReadDeadline(time.Now().Add(requestLimit))
	r, err := readRequest(conn)
	if !k.room.leave(conn) {
		return // it was pushed out
	}
	c := &caller{keeper: k, conn: conn, who: who}
	if err != nil {
		if !errors.Is(err, errNoRequest) {
			k.Log.Warn("refused a request", "by", c.name(), "because", err)
			c.tell(agent.Answer{Kind: agent.SayRefused, Detail: err.Error()})
		}
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	k.lookAtClocks()
	if answer := c.answer(r); answer != nil {
		c.tell(*answer)
	}
}

// answer does what is asked. No answer is a connection that is closed: the client finds another agent.
func (c *caller) answer(r *agent.Request) *agent.Answer {
	done := &agent.Answer{Kind: agent.SayDone}
	switch r.Kind {
	case agent.AskToken:
		return c.token(r.TokenRequest)
	case agent.AskAdd:
		err := c.add(r)
		clear(r.Secret)
		c.report("adding", err, "key", r.Key, "token", r.Serial)
		if errors.Is(err, errEnding) {
			return nil
		}
		if err != nil {
			return refusal(err)
		}
	case agent.AskRelease:
		ctx, end := c.patiently(context.Background())
		defer end()
		err := c.sessions.release(ctx)
		c.report("releasing", err)
		if err != nil {
			return refusal(err)
		}
	case agent.AskLock:
		c.lock("a client asked for it: " + c.name())
	case agent.AskStatus:
		return &agent.Answer{Kind: agent.SayStatus, Status: c.status()}
	case agent.AskStop:
		c.report("stopping", nil)
		c.once.Do(func() { close(c.stop) })
		<-c.gone
	}
	return done
}

// token is a request for a token.
func (c *caller) token(r agent.TokenRequest) *agent.Answer {
	ctx, end := c.vault.open(context.Background())
	defer end()
	ctx, end = c.patiently(ctx)
	defer end()
	text, err := c.mint(ctx, r, c.name(), c.tell)
	c.report("token", err, "operation", r.Operation, "crate", r.Name, "version", r.Version, "index", r.Index)
	if err != nil {
		return refusal(err)
	}
	return &agent.Answer{Kind: agent.SayToken, Token: text}
}

// report tells the log what was asked, by which process, and what came of it.
func (c *caller) report(what string, err error, about ...any) {
	outcome := "done"
	if err != nil {
		outcome = err.Error()
	}
	c.Log.Info(what, append(about, "by", c.name(), "outcome", outcome)...)
}

// refusal is the answer that err is. Its sentence can quote files and devices.
func refusal(err error) *agent.Answer {
	if locked, ok := errors.AsType[*agent.LockedError](err); ok {
		return &agent.Answer{Kind: agent.SayLocked, Key: locked.Key, Serial: locked.Serial}
	}
	kind, detail := agent.SayRefused, err.Error()
	if refused, ok := errors.AsType[*agent.RefusedError](err); ok {
		detail = refused.Detail
	}
	if errors.As(err, new(*agent.DeniedError)) {
		kind = agent.SayDenied
	}
	detail = cargo.Printable(strings.ToValidUTF8(strings.ReplaceAll(detail, "\n", "; "), "?"))
	return &agent.Answer{Kind: kind, Detail: fmt.Sprintf("%.2000s", detail)}
}

// errEnding says that the agent is about to end, and takes nothing in any more.
var errEnding = errors.New("the agent is ending")

// add takes a secret in.
func (c *caller) add(r *agent.Request) error {
	at := slot{key: r.Key, serial: r.Serial}
	h := &holding{}
	if r.Serial != 0 {
		if c.Tokens == nil {
			return refuse("this agent reaches no hardware tokens")
		}
		if err := c.watchToken(at, h); err != nil {
			return err
		}
	} else {
		record, err := c.store.Lookup(r.Key)
		if err != nil {
			return refuse("%v", err)
		}
		given := keys.NewSecret(r.Secret)
		defer clear(given.Reveal())
		key, err := keys.ParseSoftwareKey(given)
		if err != nil {
			return refuse("%v", err)
		}
		clear(key.Secret().Reveal())
		if key.Public() != record.Public {
			return refuse("what was given is not the key %q of the store", r.Key)
		}
		h.public = key.Public()
	}
	secret, err := lockedmemory.New(r.Secret)
	if err != nil {
		if h.forget != nil {
			h.forget()
		}
		return refuse("%v", err)
	}
	h.secret = secret
	if !c.vault.put(at, h) {
		return errEnding
	}
	return nil
}

// watchToken has h dropped when the token is pulled. One that is not there is refused: the PIN was
// accepted by a token that has gone since.
func (c *caller) watchToken(at slot, h *holding) error {
	ctx, forget := context.WithCancel(context.Background())
	gone := c.Tokens.Watch(ctx, at.serial)
	select {
	case <-gone:
		forget()
		return refuse("token %d is not plugged in", at.serial)
	default:
	}
	h.forget = forget
	go func() {
		select {
		case <-gone:
			if ctx.Err() == nil {
				c.Log.Info("dropped a PIN", "token", at.serial, "because", "the token was pulled out")
			}
			c.vault.drop(at, h)
		case <-ctx.Done():
		}
	}()
	return nil
}

// status is what the agent tells of itself.
func (c *caller) status() *agent.Status {
	s := &agent.Status{
		PID: os.Getpid(), Since: c.since.UTC().Truncate(time.Second), Hardware: c.Tokens != nil,
		TTL: c.Settings.TTL.String(), Max: c.Settings.Max.String(), Confirm: c.Settings.Confirm,
	}
	s.Keys, s.Tokens, s.Weakness = c.vault.list()
	for serial := range c.sessions.open() {
		at := slices.IndexFunc(s.Tokens, func(t agent.HeldToken) bool { return t.Serial == serial })
		if at < 0 {
			at = len(s.Tokens)
			s.Tokens = append(s.Tokens, agent.HeldToken{Serial: serial})
		}
		s.Tokens[at].Open = true
	}
	slices.SortFunc(s.Tokens, func(a, b agent.HeldToken) int { return cmp.Compare(a.Serial, b.Serial) })
	return s
}

// patiently is for a request that may take long: the client hears that it is worked on, and when it
// hangs up, or says more than its request, the work ends.
func (c *caller) patiently(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	var both sync.WaitGroup
	both.Go(func() {
		var none [1]byte
		_, _ = c.conn.Read(none[:])
		cancel()
	})
	both.Go(func() {
		pause := time.NewTicker(waitPause)
		defer pause.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-pause.C:
				c.tell(agent.Answer{Kind: agent.SayWait})
			}
		}
	})
	return ctx, func() {
		cancel()
		_ = c.conn.SetReadDeadline(time.Unix(1, 0)) // ends the read
		both.Wait()
	}
}

// tell writes one line. A client that has gone, or does not read, is no concern of the agent's.
func (c *caller) tell(a agent.Answer) {
	line, err := a.Line()
	if err != nil {
		c.Log.Error("an answer can't be written", "answer", a.Kind, "because", err)
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(answerLimit))
	_, _ = c.conn.Write(line)
}
