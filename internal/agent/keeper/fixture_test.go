// What the tests of this package share: a home folder with keys and enrolments, and a card of paper.

package keeper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/keys"
)

const index = "sparse+https://crates.example.com/index/"

var (
	publish = agent.TokenRequest{
		Index: index, Operation: "publish", Name: "sample", Version: "1.0.0",
		Checksum: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	}
	read = agent.TokenRequest{Index: index, Operation: "read"}
)

// generate makes a key that is not stored yet.
func generate(t *testing.T, a keys.Algorithm) *keys.SoftwareKey {
	t.Helper()
	key, err := keys.Generate(a)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// store puts a key into a home folder. That its file is not encrypted makes no difference here.
func store(t *testing.T, home, name string, key *keys.SoftwareKey) {
	t.Helper()
	s := keys.OpenStore(filepath.Join(home, "keys"))
	if err := s.Remove(t.Context(), name); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), keys.Record{Name: name, Created: time.Now()}, key, keys.NoLock()); err != nil {
		t.Fatal(err)
	}
}

// enrol writes the record of an enrolment.
func enrol(t *testing.T, home string, e enroll.Enrolment) {
	t.Helper()
	sum := sha256.Sum256([]byte(e.Index))
	folder := filepath.Join(home, "registries", hex.EncodeToString(sum[:16]))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	e.Since = time.Now().UTC().Truncate(time.Second)
	text, err := toml.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "enrolment.toml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := enroll.LookupEnrolment(home, e.Index); err != nil {
		t.Fatal(err)
	}
}

// lab is a home folder with the key laptop, enrolled as "lab".
func lab(t *testing.T) (home string, laptop *keys.SoftwareKey) {
	t.Helper()
	home = t.TempDir()
	laptop = generate(t, keys.Ed25519)
	store(t, home, "laptop", laptop)
	enrol(t, home, enroll.Enrolment{Index: index, Name: "lab", Account: "team", Key: "laptop"})
	return home, laptop
}

// begin is an agent that nothing reaches but this test.
func begin(t *testing.T, o Options) *caller {
	t.Helper()
	o.fill()
	k := newKeeper(o)
	t.Cleanup(k.vault.close)
	return &caller{keeper: k}
}

func (c *caller) addKey(t *testing.T, name string, key *keys.SoftwareKey) {
	t.Helper()
	if err := c.add(&agent.Request{Kind: agent.AskAdd, Key: name, Secret: slices.Clone(key.Secret().Reveal())}); err != nil {
		t.Fatalf("adding %s: %v", name, err)
	}
}

func (c *caller) addPIN(t *testing.T, serial uint32, pin string) {
	t.Helper()
	if err := c.add(&agent.Request{Kind: agent.AskAdd, Serial: serial, Secret: []byte(pin)}); err != nil {
		t.Fatalf("adding a PIN: %v", err)
	}
}

// sign asks for a token, and returns what was told meanwhile.
func (c *caller) sign(ctx context.Context, r agent.TokenRequest) (text string, told []agent.Answer, err error) {
	ctx, end := c.vault.open(ctx)
	defer end()
	text, err = c.mint(ctx, r, "a test", func(a agent.Answer) { told = append(told, a) })
	return text, told, err
}

// wantLocked checks that a person has to be asked.
func (c *caller) wantLocked(t *testing.T, r agent.TokenRequest, want agent.LockedError) {
	t.Helper()
	text, _, err := c.sign(t.Context(), r)
	if locked, ok := errors.AsType[*agent.LockedError](err); !ok || *locked != want {
		t.Errorf("%s: %q, %v, instead of %v", r.Operation, text, err, &want)
	}
}

// wantToken checks that nobody has to be.
func (c *caller) wantToken(t *testing.T, r agent.TokenRequest) {
	t.Helper()
	if text, _, err := c.sign(t.Context(), r); err != nil || text == "" {
		t.Errorf("%s: %q, %v", r.Operation, text, err)
	}
}

// A paperToken is a hardware token as far as the keeper sees one. What it says of a PIN and a finger is
// scripted; it signs with a real key.
type paperToken struct {
	serial uint32
	key    *keys.SoftwareKey
	policy string // what the token itself says
	pin    string

	mutex    sync.Mutex
	tries    int
	out      bool
	open     int
	opened   int
	verified bool
	sent     []string
	watchers []chan struct{}
	touch    chan struct{} // closed by a finger; nil: none is wanted
	broken   error         // what signing fails with
}

var _ Tokens = (*paperToken)(nil)

func (p *paperToken) Open(ctx context.Context, r keys.Record) (Session, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case p.out || r.Token.Serial != p.serial:
		return nil, fmt.Errorf("token %d is not plugged in", r.Token.Serial)
	case p.open > 0:
		return nil, errors.New("opened twice at a time")
	}
	p.open++
	p.opened++
	return paperSession{p}, nil
}

func (p *paperToken) Watch(_ context.Context, serial uint32) <-chan struct{} {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	gone := make(chan struct{})
	if p.out || serial != p.serial {
		close(gone)
	} else {
		p.watchers = append(p.watchers, gone)
	}
	return gone
}

// pull pulls the token out.
func (p *paperToken) pull() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.out, p.verified = true, false
	for _, w := range p.watchers {
		close(w)
	}
	p.watchers = nil
}

func (p *paperToken) state() (open, opened int, sent []string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.open, p.opened, slices.Clone(p.sent)
}

type paperSession struct{ *paperToken }

func (s paperSession) Signer(_ keys.Record, p Person) keys.Signer {
	return paperSigner{s.paperToken, p}
}

func (s paperSession) Close() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.open--
	s.verified = false
	return nil
}

type paperSigner struct {
	*paperToken
	person Person
}

func (s paperSigner) Public() keys.PublicKey { return s.key.Public() }

func (s paperSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if err := s.verify(ctx); err != nil {
		return nil, err
	}
	if s.touch != nil {
		done := s.person.Touch()
		defer done()
		select {
		case <-s.touch:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if s.broken != nil {
		return nil, s.broken
	}
	return s.key.Sign(ctx, message)
}

func (s paperSigner) verify(ctx context.Context) error {
	s.mutex.Lock()
	enough, tries := s.policy == "never" || s.policy == "once" && s.verified, s.tries
	s.mutex.Unlock()
	if enough {
		return nil
	}
	pin, err := s.person.PIN(ctx, s.policy, tries)
	if err != nil {
		return err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.sent = append(s.sent, string(pin.Reveal()))
	if string(pin.Reveal()) != s.pin {
		s.tries--
		return fmt.Errorf("verifying: %w", ErrWrongPIN)
	}
	s.verified = true
	return nil
}

// cardLab is a home folder whose enrolled key is in a token of paper, with that policy.
func cardLab(t *testing.T, pin, touch string) (home string, p *paperToken) {
	t.Helper()
	home = t.TempDir()
	p = &paperToken{serial: 7, key: generate(t, keys.Ed25519), policy: pin, pin: "123456", tries: 3}
	_, err := keys.OpenStore(filepath.Join(home, "keys")).CreateHardware(keys.Record{
		Name: "yubikey", Public: p.key.Public(), Created: time.Now(),
		Token: &keys.Token{Serial: 7, Slot: "9a", Firmware: "5.7.4", PIN: pin, Touch: touch},
	})
	if err != nil {
		t.Fatal(err)
	}
	enrol(t, home, enroll.Enrolment{Index: index, Name: "lab", Account: "team", Key: "yubikey"})
	return home, p
}
