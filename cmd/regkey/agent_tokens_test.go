//go:build cgo && linux

// The agent's way to tokens, with virtual ones behind the real library.

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/internal/agent/keeper"
	"github.com/cargo-regkey/regkey/internal/virtualpiv"
	"github.com/cargo-regkey/regkey/internal/virtualpiv/pcsc"
	"github.com/cargo-regkey/regkey/keys"
)

// A drawer has virtual tokens plugged in, for this process: the library finds the daemon's socket where TestMain says, once for all tests.
type drawer struct {
	*testing.T
	daemon *pcsc.Daemon
	tokens *agentTokens
}

func openDrawer(t *testing.T) *drawer {
	t.Helper()
	if noHardware != nil {
		t.Skip(noHardware)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	daemon, err := pcsc.Start(filepath.Dir(os.Getenv("PCSCLITE_CSOCK_NAME")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := daemon.Close(); err != nil {
			t.Error(err)
		}
	})
	return &drawer{t, daemon, newAgentTokens()}
}

// insert plugs a token in that has a key.
func (d *drawer) insert(serial uint32, o hardware.GenerateOptions) (*virtualpiv.Card, keys.Record) {
	d.Helper()
	card := virtualpiv.New(virtualpiv.Options{Serial: serial})
	d.daemon.Insert(readerOf(serial), card)
	token, err := hardware.Open(d.Context(), serial)
	if err != nil {
		d.Fatal(err)
	}
	key, err := token.Generate(d.Context(), o)
	if err != nil || token.Close() != nil {
		d.Fatal(err)
	}
	card.ClearLog()
	return card, newApp().recordOf("yk", key)
}

func readerOf(serial uint32) string { return fmt.Sprintf("Yubico YubiKey CCID %d", serial) }

func (d *drawer) open(r keys.Record) keeper.Session {
	d.Helper()
	session, err := d.tokens.Open(d.Context(), r)
	if err != nil {
		d.Fatal(err)
	}
	return session
}

func (d *drawer) close(s keeper.Session) {
	d.Helper()
	if err := s.Close(); err != nil {
		d.Error(err)
	}
}

// A keptPIN is what the keeper holds.
type keptPIN struct {
	pin     string
	asked   []string
	touches int
}

var errNotKept = errors.New("none is kept")

func (k *keptPIN) PIN(_ context.Context, policy string, tries int) (keys.Secret, error) {
	k.asked = append(k.asked, fmt.Sprint(policy, " ", tries))
	if k.pin == "" {
		return keys.Secret{}, errNotKept
	}
	return keys.NewSecret([]byte(k.pin)), nil
}

func (k *keptPIN) Touch() func() {
	k.touches++
	return func() {}
}

var onceP384 = hardware.GenerateOptions{Algorithm: keys.P384, PIN: hardware.PINOnce, Touch: hardware.TouchNever}

// What a signature through the agent takes: with its session just opened, and with it still open.
func TestAgentSessionCommands(t *testing.T) {
	for _, c := range []struct {
		algorithm     keys.Algorithm
		first, second int
	}{{keys.P384, 8, 2}, {keys.Ed25519, 9, 3}} {
		d := openDrawer(t)
		o := onceP384
		o.Algorithm = c.algorithm
		card, record := d.insert(1001, o)
		kept := &keptPIN{pin: "123456"}
		signs := func(s keeper.Session) {
			if _, err := keys.Sign(t.Context(), s.Signer(record, kept), []byte(strings.Repeat("p", 450))); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			card.ClearLog()
			session := d.open(record)
			signs(session)
			opened := len(card.Log())
			signs(session)
			again := len(card.Log()) - opened
			d.close(session)
			if total := len(card.Log()) - again; total != c.first || again != c.second || card.Verified() {
				t.Errorf("%v: %d commands with opening and closing, %d more for a second signature, verified: %v", c.algorithm, total, again, card.Verified())
			}
		}
		if got := strings.Join(kept.asked, ", "); got != "once 3, once 3" {
			t.Errorf("asked %q", got)
		}
		d.daemon.Remove(readerOf(1001))
		if err := d.daemon.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAgentWithAWrongPIN(t *testing.T) {
	d := openDrawer(t)
	card, record := d.insert(1001, onceP384)
	kept := &keptPIN{pin: "654321"}
	session := d.open(record)
	_, err := session.Signer(record, kept).Sign(t.Context(), []byte("one"))
	if !errors.Is(err, keeper.ErrWrongPIN) || !errors.As(err, new(*hardware.PINError)) || card.PINTries() != 2 {
		t.Errorf("a wrong PIN: %v, %d tries left", err, card.PINTries())
	}
	// Even a keeper that offers one again is not heard: few are left.
	_, err = session.Signer(record, kept).Sign(t.Context(), []byte("two"))
	if !errors.Is(err, keeper.ErrWrongPIN) || card.PINTries() != 2 || len(kept.asked) != 2 {
		t.Errorf("again: %v, %d tries left, asked %q", err, card.PINTries(), kept.asked)
	}
	d.close(session)
}

func TestAgentWithNoPIN(t *testing.T) {
	for _, policy := range []hardware.PINPolicy{hardware.PINOnce, hardware.PINAlways} {
		d := openDrawer(t)
		o := onceP384
		o.PIN = policy
		card, record := d.insert(1001, o)
		kept := &keptPIN{}
		session := d.open(record)
		if _, err := session.Signer(record, kept).Sign(t.Context(), []byte("one")); !errors.Is(err, errNotKept) || card.PINTries() != 3 {
			t.Errorf("%s: %v", policy, err)
		}
		if got := strings.Join(kept.asked, ", "); got != string(policy)+" 3" {
			t.Errorf("asked %q", got)
		}
		d.close(session)
		if err := d.daemon.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAgentTokenIsPulledWhileSigning(t *testing.T) {
	d := openDrawer(t)
	card, record := d.insert(1001, onceP384)
	session := d.open(record)
	card.Order(virtualpiv.Fault{Kind: virtualpiv.PulledBefore, Instruction: 0x87})
	if _, err := session.Signer(record, &keptPIN{pin: "123456"}).Sign(t.Context(), []byte("one")); !errors.Is(err, keeper.ErrGone) {
		t.Error(err)
	}
	d.close(session)
	if _, err := d.tokens.Open(t.Context(), record); !errors.As(err, new(*hardware.NotFoundError)) {
		t.Error(err)
	}
	card.Forgive()
	d.daemon.Insert(readerOf(1001), card)
	d.close(d.open(record))
}

// A PIN is dropped when its token goes, whether the token is open, was open, or was never opened by the agent, and while others are in use.
func TestAgentWatches(t *testing.T) {
	d := openDrawer(t)
	card, record := d.insert(1001, onceP384)
	_, other := d.insert(1002, onceP384)
	beside := d.open(other)
	pull := func() {
		d.daemon.Eject(readerOf(1001))
		d.daemon.Insert(readerOf(1001), card) // back before anybody looks
	}
	for _, during := range []func() func(){
		func() func() { return func() {} }, // never opened
		func() func() {
			session := d.open(record)
			return func() { d.close(session) }
		},
	} {
		after := during()
		gone := d.tokens.Watch(t.Context(), 1001)
		d.settled()
		pull()
		<-gone
		after()
	}
	gone := d.tokens.Watch(t.Context(), 1001)
	d.settled()
	d.close(d.open(record))
	d.daemon.PowerDown(readerOf(1001))
	d.close(d.open(record))
	select {
	case <-gone:
		t.Error("gone, though it was never pulled")
	default:
	}
	pull()
	<-gone
	d.close(beside)
	d.daemon.Remove(readerOf(1001))
	<-d.tokens.Watch(t.Context(), 1001) // not there
}

// settled waits until the watches that were asked for stand.
func (d *drawer) settled() {
	turn := d.tokens.turn(1001)
	turn <- struct{}{}
	<-turn
}

func TestAgentTokenIsTouched(t *testing.T) {
	d := openDrawer(t)
	o := onceP384
	o.PIN, o.Touch = hardware.PINNever, hardware.TouchAlways
	card, record := d.insert(1001, o)
	session := d.open(record)
	kept := &keptPIN{}
	told := make(chan struct{})
	card.SetFinger(func() bool { <-told; return true })
	if _, err := session.Signer(record, toldPerson{kept, told}).Sign(t.Context(), []byte("one")); err != nil || kept.touches != 1 || len(kept.asked) != 0 {
		t.Errorf("told %d times, asked %q: %v", kept.touches, kept.asked, err)
	}
	d.close(session)
}

// toldPerson touches the token when told to.
type toldPerson struct {
	*keptPIN
	told chan struct{}
}

func (p toldPerson) Touch() func() {
	close(p.told)
	return p.keptPIN.Touch()
}
