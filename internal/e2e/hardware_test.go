// Keys in hardware tokens, seen from cargo: virtual tokens behind the real library, and everything
// that a key goes through.

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cargo-regkey/regkey/internal/lab"
)

// The PINs of these tests: the factory's, and the one that is set. That one is looked for where it must not
// show, among paths with random numbers in them, and so it is not all digits.
const (
	oldPIN, newPIN = "123456", "Hm4vTq7z"
	oldPUK, newPUK = "12345678", "Xw9bKr2c"
)

// holder is a user with virtual tokens, whose PIN lies in a file.
type holder struct {
	*lab.Lab
	tokens *lab.Tokens
	pin    string // the file
}

// newHolder skips, with the reason, where virtual tokens can't be reached.
func newHolder(t *testing.T, cards ...string) *holder {
	t.Helper()
	dir := tokenFolder(t)
	tokens, err := lab.Plug(context.WithoutCancel(t.Context()), fixtures, dir, cards...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tokens.Close() })
	return holderOf(t, dir, tokens, tokens.Socket)
}

// tokenFolder is a folder for tokens, where virtual ones can be reached.
func tokenFolder(t *testing.T) string {
	t.Helper()
	if err := lab.HardwareTools(t.Context()); err != nil {
		t.Skipf("this test needs virtual tokens, and %v", err)
	}
	dir, err := os.MkdirTemp("", "tokens") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// holderOf is a fresh user of tokens that are found at a socket.
func holderOf(t *testing.T, dir string, tokens *lab.Tokens, socket string) *holder {
	t.Helper()
	l := newLab(t)
	h := &holder{l, tokens, filepath.Join(l.Dir, "pin")}
	h.write(t, "pin", oldPIN)
	l.Env = []string{"PCSCLITE_CSOCK_NAME=" + socket, "REGKEY_PIN_FILE=" + h.pin, "XDG_CACHE_HOME=" + dir}
	return h
}

func (h *holder) write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(h.Dir, name)
	if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// setup gives the token secrets of its owner.
func (h *holder) setup(t *testing.T, serial string) {
	t.Helper()
	h.Env = append(h.Env,
		"REGKEY_PUK_FILE="+h.write(t, "puk", oldPUK),
		"REGKEY_NEW_PIN_FILE="+h.write(t, "new-pin", newPIN), "REGKEY_NEW_PUK_FILE="+h.write(t, "new-puk", newPUK))
	must(t, h.Lab, "", "", "regkey", "hardware", "setup", "--serial", serial)
	h.write(t, "pin", newPIN)
}

// enrolled makes a key on a token and enrols it at r, which cargo calls lab.
func (h *holder) enrolled(t *testing.T, r *lab.Registry, initArgs ...string) {
	t.Helper()
	if err := r.Name("lab"); err != nil {
		t.Fatal(err)
	}
	must(t, h.Lab, "", "", "regkey", append([]string{"init", "yk", "--hardware"}, initArgs...)...)
	code, err := r.Invite(t.Context(), "crates-team")
	if err != nil {
		t.Fatal(err)
	}
	must(t, h.Lab, "", code+"\n", "regkey", "enroll", "--registry", "lab", "--key", "yk", "--account", "crates-team", "--code-stdin")
}

// intact wants all tries left on the token, and nothing left unlocked there.
func (h *holder) intact(t *testing.T) {
	t.Helper()
	state, err := h.tokens.State("yk1")
	if err != nil {
		t.Fatal(err)
	}
	if state.PINTries != 3 || state.PUKTries != 3 || state.Verified || state.Managed {
		t.Errorf("the token was left as %+v", state)
	}
}

func TestHardwareLife(t *testing.T) {
	needCargo(t)
	for _, test := range []struct{ firmware, algorithm string }{
		{"4.3.5", "p384"}, {"5.2.7", "p384"}, {"5.4.3", "p384"}, {"5.7.4", "p384"}, {"5.7.4", "ed25519"},
	} {
		t.Run(test.firmware+" "+test.algorithm, func(t *testing.T) {
			t.Parallel()
			hardwareLife(t, test.firmware, test.algorithm)
		})
	}
}

func hardwareLife(t *testing.T, firmware, algorithm string) {
	h := newHolder(t, "name=yk1,serial=12345678,firmware="+firmware)
	r := serve(t, h.Lab, "--auth-required")
	h.setup(t, "12345678")
	h.enrolled(t, r, "--algorithm", algorithm)
	one := sample(t, h.Lab, "one", "0.1.0")
	cargo := func(args ...string) string { return must(t, h.Lab, one, "", "cargo", args...) }

	cargo("publish", "--registry", "lab")
	cargo("yank", "--registry", "lab", "--version", "0.1.0", "one")
	contains(t, "index line after yank", indexFile(t, r, h.Lab, "one"), `"yanked":true`)
	cargo("yank", "--undo", "--registry", "lab", "--version", "0.1.0", "one")
	contains(t, "owner list", cargo("owner", "--registry", "lab", "--list", "one"), "crates-team")
	two := sample(t, h.Lab, "two", "0.1.0", "one")
	must(t, h.Lab, two, "", "cargo", "build")

	attest := must(t, h.Lab, "", "", "regkey", "hardware", "attest", "yk", "--roots", h.tokens.Authorities)
	contains(t, "attestation", attest, "12345678", firmware, algorithm, "made on the token")
	contains(t, "doctor", must(t, h.Lab, one, "", "regkey", "doctor", "--online"), "holds yk", "within 30s")
	h.intact(t)

	// Token to token, token to software, software to software, software to token: cargo notices
	// nothing.
	for i, args := range [][]string{{}, {"--to-software", "--no-passphrase"}, {"--no-passphrase"}, {"--to-hardware", "--algorithm", algorithm}} {
		must(t, h.Lab, "", "", "regkey", append([]string{"rotate", "--registry", "lab", "--yes"}, args...)...)
		must(t, h.Lab, sample(t, h.Lab, "one", "0."+string(rune('2'+i))+".0"), "", "cargo", "publish", "--no-verify", "--registry", "lab")
		must(t, h.Lab, two, "", "cargo", "update")
	}
	h.intact(t)
	contains(t, "status", must(t, h.Lab, "", "", "regkey", "status", "--online"), "yk-5 ", "YubiKey 12345678 slot 83")

	must(t, h.Lab, "", "", "regkey", "revoke", "--registry", "lab", "yk-5", "--reason", "lost", "--yes", "--force-last")
	failed := ends(t, h.Lab, 101, sample(t, h.Lab, "one", "0.9.0"), "", "cargo", "publish", "--no-verify", "--registry", "lab")
	contains(t, "publishing where the key was revoked", failed.Stderr, "no key of this machine")
	h.intact(t)
}

// TestHardwarePolicies has the provider make tokens under each policy.
func TestHardwarePolicies(t *testing.T) {
	for _, touch := range []string{"always", "cached", "never"} {
		for _, pin := range []string{"once", "always", "never"} {
			t.Run("touch "+touch+" pin "+pin, func(t *testing.T) {
				t.Parallel()
				h := newHolder(t, "name=yk1,serial=12345678,firmware=5.7.4")
				r := serve(t, h.Lab, "--auth-required")
				h.enrolled(t, r, "--touch", touch, "--pin", pin)
				reads := filepath.Join(h.RegkeyHome(), "keys", "yk-read.key")
				if _, err := os.Stat(reads); (err == nil) != (touch != "never" || pin != "never") {
					t.Errorf("the key that reads: %v", err)
				}
				for range 2 {
					if _, _, err := h.Publish(t.Context(), r, sample(t, h.Lab, "one", "0.1.0")); err != nil && !strings.Contains(err.Error(), "already") {
						t.Fatal(err)
					}
				}
				h.intact(t)
			})
		}
	}
}

// TestTwoCargosOneToken: both succeed, one after the other.
func TestTwoCargosOneToken(t *testing.T) {
	needCargo(t)
	h := newHolder(t, "name=yk1,serial=12345678,firmware=5.7.4")
	r := serve(t, h.Lab)
	h.enrolled(t, r)
	dirs := []string{sample(t, h.Lab, "one", "0.1.0"), sample(t, h.Lab, "two", "0.1.0")}
	var all sync.WaitGroup
	for _, dir := range dirs {
		all.Go(func() {
			result, err := h.Run(t.Context(), dir, "", "cargo", "publish", "--no-verify", "--registry", "lab")
			if err != nil || result.Exit != 0 {
				t.Errorf("%v: %+v", err, result)
			}
		})
	}
	all.Wait()
	h.intact(t)
}

// TestTokenComesLate: who publishes is told to plug the token in, and then it goes on.
func TestTokenComesLate(t *testing.T) {
	h := newHolder(t, "name=yk1,serial=12345678,firmware=5.7.4")
	r := serve(t, h.Lab, "--auth-required")
	h.enrolled(t, r)
	if err := h.tokens.Order("remove yk1"); err != nil {
		t.Fatal(err)
	}
	// Reading goes on without it.
	if _, err := h.Token(t.Context(), r.Index, lab.Operation{Kind: "read"}); err != nil {
		t.Fatal(err)
	}
	talk, done := newTalk("plug it in within 15s"), make(chan error, 1)
	request := `{"v":1,"kind":"get","registry":{"index-url":"` + r.Index + `"},"operation":"yank","name":"one","vers":"0.1.0"}`
	c := h.Command(t.Context(), "", "cargo-credential-regkey", "--cargo-plugin")
	var out strings.Builder
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(request+"\n"), &out, talk
	go func() { done <- c.Run() }()
	select {
	case <-talk.heard:
	case err := <-done:
		t.Fatalf("it ended: %v: %s %s", err, out.String(), talk.String())
	}
	if err := h.tokens.Order("insert yk1"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || !strings.Contains(out.String(), "v4.public.") {
		t.Errorf("%v: %s %s", err, out.String(), talk.String())
	}
	h.intact(t)
}

// talk is what a program says, and a sign when certain words were among it.
type talk struct {
	mu    sync.Mutex
	text  strings.Builder
	words string
	once  sync.Once
	heard chan struct{}
}

func newTalk(words string) *talk { return &talk{words: words, heard: make(chan struct{})} }

func (k *talk) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.text.Write(p)
	if strings.Contains(k.text.String(), k.words) {
		k.once.Do(func() { close(k.heard) })
	}
	return len(p), nil
}

func (k *talk) String() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.text.String()
}
