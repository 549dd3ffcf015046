//go:build linux

// The real pcscd, with vsmartcard's reader, on the virtual token: what the stand-in imitates.

package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/cargo-regkey/regkey/internal/lab"
)

// realDaemon is the socket of a pcscd whose one reader calls an address.
func realDaemon(t *testing.T, address string) (socket string) {
	t.Helper()
	if err := lab.RealDaemonTools(); err != nil {
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("", "pcscd") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	daemon, err := lab.StartDaemon(context.WithoutCancel(t.Context()), dir, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Stop()
		if t.Failed() {
			t.Log(daemon.Log())
		}
	})
	return daemon.Socket
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
