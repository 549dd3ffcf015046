// The rules of time: how long something is held, and how long an agent that holds nothing lives.

package keeper

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/keys"
)

func (c *caller) names() (names []string) {
	for _, k := range c.status().Keys {
		names = append(names, k.Name)
	}
	return names
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestHeldUntilIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, laptop := lab(t)
		desk := generate(t, keys.P384)
		store(t, home, "desk", desk)
		c := begin(t, Options{Home: home, Settings: Settings{TTL: 15 * time.Minute, Max: 8 * time.Hour}})
		c.addKey(t, "laptop", laptop)
		c.addKey(t, "desk", desk)
		time.Sleep(10 * time.Minute)
		c.wantToken(t, publish)
		time.Sleep(5*time.Minute - time.Second)
		if got := c.names(); !slices.Equal(got, []string{"desk", "laptop"}) {
			t.Errorf("before the time: %q", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := c.names(); !slices.Equal(got, []string{"laptop"}) {
			t.Errorf("after 15 minutes: %q", got)
		}
		time.Sleep(10*time.Minute - time.Second)
		c.wantToken(t, read)
		time.Sleep(15*time.Minute - time.Second)
		if got := c.names(); !slices.Equal(got, []string{"laptop"}) {
			t.Errorf("before the time: %q", got)
		}
		status := c.status().Keys[0]
		if left := time.Until(status.Idle); left != time.Second {
			t.Errorf("the status says that %v are left", left)
		}
		time.Sleep(time.Second)
		c.wantLocked(t, publish, agent.LockedError{Key: "laptop"})
		if got := c.names(); got != nil {
			t.Errorf("after the time: %q", got)
		}
	})
}

// TestHeldAtMost: use does not keep a key for ever; adding it again, for which somebody has typed
// again, begins anew.
func TestHeldAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, laptop := lab(t)
		c := begin(t, Options{Home: home, Settings: Settings{TTL: 15 * time.Minute, Max: time.Hour}})
		c.addKey(t, "laptop", laptop)
		for range 5 {
			time.Sleep(10 * time.Minute)
			c.wantToken(t, publish)
		}
		if status := c.status().Keys[0]; !status.Idle.Equal(status.Until) || time.Until(status.Until) != 10*time.Minute {
			t.Errorf("the status says %v, and %v at most", time.Until(status.Idle), time.Until(status.Until))
		}
		time.Sleep(10 * time.Minute)
		c.wantLocked(t, publish, agent.LockedError{Key: "laptop"})
		c.addKey(t, "laptop", laptop)
		time.Sleep(10 * time.Minute)
		c.addKey(t, "laptop", laptop)
		for range 5 {
			time.Sleep(10 * time.Minute)
			c.wantToken(t, publish)
		}
		time.Sleep(10*time.Minute + time.Second)
		c.wantLocked(t, publish, agent.LockedError{Key: "laptop"})
	})
}

// TestAbandoned: an agent that has held nothing for the ttl ends.
func TestAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, laptop := lab(t)
		c := begin(t, Options{Home: home, Settings: Settings{TTL: 15 * time.Minute, Max: time.Hour}})
		time.Sleep(14 * time.Minute)
		c.addKey(t, "laptop", laptop)
		time.Sleep(14 * time.Minute)
		c.wantToken(t, publish)
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if c.names() != nil || isClosed(c.vault.abandoned) {
			t.Error("it ends with what it held")
		}
		time.Sleep(15*time.Minute - time.Second)
		if isClosed(c.vault.abandoned) {
			t.Error("it ends too early")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !isClosed(c.vault.abandoned) {
			t.Error("it does not end")
		}
		if err := c.add(&agent.Request{Kind: agent.AskAdd, Key: "laptop", Secret: slices.Clone(laptop.Secret().Reveal())}); err != errEnding {
			t.Errorf("adding to an agent that ends: %v", err)
		}
	})
}

// TestOpenCardsCount: an agent whose card is in use is not idle, though it keeps no secret.
func TestOpenCardsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, p := cardLab(t, "never", "never")
		c := begin(t, Options{Home: home, Tokens: p, Settings: Settings{TTL: 10 * time.Second, Max: time.Hour}})
		for range 5 {
			time.Sleep(9 * time.Second)
			c.wantToken(t, publish)
		}
		time.Sleep(linger + 10*time.Second - time.Millisecond)
		if isClosed(c.vault.abandoned) {
			t.Error("it ends too early")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if !isClosed(c.vault.abandoned) {
			t.Error("it does not end")
		}
	})
}

func TestLockDropsEverything(t *testing.T) {
	home, laptop := lab(t)
	c := begin(t, Options{Home: home})
	c.addKey(t, "laptop", laptop)
	kept := c.vault.use(slot{key: "laptop"}).secret
	c.lock("a test")
	if err := kept.Use(func([]byte) error { return nil }); err == nil {
		t.Error("the secret was not wiped")
	}
	c.wantLocked(t, publish, agent.LockedError{Key: "laptop"})
	c.addKey(t, "laptop", laptop)
	kept = c.vault.use(slot{key: "laptop"}).secret
	c.addKey(t, "laptop", laptop)
	if err := kept.Use(func([]byte) error { return nil }); err == nil {
		t.Error("what was replaced was not wiped")
	}
	c.wantToken(t, publish)
}

func TestClocks(t *testing.T) {
	wall, run := time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC), time.Hour
	c := newClocks(func() (time.Time, time.Duration) { return wall, run })
	for _, step := range []struct {
		what      string
		wall, run time.Duration
		jumped    bool
	}{
		{"nothing", 0, 0, false},
		{"a day awake", 24 * time.Hour, 24 * time.Hour, false},
		{"a clock that is set gently", 6 * time.Second, 5 * time.Second, false},
		{"ten minutes asleep", 10 * time.Minute, time.Second, true},
		{"after them", time.Second, time.Second, false},
		{"an hour asleep and nothing else", time.Hour, 0, true},
		{"a clock that is set back", -time.Hour, time.Second, true},
		{"after it", time.Minute, time.Minute, false},
	} {
		wall, run = wall.Add(step.wall), run+step.run
		if got := c.jumped(); got != step.jumped {
			t.Errorf("%s: %v", step.what, got)
		}
	}
	if c := newClocks(systemClocks()); c.jumped() {
		t.Error("the system's own clocks have come apart")
	}
}
