// Tokens that are open: each for some seconds after its last signature, so that a run of signatures
// opens it once, and other programs can have the card afterwards.

package keeper

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// linger is how long a token stays open after a signature: longer than cargo takes from one crate of
// a workspace to the next signature, shorter than a person takes to start another program.
const linger = 3 * time.Second

// sessions has the tokens, one desk for each.
type sessions struct {
	tokens Tokens
	busy   func(more int) // is told when one opens and closes

	mutex sync.Mutex
	desks map[uint32]*desk
}

// A desk is where one token is used, by one request at a time.
type desk struct {
	turn    chan struct{} // holds one value while the desk is in use
	session Session       // nil while the token is not open
	opened  bool          // the same, for those who only look; under the mutex of sessions
	closing *time.Timer
}

// errLocked says that everything was locked while a request was under way.
var errLocked = errors.New("locked meanwhile")

func (s *sessions) desk(serial uint32) *desk {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	d := s.desks[serial]
	if d == nil {
		d = &desk{turn: make(chan struct{}, 1)}
		s.desks[serial] = d
	}
	return d
}

// take waits for the turn at a desk.
func (d *desk) take(ctx context.Context) error {
	select {
	case d.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *desk) leave() { <-d.turn }

// use opens the token that holds r's key, if it is not open, and has do sign with it. The session does
// not outlive an error: what state the token is in then is not known.
func (s *sessions) use(ctx context.Context, r keys.Record, p Person, do func(keys.Signer) error) error {
	if s.tokens == nil {
		return errors.New("this agent reaches no hardware tokens")
	}
	d := s.desk(r.Token.Serial)
	if err := d.take(ctx); err != nil {
		return err
	}
	defer d.leave()
	if d.closing != nil {
		d.closing.Stop()
	}
	if d.session == nil {
		session, err := s.tokens.Open(ctx, r)
		if err != nil {
			return err
		}
		s.set(d, session)
	}
	if err := do(d.session.Signer(r, p)); err != nil {
		s.shut(d)
		return err
	}
	d.closing = time.AfterFunc(linger, func() { s.closeIdle(d) })
	return nil
}

func (s *sessions) set(d *desk, session Session) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	d.session, d.opened = session, session != nil
	if session != nil {
		s.busy(+1)
	} else {
		s.busy(-1)
	}
}

// shut closes the session of a desk whose turn the caller has. What closing fails with is of no use
// to anybody: the token is given back with the process at the latest.
func (s *sessions) shut(d *desk) {
	if d.session == nil {
		return
	}
	if d.closing != nil {
		d.closing.Stop()
	}
	_ = d.session.Close()
	s.set(d, nil)
}

// closeIdle closes a session that nobody uses at this moment.
func (s *sessions) closeIdle(d *desk) {
	select {
	case d.turn <- struct{}{}:
		defer d.leave()
		s.shut(d)
	default: // somebody does, and begins to wait anew afterwards
	}
}

// close closes the session of one token, once nobody uses it.
func (s *sessions) close(serial uint32) {
	d := s.desk(serial)
	_ = d.take(context.Background())
	defer d.leave()
	s.shut(d)
}

// release closes all sessions, each once nobody uses it.
func (s *sessions) release(ctx context.Context) error {
	for _, d := range s.all() {
		if err := d.take(ctx); err != nil {
			return err
		}
		s.shut(d)
		d.leave()
	}
	return nil
}

// closeAll is release for a lock, which has ended what was under way.
func (s *sessions) closeAll() {
	ctx, cancel := context.WithTimeout(context.Background(), linger)
	defer cancel()
	_ = s.release(ctx)
}

func (s *sessions) all() []*desk {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var all []*desk
	for _, d := range s.desks {
		all = append(all, d)
	}
	return all
}

// open are the serial numbers of tokens that are open.
func (s *sessions) open() map[uint32]bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	open := map[uint32]bool{}
	for serial, d := range s.desks {
		if d.opened {
			open[serial] = true
		}
	}
	return open
}
