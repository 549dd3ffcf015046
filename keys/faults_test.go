// A full disk: the test runs itself again under a limit on file size, since the tests may run as
// root, whom no permission stops.

//go:build linux || darwin

package keys_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

// faultVariable holds "BYTES DIR" for the process that runFault serves.
const faultVariable = "REGKEY_TEST_FILE_LIMIT"

// runFault creates a key in a process that can't write files longer than some bytes. It exits 0 if
// Create failed.
func runFault(fault string) int {
	var limit uint64
	var dir string
	if _, err := fmt.Sscan(fault, &limit, &dir); err != nil {
		return 2
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		return 3
	}
	key, err := keys.NewEd25519Key(keys.NewSecret(make([]byte, 32)))
	if err != nil {
		return 4
	}
	_, err = create(keys.OpenStore(dir), "k", key, "")
	fmt.Println(err)
	if err == nil {
		return 1
	}
	return 0
}

// TestFullDisk fails in the secret file (97 bytes), then in the record after it: neither leaves anything.
func TestFullDisk(t *testing.T) {
	for _, limit := range []int{0, 50, 96, 97, 150} {
		dir := filepath.Join(t.TempDir(), "keys")
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", faultVariable, limit, dir))
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%d bytes: %v\n%s", limit, err, out)
		}
		wantFile := "k.key"
		if limit >= 97 {
			wantFile = "k.toml"
		}
		if !strings.Contains(string(out), wantFile) || !strings.Contains(string(out), "too large") {
			t.Errorf("%d bytes: failed elsewhere: %s", limit, out)
		}
		if files := snapshot(t, dir); len(files) != 1 {
			t.Errorf("%d bytes: left %v", limit, files)
		}
		mustCreate(t, keys.OpenStore(dir), "k", generate(t, keys.Ed25519), "")
	}
}
