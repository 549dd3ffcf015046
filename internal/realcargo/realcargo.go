// Package realcargo finds the cargo that is installed, for the tests and the demonstration that
// run it, each in a home of its own.
package realcargo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// oldest is the first cargo 1.x with credential providers.
const oldest = 74

// Find returns cargo's path and what `cargo --version` says, or an error that says why the real
// cargo can't be used here. Where cargo is rustup's, it sets RUSTUP_HOME in this process, since
// rustup does not find its toolchain from another HOME.
func Find() (path, version string, err error) {
	f := find()
	return f.path, f.version, f.err
}

type found struct {
	path, version string
	err           error
}

var find = sync.OnceValue(func() found {
	path, err := exec.LookPath("cargo")
	if err != nil {
		return found{err: errors.New("there is no cargo here")}
	}
	if home := rustupHome(path); home != "" {
		if err := os.Setenv("RUSTUP_HOME", home); err != nil {
			return found{err: err}
		}
	}
	output, err := exec.Command(path, "--version").Output()
	if err != nil {
		return found{err: fmt.Errorf("running cargo --version: %w", err)}
	}
	version := strings.TrimSpace(string(output))
	var major, minor int
	if _, err := fmt.Sscanf(version, "cargo %d.%d", &major, &minor); err != nil {
		return found{err: fmt.Errorf("cargo calls itself %q", version)}
	}
	if major == 1 && minor < oldest {
		return found{err: fmt.Errorf("%s is older than 1.%d, the first with credential providers", version, oldest)}
	}
	return found{path: path, version: version}
})

// rustupHome is what the environment says, else the folder .rustup beside the .cargo/bin that
// cargo stands in, or in the user's home; "" where there is none.
func rustupHome(cargo string) string {
	if home := os.Getenv("RUSTUP_HOME"); home != "" {
		return home
	}
	homes := []string{filepath.Dir(filepath.Dir(filepath.Dir(cargo)))}
	if user, err := os.UserHomeDir(); err == nil {
		homes = append(homes, user)
	}
	for _, home := range homes {
		path := filepath.Join(home, ".rustup")
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path
		}
	}
	return ""
}
