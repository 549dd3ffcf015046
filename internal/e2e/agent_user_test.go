//go:build linux

// A user with a key that a person has to unlock: how it is made, and which processes are the user's.

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/internal/lab"
)

const (
	lockedPhrase = "wharf lantern 3 cobalt"
	// shellLimit is less than the minute that the provider waits for a person where cargo reads: what
	// takes longer is a hang.
	shellLimit = 50 * time.Second
)

// A lockedUser has an enrolled key that a person has to unlock, and may use an agent.
type lockedUser struct {
	*lab.Lab
	registry *lab.Registry
	question *regexp.Regexp // what asks for the secret
	secret   string         // the answer
	setting  string         // the variable that names a file with it
	tokens   *lab.Tokens    // nil for a key in a file
}

// withPassphrase is one whose key lies in a file.
func withPassphrase(t *testing.T, algorithm string, serveArgs ...string) *lockedUser {
	t.Helper()
	return lockedBy(t, algorithm, func(l *lab.Lab) { must(t, l, "", "", "regkey", "init", "laptop", "--algorithm", algorithm) }, serveArgs...)
}

// withCheapPassphrase is one whose file opens quickly.
func withCheapPassphrase(t *testing.T, algorithm string, serveArgs ...string) *lockedUser {
	t.Helper()
	return lockedBy(t, algorithm, func(l *lab.Lab) {
		must(t, l, "", "", "regkey", "init", "laptop", "--algorithm", algorithm, "--none")
		protectCheaply(t, filepath.Join(l.RegkeyHome(), "keys", "laptop"))
	}, serveArgs...)
}

// lockedBy is one whose key init makes.
func lockedBy(t *testing.T, algorithm string, init func(l *lab.Lab), serveArgs ...string) *lockedUser {
	t.Helper()
	l := newLab(t)
	r := serve(t, l, serveArgs...)
	if err := r.Name("lab"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(l.Dir, "passphrase")
	if err := os.WriteFile(file, []byte(lockedPhrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, err := r.Invite(t.Context(), "crates-team")
	if err != nil {
		t.Fatal(err)
	}
	l.Env = []string{"REGKEY_PASSPHRASE_FILE=" + file}
	init(l)
	must(t, l, "", code+"\n", "regkey", "enroll", "--registry", "lab", "--key", "laptop", "--account", "crates-team", "--code-stdin")
	l.Env = []string{"REGKEY_AGENT="}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	u := &lockedUser{
		Lab: l, registry: r, secret: lockedPhrase, setting: "REGKEY_PASSPHRASE_FILE",
		question: regexp.MustCompile(`regkey: to [^\n]+ lab, passphrase of key "laptop": ?`),
	}
	u.endsClean(t)
	return u
}

// cheapWork is 1/64 of the usual work of scrypt: tests that unlock often have time for that.
const cheapWork = 12

// protectCheaply gives the unprotected key at path the passphrase, as age would with less work.
func protectCheaply(t *testing.T, path string) {
	t.Helper()
	to, err := age.NewScryptRecipient(lockedPhrase)
	if err != nil {
		t.Fatal(err)
	}
	to.SetWorkFactor(cheapWork)
	var file bytes.Buffer
	armored := armor.NewWriter(&file)
	w, err := age.Encrypt(armored, to)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(w, read(t, path+".key"))
	facts := strings.Replace(read(t, path+".toml"), "'none'", "'passphrase'", 1)
	if err := errors.Join(
		err, w.Close(), armored.Close(), os.WriteFile(path+".age", file.Bytes(), 0o600),
		os.WriteFile(path+".toml", []byte(facts), 0o600), os.Remove(path+".key"),
	); err != nil {
		t.Fatal(err)
	}
}

// withPIN is one whose key is in a hardware token that wants no touch.
func withPIN(t *testing.T, algorithm string) *lockedUser {
	t.Helper()
	h := newHolder(t, "name=yk1,serial=12345678,firmware=5.7.4")
	r := serve(t, h.Lab)
	before := h.Env[:1:1] // the socket alone
	h.setup(t, "12345678")
	h.enrolled(t, r, "--algorithm", algorithm, "--touch", "never")
	for _, name := range []string{"pin", "new-pin", "puk", "new-puk"} {
		if err := os.Remove(filepath.Join(h.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	h.Env = append(before, "REGKEY_AGENT=")
	u := &lockedUser{
		Lab: h.Lab, registry: r, secret: newPIN, setting: "REGKEY_PIN_FILE", tokens: h.tokens,
		question: regexp.MustCompile(`(publish|yank|unyank) [^\n]+ lab with key \S+: PIN of YubiKey 12345678(?: \(3 tries left\))?: ?`),
	}
	u.endsClean(t)
	return u
}

// endsClean stops the agent after the test, and wants no process of the user's to be left then.
func (u *lockedUser) endsClean(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		if result, err := u.Run(ctx, "", "", "regkey", "agent", "stop"); err != nil || result.Exit != 0 {
			t.Errorf("stopping the agent: %v, %+v", err, result)
		}
		u.nobodyLeft(t)
	})
}

// status is the agent's, if one runs.
func (u *lockedUser) status(t *testing.T) (agent.Status, bool) {
	t.Helper()
	client, err := agent.Reach(t.Context(), u.RegkeyHome())
	if err == nil {
		var s agent.Status
		if s, err = client.Status(t.Context()); err == nil {
			return s, true
		}
	}
	if !errors.Is(err, agent.ErrNoAgent) {
		t.Fatal(err)
	}
	return agent.Status{}, false
}

// awaitLocked waits until no agent holds anything.
func (u *lockedUser) awaitLocked(t *testing.T) {
	t.Helper()
	eventually(t, "the agent still holds something", func() bool {
		s, runs := u.status(t)
		return !runs || len(s.Keys)+len(s.Tokens) == 0
	})
}

// processes are those of the user, but for the registry: by program, or all if there is no name.
func (u *lockedUser) processes(t *testing.T, program string) (found []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	mark := []byte("REGKEY_HOME=" + u.RegkeyHome() + "\x00")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		exe, _ := os.Readlink("/proc/" + entry.Name() + "/exe")
		name := filepath.Base(exe)
		if name == "regkey-registry" || program != "" && name != program {
			continue
		}
		environ, _ := os.ReadFile("/proc/" + entry.Name() + "/environ")
		if bytes.Contains(environ, mark) {
			found = append(found, pid)
		}
	}
	return found
}

// nobodyLeft waits until no process of the user is left but the shells, and the agent if one runs.
func (u *lockedUser) nobodyLeft(t *testing.T) {
	t.Helper()
	var left []string
	gone := within(shellLimit, func() bool {
		left = nil
		keeper, _ := u.status(t)
		for _, pid := range u.processes(t, "") {
			exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
			if pid != keeper.PID && filepath.Base(exe) != "dash" {
				left = append(left, fmt.Sprintf("%d %s", pid, exe))
			}
		}
		return len(left) == 0
	})
	if !gone {
		t.Errorf("processes are left: %s", strings.Join(left, "; "))
	}
}

// within reports whether something comes true in that time.
func within(limit time.Duration, is func() bool) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		if is() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

func eventually(t *testing.T, otherwise string, is func() bool) {
	t.Helper()
	if !within(shellLimit, is) {
		t.Fatal(otherwise)
	}
}
