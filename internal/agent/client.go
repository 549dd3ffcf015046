// The client: what the provider and regkey ask of the agent.

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// silence is how long an agent may say nothing: while it works on a request it says "wait" every
// two seconds. A variable for tests only.
var silence = 5 * time.Second

const (
	// pushes is how often a request is sent again when the agent hung up before it read it, which it
	// does to the oldest connection where too many are open.
	pushes = 5
	// maxLines bounds how many lines come before the answer: five minutes of "wait".
	maxLines = 200
)

// A connection is a stream to the agent.
type connection interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

// A Client asks the agent of one home folder. Each method is one request, at the agent that runs at
// that moment. It is for one goroutine.
//
// All methods fail with an error that wraps [ErrNoAgent] where the agent goes or hangs meanwhile,
// and with [*RefusedError] where it won't; they give up when ctx ends, with its error.
type Client struct {
	place Place
	open  connection // made by Dial, not used yet
}

// Dial connects to the agent of home, and returns at once. Where none runs the error wraps
// [ErrNoAgent]: no socket, or one whose agent is gone, or which is another user's; where the user has
// switched agents off it is [ErrOff].
func Dial(ctx context.Context, home string) (*Client, error) {
	if Off() {
		return nil, ErrOff
	}
	return Reach(ctx, home)
}

// Reach is [Dial] for a user who asks for the agent itself: REGKEY_AGENT=off does not hold it back.
func Reach(ctx context.Context, home string) (*Client, error) {
	c := &Client{place: PlaceOf(home)}
	var err error
	if c.open, err = c.place.connect(ctx); err != nil {
		return nil, fmt.Errorf("connecting to the agent: %w", err)
	}
	return c, nil
}

// Close ends a client that was not used. After a request there is nothing to close.
func (c *Client) Close() error {
	if c.open == nil {
		return nil
	}
	err := c.open.Close()
	c.open = nil
	return err
}

// Token has the agent mint a token for r. It fails with [*LockedError] where a person has to be asked
// first, and with [*DeniedError] where a person did not confirm it. touch, if not nil, is called when a hardware token waits for a finger, and done when that is
// over; neither may block.
func (c *Client) Token(ctx context.Context, r TokenRequest, touch func(serial uint32) (done func())) (string, error) {
	done := func() {}
	defer func() { done() }()
	answer, err := c.ask(ctx, &Request{Kind: AskToken, TokenRequest: r}, func(a *Answer) {
		done()
		done = func() {}
		if a.Kind == SayTouch && touch != nil {
			done = touch(a.Serial)
		}
	})
	if err != nil {
		return "", fmt.Errorf("asking the agent for a token: %w", err)
	}
	switch answer.Kind {
	case SayToken:
		return answer.Token, nil
	case SayLocked:
		return "", &LockedError{Key: answer.Key, Serial: answer.Serial}
	case SayDenied:
		return "", &DeniedError{answer.Detail}
	}
	return "", unexpected(answer)
}

// Add gives the agent the PASERK text of the software key name, which was just unlocked. The agent
// holds it against the store's record of that name.
func (c *Client) Add(ctx context.Context, name string, secret keys.Secret) error {
	return c.add(ctx, &Request{Kind: AskAdd, Key: name}, secret)
}

// AddPIN gives the agent a PIN that the token with that serial number has just accepted.
func (c *Client) AddPIN(ctx context.Context, serial uint32, pin keys.Secret) error {
	return c.add(ctx, &Request{Kind: AskAdd, Serial: serial}, pin)
}

func (c *Client) add(ctx context.Context, r *Request, secret keys.Secret) error {
	r.Secret = secret.Reveal()
	return c.do(ctx, r, "giving the agent a secret")
}

// Release has the agent give all hardware tokens back, once it has finished what it is doing with
// them; PINs stay. Whoever opens a token itself calls it first.
func (c *Client) Release(ctx context.Context) error {
	return c.do(ctx, &Request{Kind: AskRelease}, "asking the agent for its tokens")
}

// Lock has the agent drop all that it holds.
func (c *Client) Lock(ctx context.Context) error {
	return c.do(ctx, &Request{Kind: AskLock}, "locking the agent")
}

// Stop ends the agent. When it returns, everything is dropped, the socket is gone, and another agent
// can start.
func (c *Client) Stop(ctx context.Context) error {
	return c.do(ctx, &Request{Kind: AskStop}, "stopping the agent")
}

// Status is what the agent holds, and until when.
func (c *Client) Status(ctx context.Context) (Status, error) {
	answer, err := c.ask(ctx, &Request{Kind: AskStatus}, nil)
	if err == nil && answer.Kind != SayStatus {
		err = unexpected(answer)
	}
	if err != nil {
		return Status{}, fmt.Errorf("asking the agent for its state: %w", err)
	}
	return *answer.Status, nil
}

// do is a request that has no answer but that it is done.
func (c *Client) do(ctx context.Context, r *Request, doing string) error {
	answer, err := c.ask(ctx, r, nil)
	if err == nil && answer.Kind != SayDone {
		err = unexpected(answer)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// unexpected is the error that an answer is.
func unexpected(a *Answer) error {
	if a.Kind == SayRefused {
		return &RefusedError{a.Detail}
	}
	return fmt.Errorf("%w: what answers there is none", ErrNoAgent)
}

// errPushed says that the agent hung up before it said anything.
var errPushed = fmt.Errorf("%w: it hung up", ErrNoAgent)

// ask sends r and returns the last answer; those before it go to meanwhile.
func (c *Client) ask(ctx context.Context, r *Request, meanwhile func(*Answer)) (*Answer, error) {
	r.V = Version
	line, err := r.Line()
	if err != nil {
		return nil, err
	}
	defer clear(line)
	for try := 1; ; try++ {
		conn := c.open
		c.open = nil
		if conn == nil {
			if conn, err = c.place.connect(ctx); err != nil {
				return nil, err
			}
		}
		answer, err := exchange(ctx, conn, line, meanwhile)
		if !errors.Is(err, errPushed) || try == pushes {
			return answer, err
		}
	}
}

// exchange is one request on one connection, which it closes.
func exchange(ctx context.Context, conn connection, line []byte, meanwhile func(*Answer)) (*Answer, error) {
	defer func() { _ = conn.Close() }()
	// The end of ctx ends whatever waits for the other side.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	in := lineReader{conn: conn}
	for n := range maxLines {
		_ = conn.SetDeadline(time.Now().Add(silence))
		if err := ctx.Err(); err != nil {
			return nil, err // the deadline that it had set is overwritten
		}
		if n == 0 {
			if _, err := conn.Write(line); err != nil {
				return nil, broken(ctx, conn, err, true)
			}
		}
		text, err := in.next()
		if err != nil {
			return nil, broken(ctx, conn, err, n == 0)
		}
		answer, err := ParseAnswer(text)
		if err != nil {
			return nil, fmt.Errorf("%w: what answers there is none: %v", ErrNoAgent, err)
		}
		switch answer.Kind {
		case SayWait:
		case SayTouch, SayTouched:
			if meanwhile != nil {
				meanwhile(answer)
			}
		default:
			return answer, nil
		}
	}
	return nil, fmt.Errorf("%w: it comes to no end", ErrNoAgent)
}

// broken says why a connection carries no more.
func broken(ctx context.Context, conn connection, err error, first bool) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &SilentError{listener(conn)}
	case first && !errors.Is(err, errLong):
		return errPushed
	}
	return fmt.Errorf("%w: %v", ErrNoAgent, err)
}

// errLong says that a line is longer than [MaxLine].
var errLong = fmt.Errorf("it sent a line of more than %d bytes", MaxLine)

// A lineReader cuts what comes into lines.
type lineReader struct {
	conn   io.Reader
	buffer []byte
	used   int // how much of it the last line was
}

// next is the next line, without its break; it is good until the next call.
func (l *lineReader) next() ([]byte, error) {
	l.buffer = l.buffer[:copy(l.buffer, l.buffer[l.used:])]
	l.used = 0
	for seen := 0; ; {
		if end := bytes.IndexByte(l.buffer[seen:], '\n'); end >= 0 {
			l.used = seen + end + 1
			return l.buffer[:l.used-1], nil
		}
		seen = len(l.buffer)
		if seen >= MaxLine {
			return nil, errLong
		}
		if cap(l.buffer)-seen < 1<<10 {
			l.buffer = append(make([]byte, 0, 2*seen+8<<10), l.buffer...)
		}
		n, err := l.conn.Read(l.buffer[seen:cap(l.buffer)])
		l.buffer = l.buffer[:seen+n]
		if err != nil && n == 0 {
			return nil, err
		}
	}
}
