// The keychain against the real gnome-keyring: at work, locked, hanging, and not there.

//go:build linux

package keychain_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/keychain"
	"github.com/cargo-regkey/regkey/internal/keychain/keychaintest"
	"github.com/cargo-regkey/regkey/keys"
)

const id = "00112233445566778899aabbccddeeff"

var wrapping = keys.NewSecret([]byte("AGE-SECRET-KEY-1QQQQQQ"))

// patient is for keychains that answer; limits are never reached.
func patient() *keychain.Keychain { return keychain.WithLimits(time.Minute, time.Minute) }

// inSession points this process at s.
func inSession(t *testing.T, s *keychaintest.Session) {
	t.Helper()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", s.Address)
}

func TestRoundTrip(t *testing.T) {
	s := keychaintest.Start(t)
	inSession(t, s)
	k := patient()
	if err := k.Available(t.Context()); err != nil {
		t.Fatalf("Available: %v\n%s", err, s.Log())
	}
	if n := s.Items(t); n != 0 {
		t.Errorf("Available left %d items", n)
	}
	if _, err := k.Fetch(t.Context(), id); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), id) {
		t.Errorf("Fetch of nothing: %v", err)
	}
	if err := k.Delete(t.Context(), id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Delete of nothing: %v", err)
	}
	for _, text := range []string{"first", string(wrapping.Reveal())} { // the second replaces the first
		if err := k.Store(t.Context(), id, keys.NewSecret([]byte(text))); err != nil {
			t.Fatal(err)
		}
		if got, err := k.Fetch(t.Context(), id); err != nil || string(got.Reveal()) != text {
			t.Errorf("Fetch: %q, %v", got.Reveal(), err)
		}
		if n := s.Items(t); n != 1 {
			t.Errorf("%d items", n)
		}
	}
	if err := k.Delete(t.Context(), id); err != nil || s.Items(t) != 0 {
		t.Errorf("Delete: %v; %d items", err, s.Items(t))
	}
	for _, bad := range []string{"", "x", id[2:], id + "00", id[:30] + "zz"} {
		if err := k.Store(t.Context(), bad, wrapping); err == nil {
			t.Errorf("the id %q is accepted", bad)
		}
	}
}

// A key of a store, with nothing between it and the keyring.
func TestKeyInKeyring(t *testing.T) {
	s := keychaintest.Start(t)
	inSession(t, s)
	store := keys.OpenStore(filepath.Join(t.TempDir(), "keys")).WithKeychain(patient())
	key, err := keys.Generate(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Create(t.Context(), keys.Record{Name: "k", Created: time.Unix(1e9, 0)}, key, keys.KeychainLock()); err != nil {
		t.Fatal(err)
	}
	if opened, err := store.Unlock(t.Context(), "k", nil); err != nil || opened.Public() != key.Public() {
		t.Errorf("Unlock: %v", err)
	}
	if _, err := store.Protect(t.Context(), "k", nil, keys.NoLock()); err != nil || s.Items(t) != 0 {
		t.Errorf("Protect: %v; %d items", err, s.Items(t))
	}
	if _, err := store.Protect(t.Context(), "k", nil, keys.KeychainLock()); err != nil || s.Items(t) != 1 {
		t.Errorf("Protect: %v; %d items", err, s.Items(t))
	}
	if err := store.Remove(t.Context(), "k"); err != nil || s.Items(t) != 0 {
		t.Errorf("Remove: %v; %d items", err, s.Items(t))
	}
}

// operations are all that may wait.
func operations(k *keychain.Keychain) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Store":  func(ctx context.Context) error { return k.Store(ctx, id, wrapping) },
		"Fetch":  func(ctx context.Context) error { _, err := k.Fetch(ctx, id); return err },
		"Delete": func(ctx context.Context) error { return k.Delete(ctx, id) },
	}
}

// all are operations and the look whether there is a keychain.
func all(k *keychain.Keychain) map[string]func(context.Context) error {
	o := operations(k)
	o["Available"] = k.Available
	return o
}

// checkUnavailable has every operation refuse, with a sentence that contains text.
func checkUnavailable(t *testing.T, k *keychain.Keychain, locked bool, text string) {
	t.Helper()
	for what, do := range all(k) {
		err := do(t.Context())
		unavailable := (*keychain.UnavailableError)(nil)
		if !errors.As(err, &unavailable) || unavailable.Locked != locked || !strings.Contains(err.Error(), text) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, which should say %q", what, err, text)
		}
		if err != nil && strings.Contains(err.Error(), string(wrapping.Reveal())) {
			t.Errorf("%s repeats the secret", what)
		}
	}
}

// A locked keyring in a session without any window to unlock it.
func TestLockedWithoutWindow(t *testing.T) {
	s := keychaintest.Start(t)
	inSession(t, s)
	k := patient()
	if err := k.Store(t.Context(), id, wrapping); err != nil {
		t.Fatal(err)
	}
	s.Lock(t)
	checkUnavailable(t, k, true, "it is locked")
	if n := s.Items(t); n != 1 {
		t.Errorf("%d items", n)
	}
}

// A locked keyring whose window nobody fills in. Available must not even show it.
func TestLockedAndNobodyThere(t *testing.T) {
	s := keychaintest.Start(t)
	inSession(t, s)
	asked := s.IgnorePrompts(t)
	s.Lock(t)
	unavailable := (*keychain.UnavailableError)(nil)
	if err := patient().Available(t.Context()); !errors.As(err, &unavailable) || !unavailable.Locked {
		t.Errorf("Available: %v", err)
	}
	select {
	case <-asked:
		t.Error("Available asks a person")
	default:
	}
	k := keychain.WithLimits(time.Minute, 200*time.Millisecond)
	for what, do := range operations(k) {
		timeout := (*keychain.TimeoutError)(nil)
		if err := do(t.Context()); !errors.As(err, &timeout) || !timeout.Locked || !strings.Contains(err.Error(), "nobody has unlocked it within 200ms") {
			t.Errorf("%s: %v", what, err)
		}
	}
	<-asked
}

// A person gives up at the window's side: Ctrl-C.
func TestCancelledWhileAsking(t *testing.T) {
	s := keychaintest.Start(t)
	inSession(t, s)
	asked := s.IgnorePrompts(t)
	s.Lock(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := patient().Fetch(ctx, id); !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch: %v", err)
	}
	for what, do := range all(patient()) {
		if err := do(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s after that: %v", what, err)
		}
	}
}

// The bus goes away while a person is asked, and there is another one later at another address.
func TestBusEndsWhileAsking(t *testing.T) {
	s := keychaintest.Start(t)
	inSession(t, s)
	asked := s.IgnorePrompts(t)
	s.Lock(t)
	go func() { <-asked; s.EndBus() }()
	unavailable := (*keychain.UnavailableError)(nil)
	if _, err := patient().Fetch(t.Context(), id); !errors.As(err, &unavailable) {
		t.Errorf("Fetch: %v", err)
	}
	checkUnavailable(t, patient(), false, "the session bus cannot be reached")
	second := keychaintest.Start(t)
	inSession(t, second)
	if err := patient().Store(t.Context(), id, wrapping); err != nil || second.Items(t) != 1 {
		t.Errorf("in the next session: %v", err)
	}
}

// Two sessions that both live: what the environment says now is used.
func TestAddressChanges(t *testing.T) {
	first, second := keychaintest.Start(t), keychaintest.Start(t)
	inSession(t, first)
	if err := patient().Store(t.Context(), id, wrapping); err != nil {
		t.Fatal(err)
	}
	inSession(t, second)
	if _, err := patient().Fetch(t.Context(), id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the second session has the item of the first: %v", err)
	}
	inSession(t, first)
	if _, err := patient().Fetch(t.Context(), id); err != nil {
		t.Errorf("back in the first session: %v", err)
	}
}

func TestHangs(t *testing.T) {
	for what, suspend := range map[string]func(*keychaintest.Session){
		"the keyring": func(s *keychaintest.Session) { s.Suspend(t) },
		"the bus":     func(s *keychaintest.Session) { s.SuspendBus(t) },
	} {
		s := keychaintest.Start(t)
		inSession(t, s)
		suspend(s)
		for name, do := range all(keychain.WithLimits(100*time.Millisecond, time.Minute)) {
			timeout := (*keychain.TimeoutError)(nil)
			if err := do(t.Context()); !errors.As(err, &timeout) || timeout.Locked || !strings.Contains(err.Error(), "it has not answered within 100ms") {
				t.Errorf("%s hangs: %s: %v", what, name, err)
			}
		}
		s.Stop()
	}
}

func TestKeyringComesBack(t *testing.T) {
	s := keychaintest.Start(t)
	inSession(t, s)
	s.Suspend(t)
	if err := keychain.WithLimits(100*time.Millisecond, time.Minute).Available(t.Context()); err == nil {
		t.Error("a keyring that hangs is available")
	}
	s.Resume(t)
	if err := patient().Available(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNoSecretService(t *testing.T) {
	inSession(t, keychaintest.StartBus(t))
	checkUnavailable(t, patient(), false, "no Secret Service, such as gnome-keyring or KWallet, is on the session bus")
}

// noSession takes away every way to a bus, and puts a "dbus-launch" in the path that would be noticed.
func noSession(t *testing.T) (launched string) {
	t.Helper()
	dir := t.TempDir()
	launched = filepath.Join(dir, "launched")
	script := "#!/bin/sh\ntouch " + launched + "\necho DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent\n"
	if err := os.WriteFile(filepath.Join(dir, "dbus-launch"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	return launched
}

func TestNoBus(t *testing.T) {
	launched := noSession(t)
	for _, address := range []string{"", "autolaunch:", "autolaunch:scope=*user"} {
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
		checkUnavailable(t, patient(), false, "there is no D-Bus session here")
	}
	for _, address := range []string{"unix:path=/nonexistent/bus", "garbage", "unix:", "unixexec:path=/bin/false"} {
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
		checkUnavailable(t, patient(), false, "the session bus cannot be reached")
	}
	if _, err := os.Stat(launched); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a bus was started")
	}
}

// A socket that takes connections and never says anything.
func TestSilentBus(t *testing.T) {
	dir, err := os.MkdirTemp("", "regkey-bus-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	listener, err := net.Listen("unix", filepath.Join(dir, "bus"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+filepath.Join(dir, "bus"))
	for what, do := range all(keychain.WithLimits(100*time.Millisecond, time.Minute)) {
		timeout := (*keychain.TimeoutError)(nil)
		if err := do(t.Context()); !errors.As(err, &timeout) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Whoever still waits there gets to know, and lets go of what other tests need.
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
}

// The socket in $XDG_RUNTIME_DIR serves where the environment names no other.
func TestBusInRuntimeFolder(t *testing.T) {
	s := keychaintest.Start(t)
	noSession(t)
	t.Setenv("XDG_RUNTIME_DIR", filepath.Dir(strings.TrimPrefix(s.Address, "unix:path=")))
	if err := patient().Available(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRealLimits(t *testing.T) {
	if want := keychain.WithLimits(3*time.Second, time.Minute); *keychain.Open() != *want {
		t.Errorf("the limits are %+v", *keychain.Open())
	}
}
