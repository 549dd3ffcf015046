// Agents that are another machine's, and key files that were tampered with.

//go:build linux

package sshkeys_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/internal/sshkeys"
	"github.com/cargo-regkey/regkey/keys"
)

// envListen makes the test's program listen at that path until its standard input ends. Nobody but
// these tests sets it.
const envListen = "SSHKEYS_TEST_LISTEN"

func TestMain(m *testing.M) {
	if socket := os.Getenv(envListen); socket != "" {
		listener, err := net.Listen("unix", socket)
		if err != nil {
			panic(err)
		}
		_, _ = os.Stdout.WriteString("listens\n")
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = listener.Close()
		return
	}
	os.Exit(m.Run())
}

// listens starts a program of that name which listens as an agent would.
func listens(t *testing.T, name string) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "forwarded")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, name)
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "socket")
	cmd := exec.Command(program)
	cmd.Env = []string{envListen + "=" + socket}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	if _, err := io.ReadFull(out, make([]byte, len("listens\n"))); err != nil {
		t.Fatal(err)
	}
	return socket
}

// Who listens decides, and not how the user came here.
func TestForwarded(t *testing.T) {
	for name, want := range map[string]bool{"sshd": true, "sshd-session": true, "ssh-agent": false, "gpg-agent": false} {
		for _, connection := range []string{"", "192.0.2.1 50000 192.0.2.2 22"} {
			t.Setenv("SSH_CONNECTION", connection)
			a, err := sshkeys.Dial(t.Context(), listens(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if forwarded, why := a.Forwarded(t.Context()); forwarded != want || !strings.Contains(why, name) {
				t.Errorf("%s, in a session %q: %t, %q", name, connection, forwarded, why)
			}
		}
	}
}

// A key of no use is refused before anybody is asked for its passphrase.
func TestOtherKindsAreRefusedLocked(t *testing.T) {
	for _, kind := range [][]string{{"rsa", "-b", "2048"}, {"ecdsa", "-b", "256"}, {"ecdsa", "-b", "521"}} {
		_, err := sshkeys.ParsePrivateKey(read(t, keygen(t, "correct horse", kind...)), keys.Secret{})
		if err == nil || errors.Is(err, sshkeys.ErrPassphrase) {
			t.Errorf("%q: %v", kind, err)
		}
	}
}

// A file that states the public half of another key is found out.
func TestHalvesBelongTogether(t *testing.T) {
	for _, kind := range [][]string{{"ed25519"}, {"ecdsa", "-b", "384"}} {
		one, other := read(t, keygen(t, "", kind...)).Reveal(), read(t, keygen(t, "", kind...)).Reveal()
		mine, _ := pem.Decode(one)
		theirs, _ := pem.Decode(other)
		a, b := publicBlob(t, mine.Bytes), publicBlob(t, theirs.Bytes)
		if len(a) != len(b) || bytes.Equal(a, b) {
			t.Fatalf("the public halves are %x and %x", a, b)
		}
		mine.Bytes = bytes.Replace(mine.Bytes, a, b, 1)
		if _, err := sshkeys.ParsePrivateKey(keys.NewSecret(pem.EncodeToMemory(mine)), keys.Secret{}); err == nil || !strings.Contains(err.Error(), "do not belong together") {
			t.Errorf("%q with another's public half: %v", kind, err)
		}
	}
}

// publicBlob is the public key of a file that is not encrypted: magic, "none" twice, no options, one key.
func publicBlob(t *testing.T, data []byte) []byte {
	t.Helper()
	const before = len("openssh-key-v1\x00") + 2*(4+len("none")) + 4 + 4
	length := int(data[before+2])<<8 | int(data[before+3])
	return data[before+4 : before+4+length]
}

func FuzzParsePrivateKey(f *testing.F) {
	dir := f.TempDir()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		f.Skipf("keys of OpenSSH are not tested: %v", err)
	}
	for name, kind := range map[string][]string{"a": {"ed25519"}, "b": {"ecdsa", "-b", "384"}} {
		path := filepath.Join(dir, name)
		if out, err := exec.Command("ssh-keygen", append([]string{"-q", "-N", "", "-f", path, "-t"}, kind...)...).CombinedOutput(); err != nil {
			f.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		block, _ := pem.Decode(text)
		f.Add(block.Bytes)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text := pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: data})
		key, err := sshkeys.ParsePrivateKey(keys.NewSecret(text), keys.Secret{})
		if err != nil {
			return
		}
		if _, err := keys.Sign(t.Context(), key, []byte("message")); err != nil {
			t.Errorf("a key was taken that can't sign: %v", err)
		}
	})
}
