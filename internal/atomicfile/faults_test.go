// A full disk: the test runs itself again under a limit on file size, since the tests may run as
// root, whom no permission stops.

//go:build linux || darwin

package atomicfile_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// faultVariable holds "write|create PATH" for the process that runFault serves.
const faultVariable = "REGKEY_TEST_FILE_LIMIT"

// runFault writes 100 bytes where only 50 fit. It exits 0 if that failed.
func runFault(fault string) int {
	var what, path string
	if _, err := fmt.Sscan(fault, &what, &path); err != nil {
		return 2
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 50, Max: 50}); err != nil {
		return 3
	}
	do := atomicfile.Write
	if what == "create" {
		do = atomicfile.Create
	}
	err := do(path, make([]byte, 100), 0o600)
	fmt.Println(err)
	if err == nil {
		return 1
	}
	return 0
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, name string }{{"write", "old"}, {"write", "new"}, {"create", "new"}} {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s", faultVariable, c.what, filepath.Join(dir, c.name)))
		if out, err := command.CombinedOutput(); err != nil || !strings.Contains(string(out), "too large") {
			t.Errorf("%v: %v: %s", c, err, out)
		}
		checkFolder(t, dir, "old", "old")
	}
}
