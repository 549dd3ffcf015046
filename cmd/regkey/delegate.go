// Becoming the program that reaches tokens: regkey itself links no library of C, its twin beside it
// does.

package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/internal/atomicfile"
	"github.com/cargo-regkey/regkey/keys"
)

// twin is this very program, built with cgo. It wants the system's smart card library to start at
// all, so that the one that everybody runs doesn't have to.
const twin = "regkey-hardware"

// canStart is the twin's only argument when it is asked whether the libraries that it wants are
// there.
const canStart = "can-start"

// A twinError says why the twin did not start.
type twinError struct{ complaint string }

func (e *twinError) Error() string { return "starting " + twin + ": " + e.complaint }

// becomeTwin turns this process into the twin, if the command line may need a token; or it runs the
// twin, and returns true with its exit code. Where neither can be, [app.cantReach] knows why: what
// needs no token goes on.
func (a *app) becomeTwin(args []string) (exit int, done bool) {
	if hardware.Built() || len(args) == 0 || !a.mayNeedToken(args[1:]) {
		return 0, false
	}
	path, err := a.twinPath()
	if err != nil {
		return 0, false
	}
	// Cargo waits for a token, so nothing is tried first there.
	if args[1] == "token" {
		return a.runTwin(path, args)
	}
	if a.unreachable = tryTwin(path); a.unreachable != nil {
		return 0, false
	}
	err = syscall.Exec(path, args, os.Environ())
	a.unreachable = &twinError{err.Error()}
	return 0, false
}

// twinPath is where the twin is: beside this program, links resolved, and nowhere else.
func (a *app) twinPath() (string, error) {
	self, err := a.executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), twin)
	_, err = atomicfile.Stat(path)
	return path, err
}

// exitLoader is with what the system's loader ends a program whose libraries are missing, before
// any of it ran.
const exitLoader = 127

// runTwin has the twin do all that there is to do, and passes signals on.
func (a *app) runTwin(path string, args []string) (exit int, done bool) {
	cmd := exec.Command(path)
	cmd.Args = args
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		a.unreachable = &twinError{err.Error()}
		return 0, false
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s)
		case <-ended:
			if exit := cmd.ProcessState.ExitCode(); exit != exitLoader {
				return exit, true
			}
			a.unreachable = &twinError{"a library that it wants is missing, likely libpcsclite.so.1"}
			return 0, false
		}
	}
}

// tryTwin is nil if the twin starts.
func tryTwin(path string) error {
	output, err := exec.Command(path, canStart).CombinedOutput()
	if err == nil {
		return nil
	}
	complaint := strings.TrimSpace(string(output))
	if complaint == "" {
		complaint = err.Error()
	}
	return &twinError{strings.TrimPrefix(complaint, path+": ")}
}

// mayNeedToken looks at the command line alone, and at whether a key of this machine is in a token.
func (a *app) mayNeedToken(args []string) bool {
	command := slices.IndexFunc(args, func(word string) bool { return !strings.HasPrefix(word, "-") })
	if command < 0 || slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		return false
	}
	switch args[command] {
	case "hardware", "token", "doctor":
		return true
	case "agent":
		return slices.Contains(args[command:], "serve") || slices.Contains(args[command:], "--foreground")
	case "status":
		return slices.Contains(args, "--online") && a.hasHardwareKeys()
	case "init", "rotate", "enroll", "revoke", "challenge", "approve", "renew", "keyset", "history", "sync", "use":
		asked := slices.ContainsFunc(args, func(word string) bool { return word == "--hardware" || word == "--to-hardware" })
		return asked || args[command] != "init" && a.hasHardwareKeys()
	}
	return false
}

func (a *app) hasHardwareKeys() bool {
	home, err := a.home()
	if err != nil {
		return false
	}
	records, _ := a.store(home).List()
	return slices.ContainsFunc(records, func(r keys.Record) bool { return r.Protection == keys.Hardware })
}

// cantReach is why this process can't reach tokens; nil if it can.
func (a *app) cantReach() error {
	switch {
	case hardware.Built():
		return nil
	case a.unreachable != nil:
		return a.unreachable
	}
	return hardware.ErrNotBuilt
}

// hintTwin says what to install.
func hintTwin(err error) []string {
	var twin *twinError
	if !errors.As(err, &twin) {
		return nil
	}
	if strings.Contains(twin.complaint, "libpcsclite") {
		return []string{
			"install the smart card library and its service (Debian, Ubuntu: apt install libpcsclite1 pcscd;",
			"Fedora: dnf install pcsc-lite; Arch: pacman -S pcsclite ccid), then run the same command again",
		}
	}
	return []string{"it lies beside regkey: install both from one build"}
}
