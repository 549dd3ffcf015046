//go:build linux

// Other people's programs on the virtual token, where they are installed: what they read and
// write must be what a real token would have them read and write.

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tools runs programs against a socket, in a folder of their own.
type tools struct {
	*testing.T
	socket, dir string
}

// run runs a program and demands that it succeeds; it returns all that it said.
func (x tools) run(name string, args ...string) string {
	x.Helper()
	out, err := x.try(name, args...)
	if err != nil {
		x.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

func (x tools) try(name string, args ...string) (string, error) {
	x.Helper()
	ctx, cancel := context.WithTimeout(x.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = x.dir
	command.Env = append(os.Environ(), "PCSCLITE_CSOCK_NAME="+x.socket, "HOME="+x.dir, "LC_ALL=C.UTF-8")
	out, err := command.CombinedOutput()
	return string(out), err
}

// need skips the test where a program is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
}

// contains demands that a text has all of the parts.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in:\n%s", part, text)
		}
	}
}

const factoryKey = "010203040506070801020304050607080102030405060708"

func TestYubicoPIVTool(t *testing.T) {
	need(t, "yubico-piv-tool", "openssl")
	p := launch(t, "--card", "name=yk1,serial=12345678,firmware=5.4.3")
	x := tools{t, p.first.Socket, t.TempDir()}
	tool := func(args ...string) string {
		return x.run("yubico-piv-tool", append([]string{"-r", "yk1"}, args...)...)
	}
	contains(t, tool("-a", "status"), "5.4.3", "12345678", "PIN tries left:\t3")
	tool("-a", "generate", "-s", "9a", "-A", "ECCP384", "--pin-policy=once", "--touch-policy=cached", "-o", "public.pem")
	tool("-a", "attest", "-s", "9a", "-o", "statement.pem")
	tool("-a", "read-certificate", "-s", "f9", "-o", "own.pem")
	contains(t, x.run("openssl", "verify", "-ignore_critical", "-CAfile", p.first.Roots, "-untrusted", "own.pem", "statement.pem"), "OK")
	contains(t, x.run("openssl", "x509", "-in", "statement.pem", "-pubkey", "-noout"), read(t, filepath.Join(x.dir, "public.pem")))
	tool("-a", "import-certificate", "-s", "9a", "-i", "statement.pem")
	contains(t, tool("-a", "status"), "Slot 9a", "YubiKey PIV Attestation 9a")
	if out, err := x.try("yubico-piv-tool", "-r", "yk1", "-a", "verify-pin", "-P", "999999"); err == nil || !strings.Contains(out, "2 tries left") {
		t.Errorf("a wrong PIN: %v, %s", err, out)
	}
	tool("-a", "change-pin", "-P", "123456", "-N", "654321")
	tool("-a", "set-mgm-key", "-n", "0102030405060708090a0b0c0d0e0f101112131415161718")
	tool("-a", "set-chuid", "--key=0102030405060708090a0b0c0d0e0f101112131415161718")
	state := p.do("state").Cards[0]
	if state.PINTries != 3 || state.Defaults.PIN || state.Defaults.Management || len(state.Slots) != 1 || !state.Slots[0].Generated {
		t.Errorf("state %+v", state)
	}
}

func TestYKMan(t *testing.T) {
	need(t, "ykman")
	if _, err := os.Stat("/usr/bin/ykman"); err != nil {
		t.Skip("the system's own ykman is not installed")
	}
	for _, firmware := range []string{"4.3.5", "5.2.7", "5.4.3", "5.7.4"} {
		t.Run(firmware, func(t *testing.T) {
			p := launch(t, "--card", "name=yk1,serial=12345678,firmware="+firmware)
			x := tools{t, p.first.Socket, t.TempDir()}
			ykman := func(args ...string) string { return x.run("/usr/bin/ykman", append([]string{"piv"}, args...)...) }
			contains(t, ykman("info"), "PIV version: "+firmware)
			ykman("keys", "generate", "-m", factoryKey, "-a", "ECCP384", "--pin-policy", "ONCE", "9a", "public.pem")
			ykman("certificates", "generate", "-m", factoryKey, "-P", "123456", "-s", "CN=made by ykman", "9a", "public.pem")
			contains(t, ykman("info"), "made by ykman")
			contains(t, ykman("keys", "attest", "9a", "-"), "BEGIN CERTIFICATE")
			ykman("access", "change-management-key", "-m", factoryKey, "-P", "123456", "--generate", "--protect")
			contains(t, ykman("info"), "protected by PIN")
			ykman("reset", "-f")
			if state := p.do("state").Cards[0]; !state.Defaults.Management || len(state.Slots) != 0 {
				t.Errorf("state %+v", state)
			}
		})
	}
}

func TestOpenSC(t *testing.T) {
	need(t, "opensc-tool", "pkcs15-tool")
	p := launch(t, "--card", "name=yk1,firmware=5.4.3")
	x := tools{t, p.first.Socket, t.TempDir()}
	contains(t, x.run("opensc-tool", "-l"), p.first.Cards[0].Reader)
	contains(t, x.run("opensc-tool", "--reader", "0", "-n"), "Personal Identity Verification Card")
	x.run("pkcs15-tool", "--reader", "0", "--verify-pin", "--pin", "123456")
	if out, err := x.try("pkcs15-tool", "--reader", "0", "--verify-pin", "--pin", "999999"); err == nil {
		t.Errorf("a wrong PIN was taken: %s", out)
	}
	if tries := p.do("state").Cards[0].PINTries; tries != 2 {
		t.Errorf("%d tries left", tries)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
