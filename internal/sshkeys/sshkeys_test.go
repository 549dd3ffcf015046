// Keys of the real ssh-keygen, in files and in the real ssh-agent.

package sshkeys_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/cargo-regkey/regkey/internal/sshkeys"
	"github.com/cargo-regkey/regkey/keys"
)

// keygen makes a key file with the real ssh-keygen.
func keygen(t *testing.T, passphrase string, kind ...string) (path string) {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skipf("keys of OpenSSH are not tested: %v", err)
	}
	path = filepath.Join(t.TempDir(), "id")
	args := append([]string{"-q", "-N", passphrase, "-C", "me@here", "-f", path, "-t"}, kind...)
	if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	return path
}

func read(t *testing.T, path string) keys.Secret {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return keys.NewSecret(text)
}

// startAgent starts the real ssh-agent, which ends with the test.
func startAgent(t *testing.T) (socket string) {
	t.Helper()
	if _, err := exec.LookPath("ssh-agent"); err != nil {
		t.Skipf("the ssh-agent is not tested: %v", err)
	}
	dir, err := os.MkdirTemp("", "agent") // a short path, as sockets want
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "socket")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for until := time.Now().Add(3 * time.Minute); ; {
		if conn, err := net.Dial("unix", socket); err == nil {
			_ = conn.Close()
			return socket
		}
		if time.Now().After(until) {
			t.Fatal("the ssh-agent does not listen")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// sshAdd runs ssh-add at the agent; what it asks for, answer gives.
func sshAdd(t *testing.T, socket, answer string, args ...string) {
	t.Helper()
	ask := filepath.Join(t.TempDir(), "ask")
	if err := os.WriteFile(ask, []byte("#!/bin/sh\necho '"+answer+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ssh-add", args...)
	cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket, "SSH_ASKPASS="+ask, "SSH_ASKPASS_REQUIRE=force")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add %q: %v\n%s", args, err, out)
	}
}

func TestParsePrivateKey(t *testing.T) {
	for name, test := range map[string]struct {
		kind      []string
		algorithm keys.Algorithm
	}{
		"ed25519": {[]string{"ed25519"}, keys.Ed25519},
		"p384":    {[]string{"ecdsa", "-b", "384"}, keys.P384},
	} {
		for _, passphrase := range []string{"", "correct horse"} {
			path := keygen(t, passphrase, test.kind...)
			text := read(t, path)
			if passphrase != "" {
				if _, err := sshkeys.ParsePrivateKey(text, keys.Secret{}); !errors.Is(err, sshkeys.ErrPassphrase) {
					t.Errorf("%s without its passphrase: %v", name, err)
				}
				if _, err := sshkeys.ParsePrivateKey(text, keys.NewSecret([]byte("wrong"))); !errors.Is(err, sshkeys.ErrWrongPassphrase) {
					t.Errorf("%s with a wrong passphrase: %v", name, err)
				}
			}
			key, err := sshkeys.ParsePrivateKey(text, keys.NewSecret([]byte(passphrase)))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if key.Public().Algorithm() != test.algorithm {
				t.Errorf("%s is %v", name, key.Public().Algorithm())
			}
			if _, err := keys.Sign(t.Context(), key, []byte("message")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			// It is the key of the public file.
			line, err := os.ReadFile(path + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			public, _, _, _, err := ssh.ParseAuthorizedKey(line)
			if err != nil {
				t.Fatal(err)
			}
			// The last 32 bytes of ours are the whole Ed25519 key, and the end of x of a P-384 point, which
			// OpenSSH writes with y after it.
			ours, theirs := key.Public().Bytes(), public.Marshal()
			if test.algorithm == keys.P384 {
				theirs = theirs[:len(theirs)-48]
			}
			if !bytes.HasSuffix(theirs, ours[len(ours)-32:]) {
				t.Errorf("%s: the public half is %x instead of %x", name, ours, theirs)
			}
		}
	}
}

func TestOtherPrivateKeysAreRefused(t *testing.T) {
	ed25519 := read(t, keygen(t, "", "ed25519")).Reveal()
	for name, text := range map[string][]byte{
		"rsa":            read(t, keygen(t, "", "rsa", "-b", "2048")).Reveal(),
		"p256":           read(t, keygen(t, "", "ecdsa", "-b", "256")).Reveal(),
		"PEM":            read(t, keygen(t, "", "ecdsa", "-b", "384", "-m", "PEM")).Reveal(),
		"nothing":        nil,
		"cut":            ed25519[:len(ed25519)/2],
		"a changed byte": bytes.Replace(ed25519, []byte("AAAA"), []byte("AAAB"), 1),
		"long":           append(bytes.Repeat([]byte("\n"), 64<<10), ed25519...),
	} {
		key, err := sshkeys.ParsePrivateKey(keys.NewSecret(text), keys.Secret{})
		if err == nil {
			t.Errorf("%s was taken as %v", name, key)
		} else if len(text) > 100 && strings.Contains(err.Error(), string(text[60:80])) {
			t.Errorf("%s: the error repeats what it read: %v", name, err)
		}
	}
}

func TestAgentSigns(t *testing.T) {
	socket := startAgent(t)
	a, err := sshkeys.Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range [][]string{{"ed25519"}, {"ecdsa", "-b", "384"}, {"rsa", "-b", "2048"}, {"ecdsa", "-b", "256"}} {
		sshAdd(t, socket, "", "-q", keygen(t, "", kind...))
	}
	held, others, err := a.Keys(t.Context())
	if err != nil || len(held) != 2 || others != 2 {
		t.Fatalf("held are %v and %d others: %v", held, others, err)
	}
	for _, key := range held {
		if key.Comment != "me@here" || !strings.HasPrefix(key.Fingerprint, "SHA256:") {
			t.Errorf("%+v", key)
		}
		for range 20 { // P-384: both halves of the range of s
			if _, err := keys.Sign(t.Context(), a.Signer(key.Public), []byte("message")); err != nil {
				t.Errorf("%v: %v", key.Public, err)
			}
		}
	}
	if forwarded, why := a.Forwarded(t.Context()); forwarded || why == "" {
		t.Errorf("forwarded: %v, %q", forwarded, why)
	}
}

func TestAgentThatCannotSign(t *testing.T) {
	socket := startAgent(t)
	a, err := sshkeys.Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	path := keygen(t, "", "ed25519")
	sshAdd(t, socket, "", "-q", path)
	held, _, err := a.Keys(t.Context())
	if err != nil || len(held) != 1 {
		t.Fatalf("%v, %v", held, err)
	}
	signer := a.Signer(held[0].Public)
	sshAdd(t, socket, "secret", "-x")
	if _, err := signer.Sign(t.Context(), []byte("message")); !errors.Is(err, sshkeys.ErrNotHeld) {
		t.Errorf("a locked agent: %v", err)
	}
	sshAdd(t, socket, "secret", "-X")
	if _, err := keys.Sign(t.Context(), signer, []byte("message")); err != nil {
		t.Errorf("unlocked again: %v", err)
	}
	sshAdd(t, socket, "", "-q", "-d", path)
	if _, err := signer.Sign(t.Context(), []byte("message")); !errors.Is(err, sshkeys.ErrNotHeld) {
		t.Errorf("a key that was removed: %v", err)
	}
}

func TestNoAgent(t *testing.T) {
	for _, socket := range []string{"", filepath.Join(t.TempDir(), "none")} {
		if _, err := sshkeys.Dial(t.Context(), socket); !errors.Is(err, sshkeys.ErrNoAgent) {
			t.Errorf("%q: %v", socket, err)
		}
	}
}

// liar answers every request with the same bytes, or with nothing where there are none.
func liar(t *testing.T, answer []byte) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "liar")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				request := make([]byte, 4<<10)
				for {
					if _, err := conn.Read(request); err != nil {
						_ = conn.Close()
						return
					}
					_, _ = conn.Write(answer)
				}
			}()
		}
	}()
	return socket
}

func TestAgentThatLies(t *testing.T) {
	signature := ssh.Marshal(struct {
		Format string
		Blob   []byte
	}{"ssh-ed25519", make([]byte, 64)})
	other := ssh.Marshal(struct {
		Format string
		Blob   []byte
	}{"ecdsa-sha2-nistp384", make([]byte, 64)})
	message := func(kind byte, signature []byte) []byte {
		body := append([]byte{kind}, ssh.Marshal(struct{ S []byte }{signature})...)
		return append([]byte{0, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	}
	key, err := keys.Generate(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string][]byte{
		"a signature that does not verify": message(14, signature),
		"another algorithm":                message(14, other),
		"no signature":                     message(14, nil),
		"garbage":                          {0, 0, 0, 3, 'x', 'y', 'z'},
		"a gigabyte":                       {0x40, 0, 0, 0, 14},
		"an empty message":                 {0, 0, 0, 0},
		"a list":                           {0, 0, 0, 5, 12, 0, 0, 0, 0},
	} {
		a, err := sshkeys.Dial(t.Context(), liar(t, answer))
		if err != nil {
			t.Fatal(err)
		}
		if signature, err := keys.Sign(t.Context(), a.Signer(key.Public()), []byte("message")); err == nil {
			t.Errorf("%s was taken as %x", name, signature)
		}
	}
}

func TestSilentAgentIsLeft(t *testing.T) {
	a, err := sshkeys.Dial(t.Context(), liar(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := a.Keys(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("listing: %v", err)
	}
	key, err := keys.Generate(keys.P384)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Signer(key.Public()).Sign(ctx, []byte("message")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("signing: %v", err)
	}
}
