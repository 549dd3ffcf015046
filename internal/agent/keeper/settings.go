// Settings: what the user wants of agents, also of those that start by themselves.

package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// Settings are how long an agent keeps what it holds, and whether it asks before it signs.
type Settings struct {
	TTL     time.Duration // after the last use
	Max     time.Duration // after it was added, at most
	Confirm bool          // a person confirms each mutation
}

// DefaultSettings are 15 minutes, 8 hours, and no confirmation.
func DefaultSettings() Settings { return Settings{TTL: 15 * time.Minute, Max: 8 * time.Hour} }

// The bounds of both times: less would not outlast one cargo run, more is a key that is never locked.
const (
	MinTTL = time.Second
	MaxTTL = 7 * 24 * time.Hour
)

// Check refuses settings that would keep nothing, or for ever.
func (s Settings) Check() error {
	switch {
	case s.TTL < MinTTL || s.TTL > MaxTTL:
		return fmt.Errorf("ttl is %v: from %v to %v are possible", s.TTL, MinTTL, MaxTTL)
	case s.Max < s.TTL:
		return fmt.Errorf("max is %v, which is less than the ttl of %v", s.Max, s.TTL)
	case s.Max > MaxTTL:
		return fmt.Errorf("max is %v: up to %v are possible", s.Max, MaxTTL)
	}
	return nil
}

// settingsFile is their form on disk.
type settingsFile struct {
	TTL     string `toml:"ttl"`
	Max     string `toml:"max"`
	Confirm bool   `toml:"confirm"`
}

const (
	settingsComment = "# How agents behave, also those that start by themselves: \"regkey agent start\" writes this.\n\n"
	maxSettings     = 64 << 10
)

func settingsPath(home string) string { return filepath.Join(home, "agent.toml") }

// OpenSettings reads agent.toml in home; where there is none it is [DefaultSettings]. A file that
// can't be read, or that says something unknown or impossible, is an error: an agent that keeps
// keys for longer than its user wants would be wrong in silence.
func OpenSettings(home string) (Settings, error) {
	path := settingsPath(home)
	text, err := atomicfile.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return DefaultSettings(), nil
	}
	if err != nil {
		return Settings{}, fmt.Errorf("reading the agent's settings: %w", err)
	}
	s, err := parseSettings(text)
	if err != nil {
		return Settings{}, fmt.Errorf("reading the agent's settings in %q: %w", path, err)
	}
	return s, nil
}

func parseSettings(text []byte) (s Settings, err error) {
	if len(text) > maxSettings {
		return s, fmt.Errorf("it is longer than %d bytes", maxSettings)
	}
	standard := DefaultSettings()
	f := settingsFile{TTL: standard.TTL.String(), Max: standard.Max.String()}
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&f); err != nil {
		return s, err
	}
	s.Confirm = f.Confirm
	if s.TTL, err = time.ParseDuration(f.TTL); err != nil {
		return s, fmt.Errorf("ttl: %w", err)
	}
	if s.Max, err = time.ParseDuration(f.Max); err != nil {
		return s, fmt.Errorf("max: %w", err)
	}
	return s, s.Check()
}

// Save writes agent.toml in home, which is made if it is missing.
func (s Settings) Save(home string) error {
	if err := s.Check(); err != nil {
		return fmt.Errorf("storing the agent's settings: %w", err)
	}
	text, err := toml.Marshal(settingsFile{s.TTL.String(), s.Max.String(), s.Confirm})
	if err != nil {
		return fmt.Errorf("storing the agent's settings: %w", err)
	}
	if err := atomicfile.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("storing the agent's settings: %w", err)
	}
	return atomicfile.Write(settingsPath(home), append([]byte(settingsComment), text...), 0o600)
}
