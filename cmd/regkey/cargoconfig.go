// Cargo's side: where the credential provider is, and telling cargo of it.

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/cargo-regkey/regkey/cargo"
)

// cargoOutcome is what became of cargo's configuration.
type cargoOutcome struct {
	File    string `json:"file,omitzero"` // what cargo reads; empty if it was left alone
	Changed bool   `json:"changed"`
	Lines   string `json:"lines,omitzero"` // what the user has to put there
}

func providerName() string {
	if runtime.GOOS == "windows" {
		return "cargo-credential-regkey.exe"
	}
	return "cargo-credential-regkey"
}

// provider is the absolute path of the credential provider: beside this program, links resolved,
// else on PATH.
func (a *app) provider() (string, error) {
	self, err := a.executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(self), providerName())); err == nil {
			return path, nil
		}
	}
	if path, err := exec.LookPath(providerName()); err == nil && filepath.IsAbs(path) {
		return path, nil
	}
	return "", fmt.Errorf("finding %s: it is neither beside regkey (%s) nor on PATH", providerName(), filepath.Dir(self))
}

// configureCargo writes the provider into the user's configuration, or says what to put there. The
// key is trusted by now; an error that wraps errByHand says that a person has to do the rest.
func (a *app) configureCargo(t target, leave bool) (cargoOutcome, error) {
	path, err := a.provider()
	if err != nil {
		if leave {
			return cargoOutcome{}, nil
		}
		lines := cargo.Lines(t.nameOr("NAME"), t.index, []string{"/path/to/" + providerName()})
		return cargoOutcome{Lines: lines}, byHand(err, lines,
			"install it with \"go install github.com/cargo-regkey/regkey/cmd/cargo-credential-regkey@latest\" and run the same command again,",
			"or put these lines into cargo's configuration, with its path:")
	}
	provider := []string{path}
	if t.name != "" {
		for _, w := range t.config.Warnings(t.name, t.index, provider) {
			a.say("regkey: warning: %v", w)
		}
	}
	if leave {
		return cargoOutcome{}, nil
	}
	if t.name == "" {
		lines := cargo.Lines("NAME", t.index, provider)
		a.say("regkey: cargo has no name for this registry yet; give one with --name, or put these lines into %s:",
			filepath.Join(t.config.Home(), "config.toml"))
		a.sayLines(lines)
		return cargoOutcome{Lines: lines}, nil
	}
	edit, err := t.config.PlanProvider(t.name, t.index, provider)
	if err == nil {
		err = edit.Write()
	}
	var stuck *cargo.NotEditableError
	if errors.As(err, &stuck) {
		return cargoOutcome{Lines: stuck.Lines}, byHand(err, stuck.Lines, "the file should hold these lines; put them in by hand:")
	}
	if err != nil {
		return cargoOutcome{}, fmt.Errorf("the key is enrolled, but cargo does not know yet: %w", err)
	}
	return cargoOutcome{File: edit.File, Changed: edit.Changed()}, nil
}

func (t target) nameOr(name string) string {
	if t.name == "" {
		return name
	}
	return t.name
}

func (a *app) sayLines(text string) {
	for line := range strings.Lines(text) {
		a.say("    %s", strings.TrimSuffix(line, "\n"))
	}
}

// byHand says that the key is enrolled and the lines are for a person to put in.
func byHand(err error, lines string, intro ...string) error {
	hint := append(intro, strings.Split(strings.TrimSuffix(lines, "\n"), "\n")...)
	return advised(&byHandError{fmt.Errorf("the key is enrolled, but cargo does not know yet: %w", err)}, hint...)
}

// A byHandError is an error that a person has to put right; it counts as [errByHand].
type byHandError struct{ err error }

func (e *byHandError) Error() string        { return e.err.Error() }
func (e *byHandError) Unwrap() error        { return e.err }
func (e *byHandError) Is(target error) bool { return target == errByHand }
