// Spent tokens in memory, for a registry of one process.

package token

import (
	"context"
	"errors"
	"sync"
	"time"
)

// MemorySpent is a [Spent] for a registry that runs as one process and for tests. It forgets
// everything when the process ends: a registry that can restart within the window needs a database
// instead, or must refuse mutations for that long after a start. The zero value is ready and
// remembers up to a million tokens (about 100 MB); when they are all still of use, Spend fails
// rather than forget one.
type MemorySpent struct {
	Limit int              // 0 = 1,000,000
	Now   func() time.Time // nil = time.Now

	mutex sync.Mutex
	until map[[32]byte]time.Time
	sweep int // when as many are held, what has expired is forgotten
}

var errSpentFull = errors.New("no room to remember another token")

// Spend implements [Spent].
func (m *MemorySpent) Spend(_ context.Context, replayKey [32]byte, until time.Time) (bool, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if _, spent := m.until[replayKey]; spent {
		return false, nil
	}
	limit := m.Limit
	if limit == 0 {
		limit = 1_000_000
	}
	if len(m.until) >= min(m.sweep, limit) {
		m.forget()
	}
	if len(m.until) >= limit {
		return false, errSpentFull
	}
	m.until[replayKey] = until
	return true, nil
}

// forget drops what has expired. The next sweep is due at twice what is left, which makes the cost
// of a token constant on average.
func (m *MemorySpent) forget() {
	now := time.Now
	if m.Now != nil {
		now = m.Now
	}
	if m.until == nil {
		m.until = make(map[[32]byte]time.Time)
	}
	for replayKey, until := range m.until {
		if now().After(until) {
			delete(m.until, replayKey)
		}
	}
	m.sweep = max(1024, 2*len(m.until))
}
