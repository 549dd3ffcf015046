// Runs testdata/script: regkey as people and scripts run it, against the real registry.

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cargo-regkey/regkey/internal/lab"
)

// programs is the folder with the programs, as they are installed: side by side. They are built
// without the race detector, under which a passphrase takes ten times as long.
var programs string

func TestMain(m *testing.M) { os.Exit(withPrograms(m)) }

func withPrograms(m *testing.M) int {
	dir, err := os.MkdirTemp("", "regkey-programs")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := lab.Build(context.Background(), dir); err != nil {
		panic(err)
	}
	programs = dir
	// Where no service is, unless a test starts one there: the library reads this once in the life of a process.
	if err := os.Setenv("PCSCLITE_CSOCK_NAME", filepath.Join(dir, "pcscd.comm")); err != nil {
		panic(err)
	}
	// Tests that want an agent say so: none is left behind by the others.
	if err := os.Setenv("REGKEY_AGENT", "off"); err != nil {
		panic(err)
	}
	if noHardware = lab.HardwareTools(context.Background()); noHardware == nil {
		fixtures = filepath.Join(dir, "fixtures")
		if err := lab.BuildTokens(context.Background(), fixtures); err != nil {
			panic(err)
		}
	} else {
		fmt.Fprintf(os.Stderr, "tests of hardware tokens are skipped: %v\n", noHardware)
	}
	if err := os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH")); err != nil {
		panic(err)
	}
	return m.Run()
}

func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("REGKEY_HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("CARGO_HOME", filepath.Join(e.WorkDir, "cargo"))
			e.Setenv("DATA", filepath.Join(e.WorkDir, "data"))
			e.Setenv("PROVIDER", filepath.Join(programs, "cargo-credential-regkey"))
			e.Setenv("TERM", "dumb")
			e.Setenv("REGKEY_AGENT", "off") // unless a script wants one
			e.Defer(func() { stopAgents(t, e.WorkDir) })
			return nil
		},
		Condition: func(condition string) (bool, error) {
			if condition != "hardware" {
				return false, fmt.Errorf("no condition %q", condition)
			}
			return noHardware == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"tokens":   plugTokens,
			"order":    orderTokens,
			"counters": countTries,
			"slots":    listSlots,

			"agent-holds":  holdKey,
			"agent-signs":  signByAgent,
			"copy-program": copyProgram,
			"exits":        exits,
			"registry":     startRegistry,
			"code":         inviteCode,
			"expand":       expand,
			"lines":        countLines,
			"member":       setMember,
			"copy-folder":  copyFolder,
			"ssh-agent":    startSSHAgent,
		},
	})
}

// exits N command… runs the command and wants exit code N.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("running %q: %v", args[1:], err)
	}
	if got != want {
		ts.Fatalf("%q: exit code %d instead of %d\n%s%s", args[1:], got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// registry [flags] serves $DATA until the script ends, and sets $INDEX and $URL. It calls cargo's
// name for it "lab". "registry stop" ends it, and the next one listens at its address, $LISTEN.
func startRegistry(ts *testscript.TestScript, _ bool, args []string) {
	if slices.Equal(args, []string{"stop"}) {
		stop, ok := registries.Load(ts)
		if !ok {
			ts.Fatalf("no registry runs")
		}
		stop.(func())()
		return
	}
	address := ts.Getenv("LISTEN")
	for address == "" || "http://"+address == ts.Getenv("URL") && ts.Getenv("LISTEN") == "" { // another one than before
		reserved, release, err := lab.Reserve() // nobody else is given it while no registry runs
		ts.Check(err)
		ts.Defer(release)
		address = reserved
	}
	cmd := exec.Command(filepath.Join(programs, "regkey-registry"), append([]string{"serve", "--data", ts.Getenv("DATA"), "--listen", address}, args...)...)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	ts.Defer(stop)
	registries.Store(ts, stop)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	ts.Check(err)
	var first struct {
		URL   string `json:"url"`
		Index string `json:"index"`
	}
	ts.Check(json.Unmarshal(line, &first))
	ts.Setenv("INDEX", first.Index)
	ts.Setenv("URL", first.URL)
	ts.Setenv("LISTEN", strings.TrimPrefix(first.URL, "http://"))
	ts.Check(os.MkdirAll(ts.Getenv("CARGO_HOME"), 0o755))
	config := filepath.Join(ts.Getenv("CARGO_HOME"), "config.toml")
	if _, err := os.Stat(config); err != nil {
		ts.Check(os.WriteFile(config, []byte("# mine\n[registries.lab]\nindex = \""+first.Index+"\"\n"), 0o644))
	}
}

// registries are what ends the servers of the scripts that run, side by side.
var registries sync.Map

// code ACCOUNT FILE has the operator make an invite code.
func inviteCode(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.Command(filepath.Join(programs, "regkey-registry"), "invite", "--data", ts.Getenv("DATA"), args[0])
	out, err := cmd.Output()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), out, 0o600))
}

// expand FILE puts the values of variables written as ${NAME} into a file.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		text := os.Expand(ts.ReadFile(file), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}

// lines N PATTERN wants N lines of stdout to match.
func countLines(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	if got := len(pattern.FindAllString(ts.ReadFile("stdout"), -1)); got != want {
		ts.Fatalf("%d lines match %q instead of %d:\n%s", got, args[1], want, ts.ReadFile("stdout"))
	}
}

// member FILE NAME VARIABLE sets the variable to a member of the JSON object in the file.
func setMember(ts *testscript.TestScript, _ bool, args []string) {
	var object map[string]jsontext.Value
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &object))
	var text string
	ts.Check(json.Unmarshal(object[args[1]], &text))
	if text == "" {
		ts.Fatalf("%s has no %s", args[0], args[1])
	}
	ts.Setenv(args[2], text)
}

// copy-folder FROM TO copies a folder with all that is in it. TO must not exist.
func copyFolder(ts *testscript.TestScript, _ bool, args []string) {
	to := ts.MkAbs(args[1])
	ts.Check(os.CopyFS(to, os.DirFS(ts.MkAbs(args[0]))))
	ts.Check(filepath.WalkDir(to, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600) // as regkey's files are, which no copy remembers
	}))
}
