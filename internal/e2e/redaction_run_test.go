//go:build linux

// A run of programs of which every byte is kept: what they write, what they show of themselves, and
// what crosses the network.

package e2e

import (
	"bytes"
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
		{regexp.MustCompile(`(\d)\. a passphrase[^:]*:[^:]*:[^:]*Enter a number between \d and \d:`), func(number string) string { return number }},
		{regexp.MustCompile(`[Pp]assphrase (?:for the new|of) key "?([\w-]+)"?:`), passphrase},
		{regexp.MustCompile(`The same again:`), say(&w.typed)},
		{regexp.MustCompile(`Invite code( of [\w-]+:| \(leave it empty)`), say(&w.code)},
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
	for place, least := range map[string]int{"processes": 5000, "the registry's log": 500, "the traffic": 5000} {
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
	size := 0
	for _, data := range w.hoard {
		size += len(data)
	}
	w.t.Logf("searched %d bytes in %d places for %d secrets", size, len(w.hoard), len(w.secrets))
}

// saw wants these programs among those that were looked at, in /proc or by strace: one that lives for some
// milliseconds may be gone between two looks.
func (w *watchedRun) saw(programs ...string) {
	w.t.Helper()
	for _, program := range programs {
		if !w.processes.saw(program) && !bytes.Contains(w.hoard["starts"], []byte("/"+program+`", [`)) {
			w.t.Errorf("%s was never seen to run", program)
		}
	}
}

// startAgent runs an agent that tells all it does, and that still holds that when it is stopped.
func (w *watchedRun) startAgent(that string) (stop func()) {
	w.t.Helper()
	w.Env = append(w.Env, "REGKEY_AGENT=")
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	c := w.Command(ctx, "", "regkey", "agent", "start", "--foreground")
	log, err := os.Create(filepath.Join(w.Dir, "agent.log"))
	if err != nil {
		w.t.Fatal(err)
	}
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	w.t.Cleanup(func() { cancel(); _ = log.Close() })
	for !strings.Contains(w.run("regkey", "agent", "status", "--json"), `"running": true`) {
		select {
		case err := <-ended:
			w.t.Fatalf("the agent ended: %v\n%s", err, read(w.t, log.Name()))
		default:
		}
	}
	return func() {
		w.t.Helper()
		contains(w.t, "the agent's status", w.run("regkey", "agent", "status"), that)
		w.run("regkey", "agent", "stop")
		<-ended
		if !strings.Contains(read(w.t, log.Name()), "publish") {
			w.t.Errorf("the agent's log tells of no publish:\n%s", read(w.t, log.Name()))
		}
	}
}
