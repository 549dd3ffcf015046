//go:build unix

// Hardware tokens through the agent: its programs and its clients with virtual tokens, behind the stand-in and the real pcscd.

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/keys"
)

// An agentHolder is a holder of a token with a key that is enrolled, and an agent that knows no PIN yet.
type agentHolder struct {
	*holder
	index string
}

const yk1 = 12345678

// withAgent makes one of a fresh holder. The agent ends with the test.
func withAgent(t *testing.T, h *holder, initArgs ...string) *agentHolder {
	t.Helper()
	r := serve(t, h.Lab)
	h.setup(t, fmt.Sprint(yk1))
	h.enrolled(t, r, initArgs...)
	h.Env = append(h.Env, "REGKEY_AGENT=")
	must(t, h.Lab, "", "", "regkey", "agent", "start")
	t.Cleanup(func() {
		if result, err := h.Run(context.WithoutCancel(t.Context()), "", "", "regkey", "agent", "stop"); err != nil || result.Exit != 0 {
			t.Errorf("stopping the agent: %v, %+v", err, result)
		}
	})
	return &agentHolder{h, r.Index}
}

func newAgentHolder(t *testing.T, initArgs ...string) *agentHolder {
	t.Helper()
	return withAgent(t, newHolder(t, "name=yk1,serial=12345678,firmware=5.7.4"), append([]string{"--algorithm", "p384", "--touch", "never"}, initArgs...)...)
}

func (h *agentHolder) client(t *testing.T) *agent.Client {
	t.Helper()
	client, err := agent.Reach(t.Context(), h.RegkeyHome())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// token asks the agent for one.
func (h *agentHolder) token(t *testing.T) error {
	t.Helper()
	text, err := h.client(t).Token(t.Context(), h.request(), nil)
	if err == nil && !strings.HasPrefix(text, "v3.public.") {
		t.Errorf("the token is %.20q", text)
	}
	return err
}

func (h *agentHolder) request() agent.TokenRequest {
	return agent.TokenRequest{Index: h.index, Operation: "publish", Name: "one", Version: "0.1.0", Checksum: strings.Repeat("ab", 32)}
}

func (h *agentHolder) signs(t *testing.T) {
	t.Helper()
	if err := h.token(t); err != nil {
		t.Fatal(err)
	}
}

// asks wants the agent to have no PIN that it could use.
func (h *agentHolder) asks(t *testing.T) {
	t.Helper()
	var locked *agent.LockedError
	if err := h.token(t); !errors.As(err, &locked) || locked.Serial != yk1 {
		t.Fatalf("the agent has a PIN, or is not asked for one: %v", err)
	}
}

func (h *agentHolder) add(t *testing.T, pin string) {
	t.Helper()
	if err := h.client(t).AddPIN(t.Context(), yk1, keys.NewSecret([]byte(pin))); err != nil {
		t.Fatal(err)
	}
}

// addWatched adds the PIN, and waits until the agent has looked whether the token is there, which it
// then watches: three commands, beside whatever it is asked for.
func (h *agentHolder) addWatched(t *testing.T, pin string) {
	t.Helper()
	before := h.commands(t)
	h.add(t, pin)
	for limit := time.Now().Add(3 * time.Minute); h.commands(t) < before+3; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the agent does not look for the token")
		}
	}
}

// await polls the agent until it says so of the token; nil is one that it does not know.
func (h *agentHolder) await(t *testing.T, is func(*agent.HeldToken) bool) {
	t.Helper()
	limit := time.Now().Add(3 * time.Minute)
	for {
		status, err := h.client(t).Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var held *agent.HeldToken
		if len(status.Tokens) > 0 {
			held = &status.Tokens[0]
		}
		if is(held) {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("the agent has %+v", status.Tokens)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func dropped(held *agent.HeldToken) bool  { return held == nil || held.Idle.IsZero() }
func released(held *agent.HeldToken) bool { return held == nil || !held.Open }

func (h *agentHolder) commands(t *testing.T) int {
	t.Helper()
	state, err := h.tokens.State("yk1")
	if err != nil {
		t.Fatal(err)
	}
	return state.Commands
}

// lingers is how long an agent keeps a token after a signature.
const lingers = 3 * time.Second

// inOneSession wants so many commands to go to the token for each, which it has back before and the agent keeps
// meanwhile: again, where the machine did something else for as long as that. It returns all that were sent by then.
func (h *agentHolder) inOneSession(t *testing.T, want []int, do ...func(t *testing.T)) (sent int) {
	t.Helper()
	for late := time.Now().Add(3 * time.Minute); ; h.await(t, released) {
		var costs []int
		begun := time.Now()
		sent = h.commands(t)
		for _, one := range do {
			one(t)
			before := sent
			sent = h.commands(t)
			costs = append(costs, sent-before)
		}
		if slices.Equal(costs, want) {
			return sent
		}
		if took := time.Since(begun); took < lingers || time.Now().After(late) {
			t.Fatalf("%v commands instead of %v, in %v", costs, want, took)
		}
	}
}

func (h *agentHolder) order(t *testing.T, words string) {
	t.Helper()
	if err := h.tokens.Order(words); err != nil {
		t.Fatal(err)
	}
}

// One PIN serves for many signatures, and what each costs on the wire is what it has to.
func TestAgentTokenSession(t *testing.T) {
	for name, fresh := range map[string]func() *agentHolder{
		"stand-in": func() *agentHolder { return newAgentHolder(t) },
		"pcscd": func() *agentHolder {
			return withAgent(t, realHolder(t, "name=yk1,serial=12345678,firmware=5.7.4"), "--algorithm", "p384", "--touch", "never")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := fresh()
			h.asks(t)
			h.addWatched(t, newPIN)
			sent := h.inOneSession(t, []int{7, 2, 2}, h.signs, h.signs, h.signs)
			h.await(t, released)
			if after := h.commands(t); after != sent+1 {
				t.Errorf("the release: %d commands", after-sent)
			}
			h.intact(t)
			h.inOneSession(t, []int{7}, h.signs)
			must(t, h.Lab, "", "", "regkey", "hardware", "list") // takes the card at once
			h.signs(t)
			if err := h.client(t).Lock(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.intact(t)
			h.asks(t)
		})
	}
}

// Ten at once share one token, and one PIN.
func TestAgentTokenIsShared(t *testing.T) {
	h := newAgentHolder(t)
	h.addWatched(t, newPIN)
	h.inOneSession(t, []int{7 + 9*2}, func(t *testing.T) {
		var all sync.WaitGroup
		for range 10 {
			client := h.client(t)
			all.Go(func() {
				if _, err := client.Token(t.Context(), h.request(), nil); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

// A PIN goes with its token, which need not be open, and does not come back with it.
func TestAgentTokenIsPulled(t *testing.T) {
	h := newAgentHolder(t)
	for _, c := range []struct {
		what       string
		before     func(t *testing.T)
		out, in    string
		stillThere bool
	}{
		{what: "while open", before: h.signs, out: "remove yk1", in: "insert yk1"},
		{what: "while released", before: func(t *testing.T) { h.signs(t); h.await(t, released) }, out: "remove yk1", in: "insert yk1"},
		{what: "before it was ever opened", before: func(*testing.T) {}, out: "remove yk1", in: "insert yk1"},
	} {
		h.add(t, newPIN)
		c.before(t)
		h.order(t, c.out)
		h.await(t, dropped)
		h.order(t, c.in)
		h.asks(t)
	}
	// And back at once, before anybody looks.
	h.add(t, newPIN)
	h.signs(t)
	h.await(t, released)
	h.order(t, "eject yk1")
	h.order(t, "insert yk1")
	h.await(t, dropped)
	h.asks(t)
	h.intact(t)
	h.order(t, "remove yk1")
	if err := h.client(t).AddPIN(t.Context(), yk1, keys.NewSecret([]byte(newPIN))); err == nil {
		h.await(t, dropped)
	}
	h.order(t, "insert yk1")
	h.asks(t)
}

// The card is free for others some seconds after the last signature; what they do to the PIN costs one try.
func TestAgentLeavesTheTokenToOthers(t *testing.T) {
	h := newAgentHolder(t)
	h.add(t, newPIN)
	h.signs(t)
	began := time.Now()
	h.awaitTool(t, "yubico-piv-tool", "-r", "yk1", "-a", "status")
	t.Logf("another program had the card %v after the last signature", time.Since(began).Round(10*time.Millisecond))
	h.signs(t)
	h.awaitTool(t, "yubico-piv-tool", "-r", "yk1", "-a", "change-pin", "-P", newPIN, "-N", "864209")
	h.asks(t)
	h.tries(t, 2)
	h.asks(t) // and is not sent again
	h.tries(t, 2)
	h.tool(t, "yubico-piv-tool", "-r", "yk1", "-a", "verify-pin", "-P", "864209")
	h.add(t, "864209")
	h.signs(t)
	h.await(t, released)
	h.intact(t)
}

// awaitTool runs a program until it gets the card, for some minutes.
func (h *agentHolder) awaitTool(t *testing.T, name string, args ...string) {
	t.Helper()
	path := "/usr/bin/" + name
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not installed", path)
	}
	for limit := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		command := exec.CommandContext(t.Context(), path, args...)
		command.Env = h.Command(t.Context(), "", name).Env
		out, err := command.CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
}

// A key that wants its PIN always is served by nobody but a person.
func TestAgentKeepsNoPINForAlways(t *testing.T) {
	h := newAgentHolder(t, "--pin", "always")
	h.add(t, newPIN)
	h.order(t, "clearlog yk1")
	h.asks(t)
	if got := h.commands(t); got > 3 { // those to find out whether the token is there may be under way
		t.Errorf("%d commands", got)
	}
	h.intact(t)
}

func TestAgentTellsOfTheFinger(t *testing.T) {
	h := newAgentHolder(t, "--touch", "always")
	h.add(t, newPIN)
	h.order(t, "finger wait")
	told, taken := 0, 0
	touch := func(serial uint32) func() {
		told++
		if serial != yk1 {
			t.Errorf("token %d", serial)
		}
		h.order(t, "finger yes")
		return func() { taken++ }
	}
	if _, err := h.client(t).Token(t.Context(), h.request(), touch); err != nil || told != 1 || taken != 1 {
		t.Errorf("told %d times, taken away %d times: %v", told, taken, err)
	}
}
