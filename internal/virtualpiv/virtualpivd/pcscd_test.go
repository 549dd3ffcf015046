//go:build linux

// The real pcscd, with vsmartcard's reader, on the virtual token: what the stand-in imitates.

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Where Debian puts them.
const (
	pcscdPath  = "/usr/sbin/pcscd"
	driverPath = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"
)

// realDaemon starts a private pcscd whose one reader calls an address. Its socket is made here
// and handed over, as systemd does, so that it needs no root and disturbs no other daemon.
func realDaemon(t *testing.T, address string) (socket string) {
	t.Helper()
	for _, path := range []string{pcscdPath, driverPath} {
		if _, err := os.Stat(path); err != nil {
			t.Skipf("%s is not installed", path)
		}
	}
	dir, err := os.MkdirTemp("", "pcscd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	text := fmt.Sprintf("FRIENDLYNAME \"Yubico YubiKey\"\nDEVICENAME %s\nLIBPATH %s\nCHANNELID 0x8C7B\n", address, driverPath)
	if err := os.Mkdir(filepath.Join(dir, "conf"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "conf", "vpcd"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "pcscd.comm"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	file, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	// LISTEN_PID has to be the daemon's own number, which only its shell knows in time.
	command := exec.Command("/bin/sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" -f -c "$1"`, pcscdPath, filepath.Join(dir, "conf"))
	command.ExtraFiles = []*os.File{file}
	var said strings.Builder
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = listener.Close()
		_ = file.Close()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	return filepath.Join(dir, "pcscd.comm")
}

func TestRealDaemon(t *testing.T) {
	need(t, "yubico-piv-tool", "openssl", "opensc-tool")
	p := launch(t, "--vpcd-listen", "--card", "name=yk1,serial=12345678,firmware=5.4.3")
	x := tools{t, realDaemon(t, p.first.VPCD), t.TempDir()}
	tool := func(args ...string) string {
		return x.run("yubico-piv-tool", append([]string{"-r", "00 00"}, args...)...)
	}
	contains(t, tool("-a", "status"), "5.4.3", "12345678")
	tool("-a", "generate", "-s", "9a", "-A", "ECCP384", "-o", "public.pem")
	tool("-a", "attest", "-s", "9a", "-o", "statement.pem")
	contains(t, x.run("openssl", "x509", "-in", "statement.pem", "-pubkey", "-noout"), read(t, filepath.Join(x.dir, "public.pem")))
	contains(t, x.run("opensc-tool", "--reader", "0", "--name"), "Personal Identity Verification Card")
}
