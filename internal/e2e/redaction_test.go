//go:build linux

// A whole run of everything that regkey does with secrets, and the search for them in every byte that
// the run has left.

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/lab"
	"github.com/cargo-regkey/regkey/keys"
)

// A watchedRun is a user whose every process is watched.
type watchedRun struct {
	*lab.Lab
	t          *testing.T
	registry   *lab.Registry
	tap        *lab.Wiretap
	processes  *sampler
	hoard      hoard
	secrets    []secret
	passphrase map[string]string // of the keys, by name
	typed      string            // the last passphrase
	code, pin  string
	trace      bool
}

func watch(t *testing.T, l *lab.Lab) *watchedRun {
	t.Helper()
	temp := filepath.Join(l.Dir, "temp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	// Cargo tells all it knows, headers included.
	l.Env = append(l.Env, "TMPDIR="+temp, "CARGO_LOG=trace", "CARGO_HTTP_DEBUG=true")
	w := &watchedRun{Lab: l, t: t, processes: watchProcesses(t, l.Dir), hoard: hoard{}, passphrase: map[string]string{}, trace: true}
	var err error
	w.tap, w.registry, err = l.ServeTapped(context.WithoutCancel(t.Context()), "registry", "--verbose", "--auth-required", "--challenge")
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, w.registry)
	t.Cleanup(w.tap.Close)
	if err := w.registry.Name("lab"); err != nil {
		t.Fatal(err)
	}
	return w
}

// protect invents a passphrase for a key that is about to be made.
func (w *watchedRun) protect(key, passphrase string) {
	w.t.Helper()
	w.passphrase[key] = passphrase
	w.secrets = append(w.secrets, newSecret(w.t, "the passphrase of "+key, []byte(passphrase)))
}

// invite has the operator make a code.
func (w *watchedRun) invite(account string) {
	w.t.Helper()
	w.code = strings.TrimSpace(w.run("regkey-registry", "invite", "--data", w.registry.Data, account))
	key, err := enroll.InviteKey(keys.NewSecret([]byte(w.code)))
	if err != nil {
		w.t.Fatal(err)
	}
	plain := strings.ReplaceAll(w.code, "-", "")
	w.secrets = append(w.secrets,
		newSecret(w.t, "the invite code", []byte(w.code), []byte(plain), []byte(strings.ToLower(plain)), []byte(strings.ToLower(w.code))),
		keySecret(w.t, "the key of the invite code", key))
}

// answers are what the user knows.
func (w *watchedRun) answers() []answer {
	passphrase := func(key string) string {
		text, known := w.passphrase[key]
		if !known {
			w.t.Errorf("asked for the passphrase of %q", key)
		}
		w.typed = text
		return text
	}
	say := func(text *string) func(string) string { return func(string) string { return *text } }
	yes := "y"
	return []answer{
		{regexp.MustCompile(`[Pp]assphrase (?:for the new|of) key "?([\w-]+)"?:`), passphrase},
		{regexp.MustCompile(`The same again:`), say(&w.typed)},
		{regexp.MustCompile(`Invite code of [\w-]+:`), say(&w.code)},
		{regexp.MustCompile(`PIN of YubiKey \d+[^:\n]*:`), say(&w.pin)},
		{regexp.MustCompile(`\[y/N\]`), say(&yes)},
	}
}

// terminal runs a program that is to succeed on a terminal, and keeps all that shows there.
func (w *watchedRun) terminal(dir, name string, args ...string) string {
	w.t.Helper()
	c := w.Command(w.t.Context(), dir, name, args...)
	trace := w.traced(c)
	shown, exit := onTerminal(w.t, c, w.answers())
	what := w.keep("terminal of", name, args, shown, trace)
	if exit != 0 {
		w.t.Fatalf("%s: exit %d\n%s", what, exit, shown)
	}
	return shown
}

// run runs a program that is to succeed and asks nothing.
func (w *watchedRun) run(name string, args ...string) string {
	w.t.Helper()
	c := w.Command(w.t.Context(), "", name, args...)
	trace := w.traced(c)
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	what := w.keep("stdout of", name, args, out.String(), trace)
	w.keep("stderr of", name, args, errs.String(), "")
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", what, err, errs.String())
	}
	return out.String()
}

func (w *watchedRun) traced(c *exec.Cmd) string {
	if !w.trace {
		return ""
	}
	return everyStart(w.t, c)
}

// keep names a place after a command, and remembers what it holds.
func (w *watchedRun) keep(kind, name string, args []string, text, trace string) string {
	w.t.Helper()
	place := fmt.Sprintf("%s %s %s", kind, name, strings.Join(args[:min(len(args), 2)], " "))
	w.hoard[place] = append(w.hoard[place], text...)
	if trace != "" {
		w.hoard["starts"] = append(w.hoard["starts"], read(w.t, trace)...)
	}
	return place
}

// addKeys looks for the private keys of every key with a file.
func (w *watchedRun) addKeys(names ...string) {
	w.t.Helper()
	store := keys.OpenStore(filepath.Join(w.RegkeyHome(), "keys"))
	for _, name := range names {
		key, err := store.Unlock(w.t.Context(), name, func(context.Context, keys.Record) (keys.Secret, error) {
			return keys.NewSecret([]byte(w.passphrase[name])), nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
		w.secrets = append(w.secrets, keySecret(w.t, "the key "+name, key))
	}
}

// finish searches everything.
func (w *watchedRun) finish(allowed ...allowance) {
	w.t.Helper()
	w.processes.end()
	w.hoard["processes"] = w.processes.all()
	w.hoard["the registry's log"] = []byte(w.registry.Log())
	w.hoard["the traffic"] = []byte(w.tap.All())
	if err := w.hoard.addFiles(w.Dir); err != nil {
		w.t.Fatal(err)
	}
	for place, least := range map[string]int{"processes": 10000, "the registry's log": 1000, "the traffic": 10000} {
		if len(w.hoard[place]) < least {
			w.t.Errorf("only %d bytes were kept of %s", len(w.hoard[place]), place)
		}
	}
	// Cores would hold everything, and lie where the program ran.
	for place := range w.hoard {
		if strings.HasPrefix(filepath.Base(place), "core") {
			w.t.Errorf("%s: a core was dumped", place)
		}
	}
	for _, fault := range judge(w.hoard.search(w.secrets), allowed) {
		w.t.Error(fault)
	}
	bytes := 0
	for _, data := range w.hoard {
		bytes += len(data)
	}
	w.t.Logf("searched %d bytes in %d places for %d secrets", bytes, len(w.hoard), len(w.secrets))
}

func (w *watchedRun) saw(programs ...string) {
	w.t.Helper()
	for _, program := range programs {
		if !w.processes.saw(program) {
			w.t.Errorf("%s was never seen to run", program)
		}
	}
}

// TestNothingSecretIsWritten takes keys in files through their life.
func TestNothingSecretIsWritten(t *testing.T) {
	needCargo(t)
	w := watch(t, newLab(t))
	w.protect("laptop", "wharf lantern 3 cobalt")
	w.protect("laptop-2", "nimble oyster 8 granite")
	w.terminal("", "regkey", "init", "laptop")
	w.run("regkey", "init", "ci", "--no-passphrase")
	w.invite("crates-team")
	w.terminal("", "regkey", "enroll", "--registry", "lab", "--key", "laptop", "--account", "crates-team")
	w.terminal("", "regkey", "enroll", "--registry", "lab", "--key", "ci", "--can", "publish,read")
	w.terminal(sample(t, w.Lab, "one", "0.1.0"), "cargo", "publish", "--registry", "lab")
	w.terminal("", "cargo", "yank", "--registry", "lab", "--version", "0.1.0", "one")
	w.terminal("", "regkey", "rotate", "--registry", "lab", "--key", "laptop", "--to", "laptop-2")
	w.terminal(sample(t, w.Lab, "one", "0.2.0"), "cargo", "publish", "--registry", "lab")
	w.job("one", "0.3.0")
	w.run("regkey", "export", "env", "--registry", "lab", "--key", "ci")
	w.run("regkey", "status", "--json")
	w.terminal("", "regkey", "status", "--online")
	w.terminal("", "regkey", "doctor", "--online")
	w.terminal("", "regkey", "revoke", "--registry", "lab", "ci", "--reason", "lost")
	w.addKeys("laptop", "laptop-2", "ci")
	w.saw("regkey", "cargo", "cargo-credential-regkey", "regkey-registry", "rustc")
	w.finish(
		allowance{"the key ci", "file home/.config/regkey/keys/ci.key"},
		allowance{"the invite code", "stdout of regkey-registry invite --data"},
	)
}

// job publishes with the key of a job, from its file.
func (w *watchedRun) job(name, version string) {
	w.t.Helper()
	before := w.Env
	w.Env = append(append([]string(nil), before...), "REGKEY_HOME="+filepath.Join(w.Dir, "none"),
		"REGKEY_KEY_FILE="+filepath.Join(w.RegkeyHome(), "keys", "ci.key"), "REGKEY_REGISTRY="+w.registry.Index, "REGKEY_CHALLENGE=1")
	w.run("cargo", "publish", "--registry", "lab", "--manifest-path", filepath.Join(sample(w.t, w.Lab, name, version), "Cargo.toml"))
	w.Env = before
}

// TestNothingSecretOfTokensIsWritten does the same with a key in a token.
func TestNothingSecretOfTokensIsWritten(t *testing.T) {
	needCargo(t)
	h := newHolder(t, "name=yk1,serial=12345678,firmware=5.7.4")
	w := watch(t, h.Lab)
	w.pin = "zq7Kw2Xv"
	const puk = "Jr5mT8bn"
	w.secrets = append(w.secrets, newSecret(t, "the PIN", []byte(w.pin)), newSecret(t, "the PUK", []byte(puk)))
	before := h.Env
	h.Env = append(append([]string(nil), before...),
		"REGKEY_PUK_FILE="+h.write(t, "puk", oldPUK),
		"REGKEY_NEW_PIN_FILE="+h.write(t, "new-pin", w.pin), "REGKEY_NEW_PUK_FILE="+h.write(t, "new-puk", puk))
	w.run("regkey", "hardware", "setup", "--serial", "12345678")
	// From now on a person types it.
	h.Env = append(append([]string(nil), before...), "REGKEY_PIN_FILE=")
	w.terminal("", "regkey", "init", "yk", "--hardware")
	w.invite("crates-team")
	w.terminal("", "regkey", "enroll", "--registry", "lab", "--key", "yk", "--account", "crates-team")
	w.terminal(sample(t, h.Lab, "one", "0.1.0"), "cargo", "publish", "--registry", "lab")
	w.run("regkey", "hardware", "list", "--json")
	w.terminal("", "regkey", "revoke", "--registry", "lab", "yk", "--reason", "lost", "--force-last")
	w.addKeys("yk-read")
	w.saw("regkey-hardware", "cargo", "cargo-credential-regkey", "regkey-registry")
	w.finish(
		allowance{"the key yk-read", "file home/.config/regkey/keys/yk-read.key"},
		allowance{"the invite code", "stdout of regkey-registry invite --data"},
		allowance{"the PIN", "file new-pin"},
		allowance{"the PUK", "file new-puk"},
	)
}
