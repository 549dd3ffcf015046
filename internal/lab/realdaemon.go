//go:build linux

// The real pcscd with vsmartcard's reader, private to a test: what stand-ins for it imitate.

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// Where Debian puts them.
const (
	pcscdPath  = "/usr/sbin/pcscd"
	driverPath = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"
)

// RealDaemonTools says what is missing to run the real pcscd with a virtual reader; it is nil if
// nothing is.
func RealDaemonTools() error {
	for path, owner := range map[string]string{pcscdPath: "pcscd", driverPath: "vsmartcard-vpcd"} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%s (of Debian's %s) is not installed", path, owner)
		}
	}
	return nil
}

// A RealDaemon is a running pcscd that serves one reader.
type RealDaemon struct {
	Socket string // for PCSCLITE_CSOCK_NAME

	process  *exec.Cmd
	listener *net.UnixListener
	said     lockedBuffer
}

// StartDaemon starts a pcscd whose one reader calls address, 127.0.0.1:PORT, where a virtual card
// has to be listening by then. The daemon's socket is made here, in the folder dir of its own, and
// handed over as systemd does, so that it needs no root and disturbs no other daemon.
func StartDaemon(ctx context.Context, dir, address string) (*RealDaemon, error) {
	config := filepath.Join(dir, "conf")
	if err := os.Mkdir(config, 0o700); err != nil {
		return nil, err
	}
	// With a host's name alone the driver would listen itself, and for all the world.
	text := fmt.Sprintf("FRIENDLYNAME \"Yubico YubiKey\"\nDEVICENAME %s\nLIBPATH %s\nCHANNELID 0x8C7B\n", address, driverPath)
	if err := os.WriteFile(filepath.Join(config, "vpcd"), []byte(text), 0o600); err != nil {
		return nil, err
	}
	d := &RealDaemon{Socket: filepath.Join(dir, "pcscd.comm")}
	var err error
	if d.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: d.Socket, Net: "unix"}); err != nil {
		return nil, err
	}
	file, err := d.listener.File()
	if err != nil {
		return nil, errors.Join(err, d.listener.Close())
	}
	defer file.Close()
	// LISTEN_PID has to be the daemon's own number, which only its shell knows in time.
	d.process = exec.CommandContext(ctx, "/bin/sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" -f -c "$1"`, pcscdPath, config)
	d.process.ExtraFiles = []*os.File{file}
	d.process.Stdout, d.process.Stderr = &d.said, &d.said
	if err := d.process.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting pcscd: %w", err), d.listener.Close())
	}
	return d, nil
}

// Log is what the daemon has said so far.
func (d *RealDaemon) Log() string { return d.said.String() }

// Stop kills the daemon: it keeps nothing.
func (d *RealDaemon) Stop() error {
	err := d.process.Process.Kill()
	_ = d.process.Wait() // it was killed, and says so
	return errors.Join(err, d.listener.Close())
}
