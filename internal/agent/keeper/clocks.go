// The machine's suspension, as the clocks tell it.

package keeper

import (
	"sync"
	"time"
)

// maxDrift is how far the two clocks may come apart between two looks, some seconds apart, before
// that is a suspension. Setting a clock gently moves it by milliseconds in that time.
const maxDrift = 5 * time.Second

// clocks compares the clock on the wall, which goes on while a machine is suspended, with the one that
// a process runs by, which does not. A wall clock that was set looks the same: then a person is
// asked once more.
type clocks struct {
	read  func() (wall time.Time, run time.Duration)
	mutex sync.Mutex
	wall  time.Time
	run   time.Duration
}

func newClocks(read func() (time.Time, time.Duration)) *clocks {
	c := &clocks{read: read}
	c.wall, c.run = read()
	return c
}

// systemClocks reads both out of Go's one.
func systemClocks() func() (time.Time, time.Duration) {
	start := time.Now()
	return func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(start) // Round takes the other clock's reading off
	}
}

// jumped reports whether they have come apart since the last look.
func (c *clocks) jumped() bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	wall, run := c.read()
	drift := wall.Sub(c.wall) - (run - c.run)
	c.wall, c.run = wall, run
	return drift.Abs() > maxDrift
}
