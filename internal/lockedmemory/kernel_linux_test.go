// What the kernel says of the pages: locked, not dumped, wiped on fork; and gone after a wipe.

package lockedmemory_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cargo-regkey/regkey/internal/lockedmemory"
)

const unlockableVariable = "REGKEY_TEST_UNLOCKABLE"

func TestMain(m *testing.M) {
	if os.Getenv(unlockableVariable) != "" {
		os.Exit(withoutLimit())
	}
	os.Exit(m.Run())
}

// mapping is what /proc/self/smaps says of the pages at address: the flags of proc_pid_smaps(5).
func mapping(t *testing.T, address uintptr) (flags []string) {
	t.Helper()
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skipf("no smaps to read: %v", err)
	}
	defer func() { _ = file.Close() }()
	inside := false
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var from, to uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &from, &to); n == 2 {
			inside = from <= address && address < to
		}
		if text, found := strings.CutPrefix(lines.Text(), "VmFlags:"); found && inside {
			return strings.Fields(text)
		}
	}
	return nil
}

func TestKernelFlags(t *testing.T) {
	s, err := lockedmemory.New([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Weakness() != nil {
		t.Skipf("no memory can be locked here: %v", s.Weakness())
	}
	var address uintptr
	_ = s.Use(func(secret []byte) error { address = uintptr(unsafe.Pointer(&secret[0])); return nil })
	flags := mapping(t, address)
	for flag, meaning := range map[string]string{"lo": "locked", "dd": "kept out of dumps", "wf": "wiped on fork"} {
		if !slices.Contains(flags, flag) {
			t.Errorf("the pages are not %s: %v", meaning, flags)
		}
	}
	s.Wipe()
	if flags := mapping(t, address); slices.Contains(flags, "wf") {
		t.Errorf("the pages are still there after the wipe: %v", flags)
	}
}

// TestWipedBytesAreGone reads the process's memory from the outside, where the secret was.
func TestWipedBytesAreGone(t *testing.T) {
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Skipf("no memory to read: %v", err)
	}
	defer func() { _ = memory.Close() }()
	released := false
	lockedmemory.OnRelease(t, func(pages []byte) {
		released = true
		if bytes.Contains(pages, []byte("secret")) {
			t.Error("the pages are given back with the secret in them")
		}
	})
	s, err := lockedmemory.New([]byte("a secret of this test"))
	if err != nil {
		t.Fatal(err)
	}
	var address uintptr
	_ = s.Use(func(secret []byte) error { address = uintptr(unsafe.Pointer(&secret[0])); return nil })
	found := make([]byte, 21)
	if _, err := memory.ReadAt(found, int64(address)); err != nil || string(found) != "a secret of this test" {
		t.Fatalf("reading the secret: %q, %v", found, err)
	}
	s.Wipe()
	if !released {
		t.Error("the pages were not given back")
	}
	clear(found)
	if _, err := memory.ReadAt(found, int64(address)); err == nil && bytes.Contains(found, []byte("secret")) {
		t.Errorf("after the wipe: %q", found)
	}
}

// TestWithoutLimit: where nothing may be locked the secret is kept all the same, and it says so.
func TestWithoutLimit(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), unlockableVariable+"=1")
	if os.Getuid() == 0 { // whom no limit binds
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Path = copyForAll(t)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// copyForAll is this test in a place that everybody can read.
func copyForAll(t *testing.T) string {
	t.Helper()
	file, err := os.CreateTemp("/tmp", "lockedmemory-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file.Name()) })
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(program); err != nil {
		t.Fatal(err)
	}
	if err := file.Chmod(0o755); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

func withoutLimit() int {
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{}); err != nil {
		fmt.Println(err)
		return 1
	}
	s, err := lockedmemory.New([]byte("secret"))
	if err != nil || s.Weakness() == nil {
		fmt.Printf("a limit of 0: %v, %v\n", err, s.Weakness())
		return 1
	}
	err = s.Use(func(secret []byte) error {
		if string(secret) != "secret" {
			return fmt.Errorf("another secret came out")
		}
		return nil
	})
	s.Wipe()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}
