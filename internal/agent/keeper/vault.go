// What is held, and the rules of time by which it is dropped.

package keeper

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/internal/lockedmemory"
	"github.com/cargo-regkey/regkey/keys"
)

// A place in the vault is a software key's, by its name, or that of a token's PIN.
type slot struct {
	key    string
	serial uint32
}

// A holding is one secret that is held.
type holding struct {
	secret *lockedmemory.Secret
	public keys.PublicKey // of a software key
	added  time.Time
	used   time.Time
	forget func() // ends the watch over a token; nil for a key
}

// A vault holds secrets, each until ttl after its last use, and max after it was added at most.
type vault struct {
	ttl, max time.Duration
	sessions *sessions // to be closed when the PIN goes

	mutex   sync.Mutex
	held    map[slot]*holding
	working int       // what else keeps the agent from being idle: open tokens
	empty   time.Time // since when it has held nothing
	timer   *time.Timer
	closed  bool
	// unlocked ends, for whoever works with a secret, when everything is locked.
	unlocked context.Context
	relock   context.CancelFunc

	abandoned chan struct{} // closed when nothing was held for ttl
}

func newVault(ttl, max time.Duration, s *sessions) *vault {
	v := &vault{ttl: ttl, max: max, sessions: s, held: map[slot]*holding{}, empty: time.Now(), abandoned: make(chan struct{})}
	v.unlocked, v.relock = context.WithCancel(context.Background())
	v.timer = time.AfterFunc(ttl, v.sweep)
	return v
}

// put takes a secret in, in the place of an older one. It reports false, and drops it, where the agent
// is about to end.
func (v *vault) put(at slot, h *holding) bool {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if v.closed {
		h.end()
		return false
	}
	if old := v.held[at]; old != nil {
		old.end()
	}
	h.added = time.Now()
	h.used = h.added
	v.held[at] = h
	v.schedule(h.added)
	return true
}

// use is what is held there, nil if nothing is, and counts as a use of it.
func (v *vault) use(at slot) *holding {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	now := time.Now()
	h := v.held[at]
	if h == nil {
		return nil
	}
	if !now.Before(v.ends(h)) { // the timer is late
		v.remove(at)
		return nil
	}
	h.used = now
	return h
}

// drop drops h, if it is still what is held there.
func (v *vault) drop(at slot, h *holding) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if h != nil && v.held[at] == h {
		v.remove(at)
		v.schedule(time.Now())
	}
}

// lock drops everything, and ends what is under way.
func (v *vault) lock() {
	v.mutex.Lock()
	v.relock()
	v.unlocked, v.relock = context.WithCancel(context.Background())
	for at := range v.held {
		v.remove(at)
	}
	v.schedule(time.Now())
	v.mutex.Unlock()
	v.sessions.closeAll()
}

// close is lock for good.
func (v *vault) close() {
	v.lock()
	v.mutex.Lock()
	defer v.mutex.Unlock()
	v.closed = true
	v.relock()
	v.timer.Stop()
}

// open is a context that ends with ctx, and when everything is locked.
func (v *vault) open(ctx context.Context) (context.Context, context.CancelFunc) {
	v.mutex.Lock()
	unlocked := v.unlocked
	v.mutex.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(unlocked, func() { cancel(errLocked) })
	return ctx, func() { stop(); cancel(nil) }
}

// busy counts what keeps the agent from being idle, though it is no secret.
func (v *vault) busy(more int) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	v.working += more
	v.schedule(time.Now())
}

// ends is when h is dropped.
func (v *vault) ends(h *holding) time.Time {
	idle, until := h.used.Add(v.ttl), h.added.Add(v.max)
	if until.Before(idle) {
		return until
	}
	return idle
}

// remove drops what is held there. The mutex is held.
func (v *vault) remove(at slot) {
	v.held[at].end()
	delete(v.held, at)
	if at.serial != 0 {
		// A token that is open may have the PIN verified.
		go v.sessions.close(at.serial)
	}
}

func (h *holding) end() {
	h.secret.Wipe()
	if h.forget != nil {
		h.forget()
	}
}

// sweep drops what has come to its end, and ends the agent that has held nothing for long.
func (v *vault) sweep() {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	now := time.Now()
	for at, h := range v.held {
		if !now.Before(v.ends(h)) {
			v.remove(at)
		}
	}
	v.schedule(now)
}

// schedule sets the timer for what comes next. The mutex is held.
func (v *vault) schedule(now time.Time) {
	if v.closed {
		return
	}
	if len(v.held) == 0 && v.working == 0 {
		if v.empty.IsZero() {
			v.empty = now
		}
		if left := v.empty.Add(v.ttl).Sub(now); left > 0 {
			v.timer.Reset(left)
			return
		}
		v.closed = true
		close(v.abandoned)
		return
	}
	v.empty = time.Time{}
	next := now.Add(v.ttl)
	for _, h := range v.held {
		if end := v.ends(h); end.Before(next) {
			next = end
		}
	}
	v.timer.Reset(max(next.Sub(now), time.Millisecond))
}

// list is what is held, sorted, and why it is not in locked memory where it is not.
func (v *vault) list() (software []agent.HeldKey, tokens []agent.HeldToken, weakness string) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	for at, h := range v.held {
		idle, until := v.ends(h).UTC(), h.added.Add(v.max).UTC()
		if at.key != "" {
			software = append(software, agent.HeldKey{Name: at.key, ID: h.public.ID().String(), Idle: idle, Until: until})
		} else {
			tokens = append(tokens, agent.HeldToken{Serial: at.serial, Idle: idle, Until: until})
		}
		if err := h.secret.Weakness(); err != nil {
			weakness = err.Error()
		}
	}
	slices.SortFunc(software, func(a, b agent.HeldKey) int { return cmp.Compare(a.Name, b.Name) })
	return software, tokens, weakness
}
