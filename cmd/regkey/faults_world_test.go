// A world for the fault harness: a person's machines, and two real registries that all worlds share.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/faults"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registry/storage"
	"github.com/cargo-regkey/regkey/token"
)

// A faultLab has the registries, one and two, as the hosts one.example and two.example. The second one wants a
// token for reading, too. The first one is to be found at new.example as well, as if it had moved there. Each world has an account of its own there.
type faultLab struct {
	t      *testing.T
	dir    string
	served map[string]*registry.Server
	invite map[string]*registry.Operator
	worlds atomic.Int32
	// newToken is a hardware token that comes from the shop; nil: there are none.
	newToken func() heldToken
}

// indexOf is the index URL of a registry of the lab.
func indexOf(host string) string { return "sparse+https://" + host + ".example/index/" }

func newFaultLab(t *testing.T) *faultLab {
	t.Helper()
	dir, err := os.MkdirTemp(faults.Folder(), "regkey-faults-")
	if err != nil {
		t.Fatal(err)
	}
	l := &faultLab{t: t, dir: dir, served: map[string]*registry.Server{}, invite: map[string]*registry.Operator{}}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config := registry.Config{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, host := range []string{"one", "two"} {
		db, err := storage.Open(context.Background(), filepath.Join(dir, host))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		config.Storage, config.AuthRequired = db, host == "two"
		l.serve(host, config)
		l.invite[host] = &registry.Operator{Storage: db, Now: time.Now}
		if host == "one" {
			config.Former = []string{indexOf(host)}
			l.serve("new", config)
			config.Former = nil
		}
	}
	return l
}

func (l *faultLab) serve(host string, config registry.Config) {
	l.t.Helper()
	config.URL = "https://" + host + ".example"
	s, err := registry.Open(context.Background(), config)
	if err != nil {
		l.t.Fatal(err)
	}
	l.served[host+".example"] = s
}

// A world is one person with a fresh account. Its machines are named; each has a home, and cargo's.
type world struct {
	lab      *faultLab
	number   int32
	dir      string
	account  string
	keychain *memoryKeychain
	code     string // what the preparations leave for the command to name
	silent   string // a host whose registry gets nothing and answers nothing of use
	gone     string // a host where no registry is any more
	environ  map[string]string
	token    heldToken // nil: there is none
	ends     []func()
	said     strings.Builder
	runs     int // how many commands were run, each a second later
	sent     sentKeysets
}

// A heldToken is a hardware token that the person has.
type heldToken interface {
	// plug has it at the machine, and the run see what is asked of it, until end is called.
	plug(run *faults.Run) (end func())
	// slots tells what it holds.
	slots() string
}

func (l *faultLab) world() (*world, error) {
	n := l.worlds.Add(1)
	w := &world{lab: l, number: n, dir: filepath.Join(l.dir, fmt.Sprint("world", n)), account: fmt.Sprintf("team-%016x", n), keychain: newMemoryKeychain(), environ: map[string]string{}}
	w.sent.texts = map[string]string{}
	return w, os.MkdirAll(filepath.Join(w.dir, "work"), 0o700)
}

// end forgets the world's files, and stops what it has started.
func (w *world) end() {
	for _, end := range w.ends {
		end()
	}
	_ = os.RemoveAll(w.dir)
}

// ServeHTTP has the registry answer that the request's host names. Each world comes from an address of
// its own, as failures are counted by address.
func (w *world) ServeHTTP(response http.ResponseWriter, r *http.Request) {
	r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:4711", w.number>>16, w.number>>8&255, w.number&255)
	if r.Host == w.gone || r.Host == w.silent && r.Method == http.MethodPost {
		http.Error(response, "no registry behind this", http.StatusBadGateway)
		return
	}
	w.lab.served[r.Host].ServeHTTP(response, r)
}

// A command is one line that a person types at one of their machines.
type command struct {
	machine string
	stdin   string
	args    []string
	exit    int // what it ends with where nothing goes wrong
}

func noFaults() *faults.Run { return faults.Record() }

func at(machine string, args ...string) command { return command{machine: machine, args: args} }

func (w *world) home(machine string) string { return filepath.Join(w.dir, machine, "regkey") }

// run is one run of regkey at which the calls go through run.
func (w *world) run(run *faults.Run, c command) int {
	w.runs++
	defer run.Files(w.dir)()
	stdin := filepath.Join(w.lab.dir, fmt.Sprint("stdin", w.number))
	if err := os.WriteFile(stdin, []byte(c.stdin), 0o600); err != nil {
		panic(err)
	}
	in, err := os.Open(stdin)
	if err != nil {
		panic(err)
	}
	defer func() { _, _ = in.Close(), os.Remove(stdin) }()
	a, end := w.app(c.machine, run)
	defer end()
	a.stdin = in
	fmt.Fprintf(&w.said, "%s$ regkey %s\n", c.machine, strings.Join(c.args, " "))
	exit := a.run(context.Background(), append([]string{"regkey"}, c.args...))
	fmt.Fprintf(&w.said, "[exit code %d]\n", exit)
	return exit
}

// app is regkey at a machine of the world, until end is called.
func (w *world) app(machine string, run *faults.Run) (a *app, end func()) {
	root := filepath.Join(w.dir, machine)
	a = newApp()
	a.stdout, a.stderr, a.terminal = &w.said, &w.said, false
	later := time.Duration(w.runs) * time.Second
	a.now = func() time.Time { return time.Now().Add(later) }
	a.getenv = func(name string) string { return w.environ[name] }
	a.home = func() (string, error) { return w.home(machine), nil }
	a.environment = func() (cargo.Environment, error) {
		return cargo.Environment{Dir: filepath.Join(w.dir, "work"), UserHome: root, Environ: []string{"CARGO_HOME=" + filepath.Join(root, "cargo")}}, nil
	}
	a.executable = func() (string, error) { return filepath.Join(programs, "regkey"), nil }
	a.keychain = watchedKeychain{run.Keychain(w.keychain)}
	a.reach.Transport = sending{run.Server(w), &w.sent}
	a.reach.Wait = func(context.Context, time.Duration) error { return nil }
	a.signing = run.Signer
	a.plugLimit = time.Nanosecond
	if w.token == nil {
		return a, func() {}
	}
	return a, w.token.plug(run)
}

// must runs a command of the preparations.
func (w *world) must(c command) error {
	if exit := w.run(faults.Record(), c); exit != c.exit {
		return fmt.Errorf("preparing: regkey %q: exit code %d instead of %d\n%s", c.args, exit, c.exit, w.said.String())
	}
	return nil
}

// inviteTo is what an operator hands out.
func (w *world) inviteTo(host string) (string, error) {
	code, _, err := w.lab.invite[host].Invite(context.Background(), w.account, time.Hour)
	return string(code.Reveal()), err
}

// watchedKeychain is always there.
type watchedKeychain struct{ keys.SystemKeychain }

func (watchedKeychain) Available(context.Context) error { return nil }

// memoryKeychain is a keychain in memory.
type memoryKeychain struct{ items map[string]string }

func newMemoryKeychain() *memoryKeychain { return &memoryKeychain{map[string]string{}} }

func (k *memoryKeychain) Store(_ context.Context, id string, secret keys.Secret) error {
	k.items[id] = string(secret.Reveal())
	return nil
}

func (k *memoryKeychain) Fetch(_ context.Context, id string) (keys.Secret, error) {
	text, found := k.items[id]
	if !found {
		return keys.Secret{}, fmt.Errorf("no item %s: %w", id, fs.ErrNotExist)
	}
	return keys.NewSecret([]byte(text)), nil
}

func (k *memoryKeychain) Delete(_ context.Context, id string) error {
	if _, found := k.items[id]; !found {
		return fmt.Errorf("no item %s: %w", id, fs.ErrNotExist)
	}
	delete(k.items, id)
	return nil
}

// tree is what lies in the world's folders, without what differs from world to world: every file's name, and
// the whole of cargo's configuration. So a file that is left over, or is missing, shows.
func (w *world) tree() (string, error) {
	var all []string
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(w.dir, path)
		if err != nil {
			return err
		}
		line := faults.Normal(filepath.ToSlash(name))
		if filepath.Base(filepath.Dir(path)) == "cargo" {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += "\n" + string(text)
		}
		all = append(all, line)
		return nil
	})
	slices.Sort(all)
	all = append(all, fmt.Sprintf("%d items in the keychain", len(w.keychain.items)))
	if w.token != nil {
		all = append(all, w.token.slots())
	}
	return strings.Join(all, "\n"), err
}

var moments = regexp.MustCompile(`[0-9]{4}-[0-9T:-]+Z`)

// trusted says, for each registry of each machine, what this machine has pinned, without what differs from
// world to world, and fails unless that is what the registry has.
func (w *world) trusted(machine string) (string, error) {
	all, err := enroll.ListEnrolments(w.home(machine))
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, e := range all {
		if e.Manual {
			fmt.Fprintf(&text, "%s takes keys by hand, and %s as %s signs\n", e.Index, e.Key, e.Subject)
			continue
		}
		state := enroll.OpenState(w.home(machine), e.Index, e.Account)
		k, err := state.Keyset()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "%s signs with %s, reads with %s\n", e.Index, e.Key, e.ReadKey)
		var lines []string
		for line := range strings.Lines(string(k.Text)) {
			if strings.HasPrefix(line, "key:") || strings.HasPrefix(line, "revoked:") || strings.HasPrefix(line, "version:") {
				lines = append(lines, moments.ReplaceAllString(faults.Normal(line), "…"))
			}
		}
		slices.Sort(lines) // keys are in the order of ids, which differ
		text.WriteString(strings.Join(lines, ""))
		revocations, err := state.Revocations()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "%d revocations\n", len(revocations))
		note, _, err := w.lifecycle(machine, e).Registry.Latest(context.Background(), e.Account)
		if err != nil {
			return "", err
		}
		if !bytes.Equal(note, k.Note) {
			return "", fmt.Errorf("pinned is version %d, and the registry has another:\n%s", k.Version, note)
		}
	}
	return text.String(), nil
}

// lifecycle reaches the world's registry without faults.
func (w *world) lifecycle(machine string, e *enroll.Enrolment) *enroll.Lifecycle {
	a := newApp()
	a.keychain, a.reach.Transport = watchedKeychain{w.keychain}, noFaults().Server(w)
	life, _ := a.lifecycleOf(w.home(machine), e)
	return life
}

// accepted reports whether a registry takes a token that the key has signed for a change.
func (w *world) accepted(machine, host, key string) error {
	a, end := w.app(machine, noFaults())
	defer end()
	defer a.close()
	store := a.store(w.home(machine))
	signer, err := a.unlock(context.Background(), store, key)
	if errors.Is(err, keys.ErrWrongPassphrase) { // it may have been changed already
		a.getenv = func(string) string { return w.environ[envNewPassphraseFile] }
		signer, err = a.unlock(context.Background(), store, key)
	}
	if err != nil {
		return err
	}
	text, err := token.Mint(context.Background(), signer, token.Request{Index: indexOf(host), Operation: token.Yank, Name: "none", Version: "1.0.0"}, time.Now())
	if err != nil {
		return err
	}
	r := httptest.NewRequest(http.MethodDelete, "https://"+host+".example/api/v1/crates/none/1.0.0/yank", nil)
	r.Header.Set("Authorization", text)
	recorder := httptest.NewRecorder()
	w.ServeHTTP(recorder, r)
	// The token is judged before it is found out that there is no such crate.
	if recorder.Code != http.StatusNotFound {
		return fmt.Errorf("a token of %s is answered with %d %s", key, recorder.Code, recorder.Body)
	}
	return nil
}

// anyKeyWorks reports whether some key of the machine still can publish, and some key manages, the same or another one:
// the registry's keyset, whatever the machine knows of it, lets it, and takes its tokens.
func (w *world) anyKeyWorks(machine, host string) error {
	records, err := keys.OpenStore(filepath.Join(w.home(machine), "keys")).List()
	if err != nil {
		return err
	}
	note, _, err := w.lifecycle(machine, &enroll.Enrolment{Index: indexOf(host), Account: w.account}).Registry.Latest(context.Background(), w.account)
	var stands *enroll.SignedKeyset
	if err == nil {
		stands, err = enroll.ParseSignedKeyset(note)
	}
	if err != nil && host == "one" { // the other one shows keysets to nobody without a token
		return err
	}
	works, manages := 0, 0
	for _, record := range records {
		if err := w.accepted(machine, host, record.Name); err != nil {
			continue
		}
		works++
		if stands == nil {
			continue
		}
		if entry, listed := stands.Entry(record.Public.ID()); listed && entry.Can.Has(enroll.Manage) {
			manages++
		}
	}
	if works == 0 || stands != nil && manages == 0 {
		return fmt.Errorf("of %d keys %d work at %s, and %d manage", len(records), works, host, manages)
	}
	return nil
}

// managed reports whether, wherever the machine is enrolled, the registry takes a token of the key that signs
// there, and one of a key that manages.
func (w *world) managed(machine string) error {
	all, err := enroll.ListEnrolments(w.home(machine))
	if err != nil {
		return err
	}
	store := keys.OpenStore(filepath.Join(w.home(machine), "keys"))
	for _, e := range all {
		if e.Manual {
			continue
		}
		host, _, _ := strings.Cut(strings.TrimPrefix(e.Index, "sparse+https://"), ".")
		if err := w.accepted(machine, host, e.Key); err != nil {
			return err
		}
		k, err := enroll.OpenState(w.home(machine), e.Index, e.Account).Keyset()
		if err != nil {
			return err
		}
		records, err := store.List()
		if err != nil {
			return err
		}
		manages := machine != "laptop" // other machines were let in without that
		for _, record := range records {
			entry, listed := k.Entry(record.Public.ID())
			manages = manages || listed && entry.Can.Has(enroll.Manage) && w.accepted(machine, host, record.Name) == nil
		}
		if !manages {
			return fmt.Errorf("no key that manages works at %s", host)
		}
	}
	return nil
}
