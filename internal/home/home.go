// Package home knows where regkey keeps what belongs to one user, and lets one writer at a
// time work there.
package home

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// variable is the environment variable that moves everything that regkey keeps.
const variable = "REGKEY_HOME"

// Dir is the absolute path of the user's folder: $REGKEY_HOME, else $XDG_CONFIG_HOME/regkey,
// else "regkey" in the place that the platform has for configuration ([os.UserConfigDir]). It
// need not exist. REGKEY_HOME or XDG_CONFIG_HOME with a relative path is an error, and so is
// REGKEY_HOME that is set but empty: keys must not end up wherever a process was started.
func Dir() (string, error) {
	if dir, ok := os.LookupEnv(variable); ok {
		if !filepath.IsAbs(dir) {
			return "", fmt.Errorf("finding regkey's folder: %s is %q, which is not an absolute path", variable, dir)
		}
		return filepath.Clean(dir), nil
	}
	// os.UserConfigDir looks at XDG_CONFIG_HOME on Linux only; who sets it elsewhere means it too.
	if dir := os.Getenv("XDG_CONFIG_HOME"); dir != "" {
		if !filepath.IsAbs(dir) {
			return "", fmt.Errorf("finding regkey's folder: XDG_CONFIG_HOME is %q, which is not an absolute path", dir)
		}
		return filepath.Join(dir, "regkey"), nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("finding regkey's folder: %w", err)
	}
	return filepath.Join(dir, "regkey"), nil
}

const lockFile = ".lock"

// lockPoll is how often a waiting [Lock] looks again: short beside a person's patience, and
// long beside the microseconds that a look costs.
const lockPoll = 20 * time.Millisecond

// Lock waits until no other process, and nobody else in this one, holds the lock of the folder dir,
// makes the folder (0700) if it is missing, and holds the lock until unlock is called or the
// process ends. It gives up when ctx ends, with an error that wraps ctx's, so the caller's deadline
// is the limit of the wait. The lock is advisory: readers take none, and the file ".lock" that
// carries it stays. In the folders tidied, relative to dir, which nobody writes without the lock, what
// writers that were killed have left of their temporary files is removed, however deep.
func Lock(ctx context.Context, dir string, tidied ...string) (unlock func(), err error) {
	if err := atomicfile.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("locking %q: %w", dir, err)
	}
	lock := flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o600))
	err = atomicfile.Lock(lock.Path(), func() error {
		_, err := lock.TryLockContext(ctx, lockPoll)
		return err
	})
	if err != nil {
		_ = lock.Close()
	}
	switch {
	case err == nil:
		for _, folder := range tidied {
			tidy(filepath.Join(dir, folder))
		}
		return func() { _ = lock.Unlock() }, nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("locking %q: another regkey is at work there: %w", dir, err)
	}
	return nil, fmt.Errorf("locking %q: %w", dir, err)
}

// tidy removes temporary files. One that can't be removed does no harm, and is tried again by the next who
// locks.
func tidy(folder string) {
	entries, err := atomicfile.ReadDir(folder)
	if err != nil {
		return
	}
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		if entry.IsDir() {
			tidy(path)
		} else if atomicfile.IsTemp(entry.Name()) {
			_ = atomicfile.Remove(path)
		}
	}
}
