// Which tokens are made, and with which key.

package keeper

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

func TestTokens(t *testing.T) {
	for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.P384} {
		home := t.TempDir()
		key, reader := generate(t, algorithm), generate(t, algorithm)
		store(t, home, "laptop", key)
		store(t, home, "reader", reader)
		enrol(t, home, enroll.Enrolment{Index: index, Name: "lab", Account: "team", Key: "laptop", ReadKey: "reader", Subject: "me"})
		now := time.Date(2026, 11, 22, 14, 0, 0, 5, time.UTC)
		c := begin(t, Options{Home: home, Now: func() time.Time { return now }})
		c.wantLocked(t, publish, agent.LockedError{Key: "laptop"})
		c.wantLocked(t, read, agent.LockedError{Key: "reader"})
		c.addKey(t, "laptop", key)
		c.wantLocked(t, read, agent.LockedError{Key: "reader"})
		c.addKey(t, "reader", reader)
		challenged := publish
		challenged.Challenge = "a challenge"
		yank := publish
		yank.Operation, yank.Checksum = "yank", ""
		owners := agent.TokenRequest{Index: index, Operation: "owners", Name: "sample"}
		for _, r := range []agent.TokenRequest{publish, challenged, yank, owners, read} {
			text, _, err := c.sign(t.Context(), r)
			if err != nil {
				t.Errorf("%v %s: %v", algorithm, r.Operation, err)
				continue
			}
			signer := key
			if r.Operation == "read" {
				signer = reader
			}
			made, err := token.Verify(text, signer.Public())
			if err != nil {
				t.Errorf("%v %s: %v", algorithm, r.Operation, err)
				continue
			}
			want := token.Claims{
				IssuedAt: now, Subject: "me", Operation: token.Operation(r.Operation), Name: r.Name, Version: r.Version,
				Checksum: r.Checksum, Challenge: r.Challenge, JTI: made.Claims().JTI,
			}
			if made.Claims() != want || made.Index() != index {
				t.Errorf("%v: %+v for %s instead of %+v", algorithm, made.Claims(), made.Index(), want)
			}
		}
	}
}

// refused checks that a request won't be done, and why.
func (c *caller) refused(t *testing.T, r agent.TokenRequest, why string) {
	t.Helper()
	text, _, err := c.sign(t.Context(), r)
	refused, ok := errors.AsType[*agent.RefusedError](err)
	if !ok || !strings.Contains(refused.Detail, why) {
		t.Errorf("%+v: %q, %v, instead of a refusal with %q", r, text, err, why)
	}
}

// denied wants the publication to end for good, as nobody confirmed it.
func (c *caller) denied(t *testing.T, why string) {
	t.Helper()
	text, _, err := c.sign(t.Context(), publish)
	if denied, ok := errors.AsType[*agent.DeniedError](err); !ok || !strings.Contains(denied.Detail, why) {
		t.Errorf("%q, %v, instead of a denial with %q", text, err, why)
	}
}

func TestRefusals(t *testing.T) {
	home, laptop := lab(t)
	const wants, ended, lost = "sparse+https://wants.example.com/", "sparse+https://ended.example.com/", "sparse+https://lost.example.com/"
	enrol(t, home, enroll.Enrolment{Index: wants, Key: "laptop", Challenge: true})
	enrol(t, home, enroll.Enrolment{Index: ended})
	enrol(t, home, enroll.Enrolment{Index: lost, Key: "nowhere"})
	c := begin(t, Options{Home: home})
	c.addKey(t, "laptop", laptop)
	c.wantToken(t, publish)
	at := func(index string) agent.TokenRequest { r := publish; r.Index = index; return r }
	with := func(change func(*agent.TokenRequest)) agent.TokenRequest { r := publish; change(&r); return r }
	c.refused(t, at("sparse+https://crates.example.com/index"), "nobody has enrolled") // without its slash it is another
	c.refused(t, at("../registries"), "nobody has enrolled")
	c.refused(t, at(wants), "wants a challenge")
	c.refused(t, at(ended), "no key of this machine")
	c.refused(t, at(lost), "nowhere")
	c.refused(t, with(func(r *agent.TokenRequest) { r.Operation = "manage" }), "unknown operation")
	c.refused(t, with(func(r *agent.TokenRequest) { r.Name = "../x" }), "no crate's name")
	c.refused(t, with(func(r *agent.TokenRequest) { r.Name = strings.Repeat("a", 65) }), "no crate's name")
	c.refused(t, with(func(r *agent.TokenRequest) { r.Version = "../../1" }), "no version")
	c.refused(t, with(func(r *agent.TokenRequest) { r.Checksum = "" }), "needs cksum")
	c.refused(t, with(func(r *agent.TokenRequest) { r.Checksum = strings.ToUpper(r.Checksum) }), "cksum")
	c.refused(t, with(func(r *agent.TokenRequest) { r.Operation = "read" }), "has no name")
	challenged := at(wants)
	challenged.Challenge = "x"
	c.wantToken(t, challenged)
	plain := read
	plain.Index = wants
	c.wantToken(t, plain) // reading wants none
}

// TestFilesDecide: an enrolment that ends, or changes, does so for the agent, too.
func TestFilesDecide(t *testing.T) {
	home, laptop := lab(t)
	c := begin(t, Options{Home: home})
	c.addKey(t, "laptop", laptop)
	c.wantToken(t, publish)
	enrol(t, home, enroll.Enrolment{Index: index, Name: "lab", Key: "desk"})
	desk := generate(t, keys.Ed25519)
	store(t, home, "desk", desk)
	c.wantLocked(t, publish, agent.LockedError{Key: "desk"})
	enrol(t, home, enroll.Enrolment{Index: index, Name: "lab"})
	c.refused(t, publish, "no key of this machine")
	if err := os.RemoveAll(filepath.Join(home, "registries")); err != nil {
		t.Fatal(err)
	}
	c.refused(t, publish, "nobody has enrolled")
}

// TestReplacedKey: a key of the same name is not the same key.
func TestReplacedKey(t *testing.T) {
	home, laptop := lab(t)
	c := begin(t, Options{Home: home})
	c.addKey(t, "laptop", laptop)
	other := generate(t, keys.Ed25519)
	store(t, home, "laptop", other)
	c.wantLocked(t, publish, agent.LockedError{Key: "laptop"})
	store(t, home, "laptop", laptop)
	c.wantLocked(t, publish, agent.LockedError{Key: "laptop"}) // it was dropped
	c.addKey(t, "laptop", laptop)
	c.wantToken(t, publish)
	if err := keys.OpenStore(filepath.Join(home, "keys")).Remove(t.Context(), "laptop"); err != nil {
		t.Fatal(err)
	}
	c.refused(t, publish, "laptop")
}

func TestAddRefuses(t *testing.T) {
	home, laptop := lab(t)
	c := begin(t, Options{Home: home})
	secret := laptop.Secret().Reveal()
	other := generate(t, keys.Ed25519)
	for what, r := range map[string]agent.Request{
		"an unknown name":   {Key: "nobody", Secret: slices.Clone(secret)},
		"a name with a way": {Key: "../keys/laptop", Secret: slices.Clone(secret)},
		"another key":       {Key: "laptop", Secret: slices.Clone(other.Secret().Reveal())},
		"no key":            {Key: "laptop", Secret: []byte("k4.secret.AAAA")},
		"a PIN":             {Serial: 7, Secret: []byte("zq7Kw2Xv")}, // no hardware here; and errors name folders, which have numbers
	} {
		given := string(r.Secret)
		err := c.add(&r)
		if _, ok := errors.AsType[*agent.RefusedError](err); !ok {
			t.Errorf("%s: %v", what, err)
		} else if strings.Contains(err.Error(), "secret.") || strings.Contains(err.Error(), given) {
			t.Errorf("%s: the error tells the secret: %v", what, err)
		}
	}
	if s := c.status(); len(s.Keys)+len(s.Tokens) != 0 {
		t.Errorf("held: %+v", s)
	}
}

func TestConfirm(t *testing.T) {
	home, laptop := lab(t)
	settings := DefaultSettings()
	settings.Confirm = true
	var asked []string
	answer := error(nil)
	c := begin(t, Options{Home: home, Settings: settings, Confirm: func(ctx context.Context, description string) error {
		asked = append(asked, description)
		if _, limited := ctx.Deadline(); !limited {
			t.Error("the question has no end")
		}
		return answer
	}})
	c.wantLocked(t, publish, agent.LockedError{Key: "laptop"})
	if asked != nil {
		t.Errorf("asked before the key was there: %q", asked)
	}
	c.addKey(t, "laptop", laptop)
	c.wantToken(t, read)
	if asked != nil {
		t.Errorf("asked for a read: %q", asked)
	}
	c.wantToken(t, publish)
	if len(asked) != 1 {
		t.Fatalf("asked %q", asked)
	}
	for _, part := range []string{"publish", "sample", "1.0.0", "01234567", "lab", "laptop", "a test"} {
		if !strings.Contains(asked[0], part) {
			t.Errorf("%q does not say %q", asked[0], part)
		}
	}
	answer = errors.New("no")
	c.denied(t, "not confirmed")
	c.Confirm = nil
	c.denied(t, "ask nobody")

	// What changes while the person reads is not what was confirmed.
	c.Confirm = func(context.Context, string) error {
		enrol(t, home, enroll.Enrolment{Index: index, Name: "lab", Key: "laptop", Subject: "other"})
		return nil
	}
	c.refused(t, publish, "has changed")
	c.Confirm = func(context.Context, string) error { c.lock("a test"); return nil }
	c.wantLocked(t, publish, agent.LockedError{Key: "laptop"})
}

// TestDescriptions: what a project says about itself can't hide what else there is to read.
func TestDescriptions(t *testing.T) {
	p := &plan{registry: "lab", record: keys.Record{Name: "laptop"}, request: token.Request{
		Operation: token.Yank, Name: strings.Repeat("long ", 1000) + "\x1b[2J", Version: "1\u202e",
	}}
	text := p.describe("x")
	if len(text) > 700 || strings.ContainsAny(text, "\x1b\u202e") || !strings.Contains(text, "at lab, with key laptop? x asks.") {
		t.Errorf("%q", text)
	}
}

// TestWaitingIsLimited: who asks without end is refused, and who waits for nobody goes on.
func TestWaitingIsLimited(t *testing.T) {
	home, laptop := lab(t)
	settings := DefaultSettings()
	settings.Confirm = true
	c := begin(t, Options{Home: home, Settings: settings, Confirm: func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }})
	c.addKey(t, "laptop", laptop)
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error)
	for range maxCrowd + 8 {
		go func() {
			_, _, err := c.sign(ctx, publish)
			results <- err
		}()
	}
	for range 8 {
		if err := <-results; err == nil || !strings.Contains(err.Error(), "waiting already") {
			t.Errorf("one too many: %v", err)
		}
	}
	c.wantToken(t, read)
	cancel()
	for range maxCrowd {
		if err := <-results; err == nil {
			t.Error("signed without a yes")
		}
	}
}
