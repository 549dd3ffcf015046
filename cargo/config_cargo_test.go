// Runs the real cargo against a small registry and a provider that records how it was asked.

package cargo_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/internal/realcargo"
)

// recordTo names the file to which the recording provider writes; it goes through cargo's environment.
const recordTo = "REGKEY_TEST_RECORD"

// asked is how the provider was started.
type asked struct {
	Program string // the path by which cargo started it
	Args    []string
	Index   string
}

// The test program itself is the provider, under other names, so that nothing else must be built.
func init() {
	record := os.Getenv(recordTo)
	if record == "" || len(os.Args) < 2 || os.Args[1] != "--cargo-plugin" {
		return
	}
	if err := serveRecorder(record); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serveRecorder(record string) error {
	fmt.Println(`{"v":[1]}`)
	var request struct {
		Registry struct {
			Index string `json:"index-url"`
		} `json:"registry"`
		Args []string `json:"args"`
	}
	// Cargo keeps the pipe open, so the end of the line ends the request.
	text, err := bufio.NewReader(os.Stdin).ReadBytes('\n')
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &request); err != nil {
		return err
	}
	line, err := json.Marshal(asked{Program: os.Args[0], Args: request.Args, Index: request.Registry.Index})
	if err != nil {
		return err
	}
	if err := os.WriteFile(record, append(line, '\n'), 0o600); err != nil {
		return err
	}
	fmt.Println(`{"Ok":{"kind":"get","token":"recorded","cache":"never","operation_independent":false}}`)
	return nil
}

// findCargo returns a cargo whose behaviour this package describes, or skips the test and says why.
var findCargo = sync.OnceValues(func() (string, string) {
	path, said, err := realcargo.Find()
	if err != nil {
		return "", err.Error()
	}
	version := regexp.MustCompile(`^cargo 1\.(\d+)\.`).FindStringSubmatch(said)
	if version == nil {
		return "", fmt.Sprintf("cargo --version says %q", said)
	}
	if minor, _ := strconv.Atoi(version[1]); minor < 95 {
		return "", fmt.Sprintf("cargo is 1.%d, older than the 1.95 that is described", minor)
	}
	return path, ""
})

// A realCargo is the program and a registry on this machine that answers every index below it.
type realCargo struct {
	path string
	host string // of the registry
}

func startCargo(t *testing.T) *realCargo {
	t.Helper()
	path, missing := findCargo()
	if missing != "" {
		t.Skip("not compared with the real cargo: " + missing)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("not compared with the real cargo: no loopback: %v", err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/config.json"):
			fmt.Fprintf(w, `{"dl":"http://%s/dl","api":"http://%s"}`, r.Host, r.Host)
		case strings.HasSuffix(r.URL.Path, "/owners"):
			fmt.Fprint(w, `{"users":[]}`)
		default:
			http.NotFound(w, r)
		}
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return &realCargo{path: path, host: listener.Addr().String()}
}

// ownerList runs an operation that needs a token, and says how the provider was asked; nil if it was not.
func (c *realCargo) ownerList(t *testing.T, dir, registry string, environ []string) (*asked, string, error) {
	t.Helper()
	record := filepath.Join(t.TempDir(), "asked.json")
	cmd := exec.Command(c.path, "owner", "--list", "sample", "--registry", registry)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "CARGO_NET_RETRY=0", recordTo + "=" + record}, environ...)
	rustup := os.Getenv("RUSTUP_HOME")
	if home, err := os.UserHomeDir(); rustup == "" && err == nil {
		rustup = filepath.Join(home, ".rustup") // the scenario's HOME is another
	}
	cmd.Env = append(cmd.Env, "RUSTUP_HOME="+rustup)
	out, runErr := cmd.CombinedOutput()
	text, err := os.ReadFile(record)
	if err != nil {
		return nil, string(out), runErr
	}
	var a asked
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	return &a, string(out), runErr
}

// linkProviders puts the recording provider into dir under several names.
func linkProviders(t *testing.T, dir string, names ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			t.Skipf("not compared with the real cargo: %v", err)
		}
	}
}
