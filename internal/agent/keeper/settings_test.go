// Settings on disk: what comes back, and what is refused.

package keeper

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSettings(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	if s, err := OpenSettings(home); err != nil || s != DefaultSettings() {
		t.Errorf("without a file: %+v, %v", s, err)
	}
	want := Settings{TTL: time.Hour, Max: 90 * time.Minute, Confirm: true}
	if err := want.Save(home); err != nil {
		t.Fatal(err)
	}
	if s, err := OpenSettings(home); err != nil || s != want {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []Settings{{}, {TTL: time.Hour, Max: time.Minute}, {TTL: time.Millisecond, Max: time.Hour}, {TTL: time.Hour, Max: MaxTTL + 1}, {TTL: -time.Hour, Max: time.Hour}} {
		if err := bad.Save(home); err == nil {
			t.Errorf("%+v is stored", bad)
		}
	}
	for _, text := range []string{"ttl = 15", "ttl = '15'", "tll = '15m'", "ttl = '15m'\nttl = '15m'", "max = '1s'", "confirm = 'yes'", "["} {
		if err := os.WriteFile(settingsPath(home), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := OpenSettings(home); err == nil {
			t.Errorf("%q is read as %+v", text, s)
		}
	}
	if err := os.WriteFile(settingsPath(home), []byte("ttl = '1m'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := OpenSettings(home); err != nil || s != (Settings{TTL: time.Minute, Max: 8 * time.Hour}) {
		t.Errorf("one of them alone: %+v, %v", s, err)
	}
}
