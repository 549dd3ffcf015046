//go:build unix

// PINs that a person typed for one token, and the agent that has them from then on.

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/internal/agent"
)

// A pinKeeper is a home with an enrolled key in a token. An agent that was started there ends with the test.
type pinKeeper struct {
	*testing.T
	home    string
	environ []string
}

const pinIndex = "sparse+https://crates.example.com/index/"

func newPINKeeper(t *testing.T, policy string) *pinKeeper {
	t.Helper()
	tokens := plug(t, "name=yk1,serial=12345678,firmware=5.7.4")
	environ := append(environOf(tokens, "xterm-256color"), "REGKEY_AGENT=")
	s := onTerminalWith(t, environ, "init", "yk", "--hardware", "--touch", "never", "--pin", policy)
	s.expect("PIN of YubiKey 12345678")
	s.typed("123456\r")
	if code := s.exit(); code != 0 {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
	enrolByHand(t, s.home, pinIndex)
	t.Cleanup(func() {
		client, err := agent.Reach(context.WithoutCancel(t.Context()), s.home)
		if err == nil {
			err = client.Stop(context.WithoutCancel(t.Context()))
		}
		if err != nil && !errors.Is(err, agent.ErrNoAgent) {
			t.Error(err)
		}
	})
	return &pinKeeper{t, s.home, environ}
}

// token runs regkey token as the provider does. pin is typed; "" where it is not asked for.
func (k *pinKeeper) token(pin string, environ ...string) {
	k.Helper()
	s := newSession(k.T, append(k.environ, environ...), "token", "--index", pinIndex).at(k.home)
	var stdout bytes.Buffer
	s.cmd.Stdin = strings.NewReader(`{"operation":"publish","name":"foo","vers":"1.2.3","cksum":"` + strings.Repeat("ab", 32) + "\"}\n")
	s.cmd.Stdout = &stdout
	s.start()
	if pin != "" {
		s.expect("PIN of YubiKey 12345678")
		s.typed(pin + "\r")
	}
	if code := s.exit(); code != 0 || !strings.HasPrefix(stdout.String(), "v4.public.") {
		k.Fatalf("exit code %d: %q %q", code, stdout.String(), s.shown())
	}
}

// kept reports whether an agent has the PIN, and running whether there is one.
func (k *pinKeeper) kept() (kept, running bool) {
	k.Helper()
	client, err := agent.Reach(k.Context(), k.home)
	if errors.Is(err, agent.ErrNoAgent) {
		return false, false
	}
	if err != nil {
		k.Fatal(err)
	}
	status, err := client.Status(k.Context())
	if err != nil {
		k.Fatal(err)
	}
	return len(status.Tokens) == 1 && status.Tokens[0].Serial == 12345678 && !status.Tokens[0].Idle.IsZero(), true
}

func (k *pinKeeper) mint() error {
	k.Helper()
	client, err := agent.Reach(k.Context(), k.home)
	if err != nil {
		k.Fatal(err)
	}
	_, err = client.Token(k.Context(), agent.TokenRequest{Index: pinIndex, Operation: "publish", Name: "foo", Version: "1.2.4", Checksum: strings.Repeat("cd", 32)}, nil)
	return err
}

func TestTypedPINGoesToTheAgent(t *testing.T) {
	k := newPINKeeper(t, "once")
	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte("123456\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.token("", "REGKEY_PIN_FILE="+pin)
	k.token("123456", "REGKEY_AGENT=off")
	if _, running := k.kept(); running {
		t.Fatal("an agent runs, for a PIN from a file, or though it is switched off")
	}
	k.token("123456")
	if kept, _ := k.kept(); !kept {
		t.Fatal("the agent does not have the PIN")
	}
	if err := k.mint(); err != nil {
		t.Errorf("the agent with the PIN: %v", err)
	}
	// A token that is changed by regkey itself is not left to an agent with the old PIN.
	s := newSession(t, append(k.environ, "REGKEY_PUK_FILE="+k.file("12345678"), "REGKEY_NEW_PIN_FILE="+k.file("739120")), "hardware", "unblock").at(k.home)
	s.start()
	if code := s.exit(); code != 0 {
		t.Fatalf("exit code %d: %q", code, s.shown())
	}
	if kept, running := k.kept(); kept || !running {
		t.Error("the agent keeps a PIN that was changed")
	}
}

func (k *pinKeeper) file(content string) string {
	k.Helper()
	path := filepath.Join(k.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
		k.Fatal(err)
	}
	return path
}

func TestPINOfAlwaysIsNotKept(t *testing.T) {
	k := newPINKeeper(t, "always")
	k.token("123456")
	if kept, running := k.kept(); kept || running {
		t.Errorf("kept: %v, agent: %v", kept, running)
	}
}

// Of several programs that want the PIN at once one asks for it, and the others have the agent sign.
func TestPINIsAskedForOnce(t *testing.T) {
	k := newPINKeeper(t, "once")
	var sessions []*session
	var outputs []*bytes.Buffer
	asked := make(chan int, 10)
	for i := range 5 {
		s := newSession(t, k.environ, "token", "--index", pinIndex).at(k.home)
		out := &bytes.Buffer{}
		s.cmd.Stdin = strings.NewReader(`{"operation":"publish","name":"foo","vers":"1.2.3","cksum":"` + strings.Repeat("ab", 32) + "\"}\n")
		s.cmd.Stdout = out
		sessions, outputs = append(sessions, s), append(outputs, out)
		s.start()
		go func() {
			for {
				shown, grown := s.look()
				if strings.Contains(shown, "PIN of YubiKey 12345678") {
					asked <- i
					return
				}
				select {
				case <-grown:
				case <-t.Context().Done():
					return
				}
			}
		}()
	}
	sessions[<-asked].typed("123456\r")
	for i, s := range sessions {
		if code := s.exit(); code != 0 || !strings.HasPrefix(outputs[i].String(), "v4.public.") {
			t.Errorf("exit code %d: %q %q", code, outputs[i].String(), s.shown())
		}
	}
	n := 0
	for _, s := range sessions {
		n += strings.Count(s.shown(), "PIN of YubiKey")
	}
	if n != 1 {
		t.Errorf("the PIN was asked for %d times", n)
	}
}
