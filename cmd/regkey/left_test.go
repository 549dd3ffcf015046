// What was sent and is answered with an error ends every command alike, and the same command completes it.

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestLeftEndsAlike(t *testing.T) {
	rotate := []string{"rotate", "--registry", "lab", "--yes"}
	for _, test := range []struct {
		name    string
		prepare [][]string
		command []string
	}{
		{"enroll", [][]string{{"init", "ci", "--none"}}, []string{"enroll", "--registry", "lab", "--key", "ci", "--yes"}},
		{"rotate", nil, rotate},
		{"rotate all", nil, []string{"rotate", "--all", "--yes"}},
		{"revoke", withCIAt("lab"), []string{"revoke", "--registry", "lab", "ci", "--yes"}},
		{"keyset edit", withCIAt("lab"), []string{"keyset", "edit", "ci", "--registry", "lab", "--can", "yank", "--yes"}},
		{"keyset edit, retire", withCIAt("lab"), []string{"keyset", "edit", "ci", "--registry", "lab", "--retire", "--yes"}},
		{"renew", withCIAt("lab", "--until", "5d"), []string{"renew", "ci", "--registry", "lab", "--yes"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			u, registry := enrolledUser(t)
			for _, args := range test.prepare {
				u.want(0, "", args...)
			}
			registry.breaks.Store(true)
			u.want(exitLeft, "", test.command...)
			u.want(exitLeft, "", test.command...)
			if test.name == "rotate" {
				u.want(exitLeft, "", "rotate", "--resume", "--yes")
			}
			registry.breaks.Store(false)
			u.want(0, "", test.command...)
			if _, said, _ := u.talk("", "keyset", "pins"); strings.Contains(said, "not complete") || strings.Contains(said, "not known") {
				t.Errorf("something is left: %s", said)
			}
		})
	}
}

func withCIAt(registry string, flags ...string) [][]string {
	return [][]string{{"init", "ci", "--none"}, append([]string{"enroll", "--registry", registry, "--key", "ci", "--yes"}, flags...)}
}

// The registry does not answer at all any more: what is left is still left.
func TestLeftWhileNobodyAnswers(t *testing.T) {
	for name, command := range map[string][]string{
		"rotate": {"rotate", "--registry", "lab", "--yes"},
		"enroll": {"enroll", "--registry", "lab", "--key", "ci", "--yes"},
	} {
		t.Run(name, func(t *testing.T) {
			u, registry := enrolledUser(t)
			u.want(0, "", "init", "ci", "--none")
			registry.breaks.Store(true)
			u.want(exitLeft, "", command...)
			registry.silent.Store(true)
			u.want(exitLeft, "", command...)
		})
	}
}

// A certificate that was sent may have ended the key; one that never went out has not.
func TestLeftByCertificate(t *testing.T) {
	u, registry := enrolledUser(t)
	for _, args := range withCIAt("lab") {
		u.want(0, "", args...)
	}
	found, err := filepath.Glob(filepath.Join(u.home(), "revocations", "ci-*.revocation"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	command := []string{"revoke", "--certificate", found[0], "--yes"}
	registry.silent.Store(true)
	u.want(exitFailed, "", command...)
	registry.silent.Store(false)
	registry.breaks.Store(true)
	u.want(exitLeft, "", command...)
	registry.breaks.Store(false)
	u.want(0, "revoked", command...)
}

// Two machines: the one that asks, and the one that approves.
func TestLeftBetweenMachines(t *testing.T) {
	u, registry := enrolledUser(t)
	dir := t.TempDir()
	spare := user{t, []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "REGKEY_HOME=" + dir + "/home", "CARGO_HOME=" + dir + "/cargo", "REGKEY_AGENT=off",
	}}
	spare.want(0, "", "init", "spare", "--none")
	ask := []string{"enroll", "--registry", registry.index, "--name", "lab", "--account", "team", "--key", "spare", "--join", "--no-wait"}
	registry.breaks.Store(true)
	spare.want(exitLeft, "", ask...)
	registry.breaks.Store(false)
	out, exit := spare.run("", ask...)
	code := regexp.MustCompile(`regkey approve (\S+)`).FindStringSubmatch(out)
	if exit != exitByHand || code == nil {
		t.Fatalf("exit code %d: %s", exit, out)
	}
	approve := []string{"approve", code[1], "--registry", "lab", "--yes"}
	registry.breaks.Store(true)
	u.want(exitLeft, "", approve...)
	registry.silent.Store(true)
	spare.want(exitLeft, "", ask...)
	registry.silent.Store(false)
	registry.breaks.Store(false)
	u.want(0, "", approve...)
	spare.want(0, "enrolled", ask...)
}

// home is the user's regkey folder.
func (u user) home() string {
	for _, v := range u.environ {
		if home, found := strings.CutPrefix(v, "REGKEY_HOME="); found {
			return home
		}
	}
	return ""
}
