// Real cargo publishes to a loopback registry made of this package alone.

package crate

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// loopback is a registry without accounts, tokens or storage: it judges what cargo sends with
// this package and serves the index lines that come out. Every crate that nobody published, but
// that cargo asks for while it resolves, is there in a few versions.
type loopback struct {
	t         *testing.T
	url       string
	folder    string
	expected  map[string]bool // crates that exist only once published
	mu        sync.Mutex
	published map[string]*Release
	refusals  []error
}

func (l *loopback) origin() Origin { return Origin{Index: l.index("lab")} }

func (l *loopback) index(registry string) string { return "sparse+" + l.url + "/" + registry + "/" }

func (l *loopback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := path.Base(r.URL.Path)
	switch {
	case r.Method == http.MethodPut && r.URL.Path == "/api/v1/crates/new":
		l.publish(w, r)
	case r.Method != http.MethodGet:
		http.NotFound(w, r)
	case name == "config.json":
		fmt.Fprintf(w, `{"dl":"%s/dl","api":"%s"}`, l.url, l.url)
	case l.published[name] != nil:
		line, err := l.published[name].Entry.Line()
		if err != nil {
			l.t.Error(err)
		}
		w.Write(IndexFile([][]byte{line}))
	case l.expected[name]:
		http.NotFound(w, r)
	default:
		w.Write(l.invent(name))
	}
}

// invent makes up a crate that something depends on.
func (l *loopback) invent(name string) []byte {
	name = strings.Replace(name, "upper", "Upper", 1)
	var lines [][]byte
	for _, version := range []string{"0.5.1", "1.2.3", "2.0.0-beta.1"} {
		e := Entry{Name: name, Version: version, Checksum: strings.Repeat("0", 64), Features: map[string][]string{"std": nil, "derive": nil, "x": nil}}
		line, err := e.Line()
		if err != nil {
			l.t.Error(err)
		}
		lines = append(lines, line)
	}
	return IndexFile(lines)
}

func (l *loopback) publish(w http.ResponseWriter, r *http.Request) {
	upload, err := Receive(l.folder, r.Body, r.ContentLength, 0)
	if err != nil {
		l.refuse(w, err)
		return
	}
	defer upload.Discard()
	release, err := upload.Inspect(l.origin(), ArchiveLimits{})
	if err != nil {
		l.refuse(w, err)
		return
	}
	l.published[release.Entry.Name] = release
	w.Write([]byte("{}"))
}

func (l *loopback) refuse(w http.ResponseWriter, err error) {
	l.refusals = append(l.refusals, err)
	w.WriteHeader(http.StatusBadRequest)
}

// cargoIn runs cargo in a folder, with an own home that names the loopback's registries.
func (l *loopback) cargoIn(cargo, home, folder string, args ...string) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, cargo, args...)
	command.Dir = folder
	command.Env = append(withoutCargo(os.Environ()), "CARGO_HOME="+home, "CARGO_REGISTRIES_LAB_TOKEN=any", "CARGO_TERM_COLOR=never", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	out, err := command.CombinedOutput()
	if err != nil {
		l.t.Fatalf("cargo %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestCargoPublish(t *testing.T) {
	cargo := findCargo(t)
	l := &loopback{t: t, folder: t.TempDir(), published: map[string]*Release{}, expected: map[string]bool{"helper": true, "everything": true}}
	server := httptest.NewServer(l)
	defer server.Close()
	l.url = server.URL
	home, work := t.TempDir(), unpackWorkspace(t)
	config := fmt.Sprintf("[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = %q\n[registries.lab]\nindex = %q\n[registries.other]\nindex = %q\n",
		l.index("mirror"), l.index("lab"), l.index("other"))
	if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"helper", "everything"} {
		// "Published" means that cargo found the version in the index, from the line that we made.
		out := l.cargoIn(cargo, home, filepath.Join(work, name), "publish", "--registry", "lab", "--no-verify", "--allow-dirty")
		if !strings.Contains(out, "Published") {
			t.Errorf("cargo did not find the version in the index:\n%s", out)
		}
	}
	for _, err := range l.refusals {
		t.Errorf("refused what cargo sent: %v", err)
	}
	release := l.published["everything"]
	if release == nil {
		t.Fatal("nothing was published")
	}
	if got := len(release.Entry.Dependencies); got != 28 {
		t.Errorf("the entry has %d dependencies; want 28", got)
	}
	isEmpty(t, l.folder)
	l.cargoIn(cargo, home, filepath.Join(work, "consumer"), "generate-lockfile")
	lock, err := os.ReadFile(filepath.Join(work, "consumer", "Cargo.lock"))
	if err != nil {
		t.Fatal(err)
	}
	// "renamed", which is "actual" in its registry, is optional and the consumer does not ask for it.
	locked := map[string]bool{"everything": true, "Upper": true, "wsdep": true, "lab-dep": true, "unix-dep": true, "actual": false}
	for name, want := range locked {
		if got := strings.Contains(string(lock), fmt.Sprintf("name = %q\n", name)); got != want {
			t.Errorf("that the consumer's lock file holds %s is %v; want %v", name, got, want)
		}
	}
}

// unpackWorkspace writes the test package to a new folder.
func unpackWorkspace(t *testing.T) string {
	t.Helper()
	parts, err := txtar.ParseFile(filepath.Join("testdata", "everything.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	if len(parts.Files) == 0 {
		t.Fatal("everything.txtar holds no files")
	}
	folder := t.TempDir()
	for _, f := range parts.Files {
		path := filepath.Join(folder, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}
