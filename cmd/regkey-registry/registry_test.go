// The program as an operator runs it: what each command prints where, what it refuses, and the server as a process.

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

// asProgram makes this test binary be the program.
const asProgram = "REGKEY_REGISTRY_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(start())
	}
	os.Exit(m.Run())
}

// run is one command line, in this process.
func run(t *testing.T, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	var out, err bytes.Buffer
	a := &app{stdout: &out, stderr: &err, now: time.Now}
	exit = a.run(t.Context(), append([]string{"regkey-registry"}, args...))
	return out.String(), err.String(), exit
}

// A process is a running server.
type process struct {
	command *exec.Cmd
	stderr  bytes.Buffer
	URL     string `json:"url"`
	Index   string `json:"index"`
}

func serve(t *testing.T, data string, args ...string) *process {
	t.Helper()
	p := &process{}
	p.command = exec.CommandContext(t.Context(), os.Args[0], append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data}, args...)...)
	p.command.Env = append(os.Environ(), asProgram+"=1")
	p.command.Stderr = &p.stderr
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, p, json.RejectUnknownMembers(true)) != nil {
		t.Fatalf("the first line is %q (%v); on standard error: %s", line, err, p.stderr.String())
	}
	return p
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.command.Wait(); err != nil {
		t.Errorf("stopping: %v; on standard error: %s", err, p.stderr.String())
	}
}

func TestServeAndOperate(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := serve(t, data)
	if !regexp.MustCompile(`^http://127\.0\.0\.1:\d+$`).MatchString(p.URL) || p.Index != "sparse+"+p.URL+"/index/" {
		t.Errorf("url %q, index %q", p.URL, p.Index)
	}
	response, err := http.Get(p.URL + "/index/config.json")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != 200 {
		t.Errorf("config.json: %d", response.StatusCode)
	}

	// While it serves: the code alone on standard output, flags after arguments.
	code, talk, exit := run(t, "invite", "crates-team", "--data", data, "--expires", "1h")
	if exit != 0 || !regexp.MustCompile(`^[A-Z2-7-]{30}\n$`).MatchString(code) || strings.Contains(talk, strings.TrimSpace(code)) {
		t.Errorf("invite: %d %q %q", exit, code, talk)
	}
	if _, err := enroll.InviteKey(keys.NewSecret([]byte(strings.TrimSpace(code)))); err != nil {
		t.Error(err)
	}
	out, _, exit := run(t, "accounts", "--data", data, "--json")
	var reports []accountReport
	if err := json.Unmarshal([]byte(out), &reports, json.RejectUnknownMembers(true)); err != nil || exit != 0 || len(reports) != 1 || reports[0].State != "invited" {
		t.Errorf("accounts --json: %d %s (%v)", exit, out, err)
	}
	if out, _, exit := run(t, "accounts", "--data", data); exit != 0 || !strings.Contains(out, "crates-team") {
		t.Errorf("accounts: %d %s", exit, out)
	}
	if out, _, exit := run(t, "keys", "--data", data, "--json"); exit != 0 || strings.TrimSpace(out) != "[]" {
		t.Errorf("keys --json: %d %q", exit, out)
	}
	if _, talk, exit := run(t, "serve", "--listen", "127.0.0.1:0", "--data", data); exit != exitRefused || !strings.Contains(talk, "another server") {
		t.Errorf("a second server: %d %s", exit, talk)
	}
	p.stop(t)
	if strings.Contains(p.stderr.String(), strings.TrimSpace(code)) {
		t.Error("the code is in the log")
	}
}

func TestServeWithURL(t *testing.T) {
	p := serve(t, t.TempDir(), "--url", "https://crates.example.com/", "--auth-required")
	defer p.stop(t)
	if p.URL != "https://crates.example.com" || p.Index != "sparse+https://crates.example.com/index/" {
		t.Errorf("url %q, index %q", p.URL, p.Index)
	}
}

// A server that was killed leaves a folder that serves again.
func TestServeAfterKill(t *testing.T) {
	data := t.TempDir()
	p := serve(t, data)
	if err := os.WriteFile(filepath.Join(data, "uploads", ".upload-left"), []byte("half a crate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.command.Wait()
	serve(t, data).stop(t)
	if left, err := os.ReadDir(filepath.Join(data, "uploads")); err != nil || len(left) != 0 {
		t.Errorf("uploads after a restart: %v, %v", left, err)
	}
}

func TestIdleMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a process's memory in /proc")
	}
	p := serve(t, t.TempDir())
	defer p.stop(t)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		t.Fatalf("no VmRSS in %s", status)
	}
	kilobytes, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("idle: %d kB", kilobytes)
	limit := 40 << 10
	if raceEnabled {
		limit *= 5 // the race detector's shadow memory
	}
	if kilobytes > limit {
		t.Errorf("an idle registry holds %d kB of memory", kilobytes)
	}
}

func TestRefusals(t *testing.T) {
	data := t.TempDir()
	serve(t, data).stop(t)
	missing := filepath.Join(t.TempDir(), "typo")
	for name, test := range map[string]struct {
		args []string
		exit int
		says string
	}{
		"unknown command":        {[]string{"frobnicate"}, exitUsage, `unknown command "frobnicate"`},
		"unknown flag":           {[]string{"accounts", "--frob"}, exitUsage, "unknown flag --frob"},
		"no account":             {[]string{"invite", "--data", data}, exitUsage, "ACCOUNT is missing"},
		"two accounts":           {[]string{"invite", "a", "b", "--data", data}, exitUsage, `unexpected argument "b"`},
		"no such folder":         {[]string{"invite", "a", "--data", missing}, exitRefused, "holds no registry"},
		"a bad account":          {[]string{"invite", "Bad_Name", "--data", data}, exitRefused, "regkey-registry: "},
		"a lifetime of nothing":  {[]string{"invite", "a", "--expires", "0s", "--data", data}, exitRefused, "could not be used"},
		"reset without --yes":    {[]string{"reset", "a", "--data", data}, exitUsage, "add --yes"},
		"reset of nobody":        {[]string{"reset", "a", "--yes", "--data", data}, exitRefused, `no account "a"`},
		"freeze of nobody":       {[]string{"freeze", "a", "--data", data}, exitRefused, `no account "a"`},
		"delete without --yes":   {[]string{"delete", "a", "1.0.0", "--data", data}, exitUsage, "add --yes"},
		"delete of nothing":      {[]string{"delete", "a", "1.0.0", "--yes", "--data", data}, exitRefused, "no version"},
		"published by no key":    {[]string{"published", "laptop", "--data", data}, exitUsage, "key id"},
		"serve on all addresses": {[]string{"serve", "--listen", "0.0.0.0:0", "--data", data}, exitUsage, "--url"},
		"serve with a bad URL":   {[]string{"serve", "--listen", "127.0.0.1:0", "--url", "crates.example.com", "--data", data}, exitUsage, "crates.example.com"},
		"serve something":        {[]string{"serve", "something", "--data", data}, exitUsage, "unexpected argument"},
	} {
		t.Run(name, func(t *testing.T) {
			out, talk, exit := run(t, test.args...)
			if exit != test.exit || !strings.Contains(talk, test.says) || out != "" {
				t.Errorf("exit %d, stdout %q, stderr %q", exit, out, talk)
			}
		})
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a mistyped --data began a registry")
	}
}

func TestFreezeAndReset(t *testing.T) {
	data := t.TempDir()
	serve(t, data).stop(t)
	if _, talk, exit := run(t, "invite", "team", "--data", data); exit != 0 {
		t.Fatal(talk)
	}
	state := func() string {
		out, _, _ := run(t, "accounts", "--json", "--data", data)
		var reports []accountReport
		if err := json.Unmarshal([]byte(out), &reports); err != nil || len(reports) != 1 {
			t.Fatalf("%s (%v)", out, err)
		}
		return reports[0].State
	}
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"freeze", "team"}, "frozen"}, {[]string{"freeze", "team", "--undo"}, "invited"}, {[]string{"reset", "team", "--yes"}, "no keys"},
		{[]string{"invite", "team"}, "invited"},
	} {
		if _, talk, exit := run(t, append(step.args, "--data", data)...); exit != 0 || state() != step.want {
			t.Errorf("%v: exit %d, state %s, %s", step.args, exit, state(), talk)
		}
	}
}

func TestHelp(t *testing.T) {
	out, talk, exit := run(t)
	if exit != 0 || talk != "" {
		t.Errorf("without arguments: %d %q", exit, talk)
	}
	for _, command := range (&app{}).program().Commands {
		if !strings.Contains(out, command.Name) {
			t.Errorf("the help lacks %s", command.Name)
		}
		out, talk, exit := run(t, command.Name, "--help")
		if exit != 0 || talk != "" || !strings.Contains(out, "   regkey-registry "+command.Name) || !strings.Contains(out, "--data") {
			t.Errorf("%s --help: %d %q, and no example or no options in:\n%s", command.Name, exit, talk, out)
		}
	}
}
