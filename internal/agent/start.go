// Starting the agent on demand.

package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

const (
	// startLimit is how long an agent may take until it listens: it takes some 20 ms, and a machine
	// that builds may be slow.
	startLimit = 10 * time.Second
	// startPoll is how often it is looked whether it listens: a look takes some 20 µs.
	startPoll = time.Millisecond
)

// passed are the variables that the agent gets of whoever starts it: where things are, and how a
// person and the hardware are reached. It outlives its starter, and other people's variables are
// none of its business.
var passed = []string{
	"HOME", "USER", "LOGNAME", "PATH", "LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TZ", "TMPDIR",
	"XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_SESSION_TYPE",
	"DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY",
	"DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS", "PCSCLITE_CSOCK_NAME",
	"REGKEY_PINENTRY",
	"SystemRoot", "SystemDrive", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "TEMP", "TMP",
}

// scrub has Go's collector overwrite what it frees (package runtime, clobberfree), so that parsed keys do
// not stay in memory until their place is used again. The runtime reads it before any of a program's
// own code runs. A token costs no more for it.
const scrub = "GODEBUG=clobberfree=1"

// Start starts the agent of home where none runs, and returns when it listens. The agent is "regkey
// agent serve", of the regkey that lies beside this program; it lives in a session of its own,
// with its streams on the null device, the root folder as its own, only those variables of the
// environment that it has a use for, and a collector that overwrites what it frees. Of several Starts at once, in any number of processes, one
// agent comes. With REGKEY_AGENT=off it fails with [ErrOff].
func Start(ctx context.Context, home string) error {
	if Off() {
		return fmt.Errorf("starting the agent: %w", ErrOff)
	}
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return fmt.Errorf("starting the agent: finding regkey: %w", err)
	}
	return startFrom(ctx, home, filepath.Dir(self))
}

// startFrom is Start with the regkey that lies in bin.
func startFrom(ctx context.Context, home, bin string) error {
	place := PlaceOf(home)
	if place.Listens(ctx) {
		return nil
	}
	if err := place.Prepare(); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	program := filepath.Join(bin, "regkey")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	if err := start(ctx, place, command(program, home)); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	return nil
}

// command is the agent, not started yet. Streams that are nil are the null device.
func command(program, home string) *exec.Cmd {
	cmd := exec.Command(program, "agent", "serve")
	cmd.Dir = filepath.VolumeName(home) + string(filepath.Separator)
	cmd.Env = []string{"REGKEY_HOME=" + home, scrub}
	for _, name := range passed {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.SysProcAttr = detached()
	return cmd
}

// start waits until an agent listens, which may be another than the one that is started here.
func start(ctx context.Context, place Place, cmd *exec.Cmd) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := cmd.Start(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no %s: install it beside this program", cmd.Path)
		}
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(startPoll)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			// Without an error it ended because another is the agent, or is about to be.
			if err != nil && !place.Listens(ctx) {
				return fmt.Errorf("it ended at once (%w): \"regkey agent start --foreground\" says why", err)
			}
			ended = nil
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("it does not listen: %w", ctx.Err())
		}
		if place.Listens(ctx) {
			return nil
		}
	}
}

// Listens reports whether an agent takes connections there.
func (p Place) Listens(ctx context.Context) bool {
	conn, err := p.connect(ctx)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
