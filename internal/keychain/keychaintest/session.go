// Package keychaintest runs a private D-Bus session with a real gnome-keyring in it, for tests. Nothing
// of the user's own session is touched, and nothing is left when the test ends.
package keychaintest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	secretsName = "org.freedesktop.secrets"
	secretsPath = dbus.ObjectPath("/org/freedesktop/secrets")
	login       = secretsPath + "/collection/login"

	// startLimit is far above what starting takes.
	startLimit = 3 * time.Minute
)

// The bus knows no services that it could start by itself.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`

// A Session is a bus and, if asked for, a keyring in it.
type Session struct {
	// Address is where the bus is: the value of DBUS_SESSION_BUS_ADDRESS.
	Address string

	dir     string
	bus     *exec.Cmd
	keyring *exec.Cmd // nil: none
	said    lockedBuffer
	stop    sync.Once
}

// Start is a session with an unlocked keyring in it. It skips the test, saying why, where a program
// is missing, and stops all at the test's end.
func Start(t testing.TB) *Session {
	t.Helper()
	s := StartBus(t)
	s.startKeyring(t)
	return s
}

// StartBus is a session without a keyring.
func StartBus(t testing.TB) *Session {
	t.Helper()
	if missing := Missing(); missing != nil {
		t.Skip(missing)
	}
	// A test's own folder has too long a name for a socket.
	dir, err := os.MkdirTemp("", "regkey-bus-")
	if err != nil {
		t.Fatal(err)
	}
	s := &Session{dir: dir, Address: "unix:path=" + filepath.Join(dir, "bus")}
	t.Cleanup(s.Stop)
	s.startBus(t)
	return s
}

// Missing says which program is not installed that a session needs; it is nil if none is missing.
func Missing() error {
	for program, owner := range map[string]string{"dbus-daemon": "dbus-daemon", "gnome-keyring-daemon": "gnome-keyring"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s (of Debian's %s) is not installed", program, owner)
		}
	}
	return nil
}

// Env are the lines by which a program finds this session's keychain, and no other.
func (s *Session) Env() []string { return []string{"DBUS_SESSION_BUS_ADDRESS=" + s.Address} }

// Log is what the programs of the session have said so far.
func (s *Session) Log() string { return s.said.String() }

// Stop ends the session and deletes all that was kept in it. It may be called again.
func (s *Session) Stop() {
	s.stop.Do(func() {
		for _, process := range []*exec.Cmd{s.keyring, s.bus} {
			end(process)
		}
		_ = os.RemoveAll(s.dir)
	})
}

// EndBus ends the bus alone.
func (s *Session) EndBus() { end(s.bus) }

// end kills a process that may have been killed before.
func end(process *exec.Cmd) {
	if process != nil && process.Process != nil {
		_ = process.Process.Kill()
		_ = process.Wait()
	}
}

func (s *Session) startBus(t testing.TB) {
	t.Helper()
	config := filepath.Join(s.dir, "bus.conf")
	socket := strings.TrimPrefix(s.Address, "unix:path=")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, socket), 0o600); err != nil {
		t.Fatal(err)
	}
	s.bus = exec.Command("dbus-daemon", "--config-file="+config, "--nofork", "--nosyslog", "--print-address=1")
	s.bus.Stderr = &s.said
	out, err := s.bus.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.bus.Start(); err != nil {
		t.Fatal(err)
	}
	// It says its address once it listens.
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, s.Address) {
		t.Fatalf("dbus-daemon says %q (%v)\n%s", line, err, s.Log())
	}
}

// startKeyring starts a keyring whose collection "login" is new and unlocked.
func (s *Session) startKeyring(t testing.TB) {
	t.Helper()
	home, run := filepath.Join(s.dir, "home"), filepath.Join(s.dir, "run")
	for _, dir := range []string{home, run} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	conn := s.connect(t)
	owners := make(chan *dbus.Signal, 16)
	conn.Signal(owners)
	if err := conn.AddMatchSignal(dbus.WithMatchInterface("org.freedesktop.DBus"),
		dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, secretsName)); err != nil {
		t.Fatal(err)
	}
	s.keyring = exec.Command("gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets", "--control-directory="+run)
	s.keyring.Env = append(s.Env(), "HOME="+home, "XDG_RUNTIME_DIR="+run, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home,
		"XDG_CACHE_HOME="+home, "PATH="+os.Getenv("PATH"))
	s.keyring.Stdin = strings.NewReader("the keyring's password")
	s.keyring.Stdout, s.keyring.Stderr = &s.said, &s.said
	if err := s.keyring.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.After(startLimit)
	for {
		select {
		case signal := <-owners:
			if signal != nil && signal.Name == "org.freedesktop.DBus.NameOwnerChanged" {
				return
			}
		case <-limit:
			t.Fatalf("the keyring is not on the bus after %v:\n%s", startLimit, s.Log())
		}
	}
}

// connect is a connection of the test's own, closed at its end.
func (s *Session) connect(t testing.TB) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(s.Address)
	if err != nil {
		t.Fatalf("connecting to the session bus: %v\n%s", err, s.Log())
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Lock locks the keyring's collection, as a screen lock or a time-out may.
func (s *Session) Lock(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	var locked []dbus.ObjectPath
	var prompt dbus.ObjectPath
	call := s.connect(t).Object(secretsName, secretsPath).CallWithContext(ctx, "org.freedesktop.Secret.Service.Lock", 0, []dbus.ObjectPath{login})
	if err := call.Store(&locked, &prompt); err != nil || len(locked) != 1 {
		t.Fatalf("locking the keyring: %v, %v", locked, err)
	}
}

// Items is how many items the keyring holds, locked or not.
func (s *Session) Items(t testing.TB) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	var items []dbus.ObjectPath
	call := s.connect(t).Object(secretsName, login).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, "org.freedesktop.Secret.Collection", "Items")
	if err := call.Store(&items); err != nil {
		t.Fatalf("listing the keyring's items: %v", err)
	}
	return len(items)
}

// silentPrompter takes the place of the window that asks for the keyring's password.
type silentPrompter struct{ asked chan struct{} }

// BeginPrompting begins a prompt at which nobody types anything.
func (p silentPrompter) BeginPrompting(dbus.ObjectPath) *dbus.Error {
	select {
	case p.asked <- struct{}{}:
	default:
	}
	return nil
}

// PerformPrompt shows nothing.
func (p silentPrompter) PerformPrompt(dbus.ObjectPath, string, map[string]dbus.Variant, string) *dbus.Error {
	return nil
}

// StopPrompting closes the window that there is not.
func (p silentPrompter) StopPrompting(dbus.ObjectPath) *dbus.Error { return nil }

// IgnorePrompts has a window at which nobody ever types a password. The channel tells when the
// keyring has asked for it.
func (s *Session) IgnorePrompts(t testing.TB) (asked <-chan struct{}) {
	t.Helper()
	prompter := silentPrompter{make(chan struct{}, 16)}
	conn := s.connect(t)
	if err := conn.Export(prompter, "/org/gnome/keyring/Prompter", "org.gnome.keyring.internal.Prompter"); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName("org.gnome.keyring.SystemPrompter", 0); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("taking the prompter's name: %v, %v", reply, err)
	}
	return prompter.asked
}

// lockedBuffer may be written by several processes at a time.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
