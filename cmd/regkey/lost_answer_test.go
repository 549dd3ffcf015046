// A registry that accepts a change and whose answer gets lost: the same command completes it, once.

package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/internal/lab"
)

// unreliable is the real registry behind something that, while it drops, forwards keysets and lets
// nobody hear what became of them.
type unreliable struct {
	index string
	drops atomic.Bool
	// swallows has keysets not even forwarded; meanwhile, if set, runs once before the next one is.
	swallows  atomic.Bool
	meanwhile atomic.Pointer[func()]
	posted    atomic.Pointer[[]byte] // the last keyset that came
	// breaks has every document answered with a 500, whatever became of it.
	breaks atomic.Bool
	silent atomic.Bool // nothing is answered, and nothing comes through
	blind  atomic.Bool // nothing about keysets is
}

func startUnreliable(t *testing.T, data string) *unreliable {
	t.Helper()
	u := &unreliable{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := "http://" + listener.Addr().String()
	behind, release, err := lab.Reserve() // where --url is given the program does not tell its port
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	cmd := exec.Command(filepath.Join(programs, "regkey-registry"), "serve", "--listen", behind, "--data", data, "--url", front)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	var first struct {
		Index string `json:"index"`
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &first); err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: behind})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u.silent.Load() || u.blind.Load() && strings.Contains(r.URL.Path, "/keysets") {
			panic(http.ErrAbortHandler)
		}
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/keysets") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			u.posted.Store(&body)
			if do := u.meanwhile.Swap(nil); do != nil {
				(*do)()
			}
			if u.drops.Load() {
				proxy.ServeHTTP(httptest.NewRecorder(), r)
			}
			if u.drops.Load() || u.swallows.Load() {
				panic(http.ErrAbortHandler)
			}
		}
		if r.Method == http.MethodPost && u.breaks.Load() {
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			http.Error(w, "broken", http.StatusInternalServerError)
			return
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	u.index = first.Index
	return u
}

// user runs regkey in a home of its own, without a terminal.
type user struct {
	t       *testing.T
	environ []string
}

func (u user) run(stdin string, args ...string) (stdout string, code int) {
	u.t.Helper()
	stdout, _, code = u.talk(stdin, args...)
	return stdout, code
}

// talk is run, and what went to standard error.
func (u user) talk(stdin string, args ...string) (stdout, stderr string, code int) {
	u.t.Helper()
	cmd := exec.Command("regkey", args...)
	cmd.Env, cmd.Stdin = u.environ, strings.NewReader(stdin)
	var out, talk strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	if cmd.ProcessState == nil {
		u.t.Fatal(err)
	}
	u.t.Logf("regkey %q: %v\n%s%s", args, err, out.String(), talk.String())
	return out.String(), talk.String(), cmd.ProcessState.ExitCode()
}

func TestLostAnswersAreCompleted(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	registry := startUnreliable(t, data)
	invite := exec.Command(filepath.Join(programs, "regkey-registry"), "invite", "--data", data, "team")
	code, err := invite.Output()
	if err != nil {
		t.Fatal(err)
	}
	u := user{t, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "REGKEY_HOME=" + dir + "/home", "CARGO_HOME=" + dir + "/cargo"}}
	u.run("", "init", "laptop", "--no-passphrase")

	for _, step := range []struct {
		stdin string
		args  []string
		want  string
	}{
		{string(code), []string{"enroll", "--registry", registry.index, "--name", "lab", "--account", "team", "--code-stdin"}, "version 1"},
		{"", []string{"rotate", "--registry", "lab", "--yes"}, "rotated                 lab to laptop-2"},
		{"", []string{"rotate", "--registry", "lab", "--key", "laptop-2", "--to", "desk", "--yes"}, "version 3"},
	} {
		registry.drops.Store(true)
		if out, code := u.run(step.stdin, step.args...); code != exitLeft || out != "" {
			t.Fatalf("%q with the answer lost: exit code %d, %q", step.args, code, out)
		}
		if out, _ := u.run("", "status", "--json"); strings.Contains(out, `"index"`) && !strings.Contains(out, `"pending": true`) {
			t.Errorf("status does not say that a change waits: %s", out)
		}
		registry.drops.Store(false)
		out, code := u.run(step.stdin, step.args...)
		if code != 0 || !strings.Contains(out, step.want) {
			t.Fatalf("%q again: exit code %d, %q lacks %q", step.args, code, out, step.want)
		}
	}
	out, code2 := u.run("", "status", "--online", "--json")
	if code2 != 0 || !strings.Contains(out, `"version": 3`) || strings.Contains(out, `"laptop-3"`) || !strings.Contains(out, `"key": "desk"`) {
		t.Errorf("exit code %d, %s", code2, out)
	}
}

// A registry that can't be asked is none that has reset an account: the pin stays.
func TestNothingIsSetAsideUnasked(t *testing.T) {
	u, registry := enrolledUser(t)
	registry.blind.Store(true)
	if _, exit := u.run("AAAA", "enroll", "--registry", "lab", "--after-reset", "--code-stdin"); exit != exitFailed {
		t.Errorf("exit code %d", exit)
	}
	registry.blind.Store(false)
	if out, exit := u.run("", "keyset", "verify", "--registry", "lab"); exit != 0 || !strings.Contains(out, "versions     1") {
		t.Errorf("the pin is gone: exit code %d, %s", exit, out)
	}
}
