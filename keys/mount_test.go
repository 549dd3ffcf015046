// A key file on a real read-only mount, which the test makes in a mount namespace of its own.

//go:build linux

package keys_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cargo-regkey/regkey/keys"
)

// mountVariable holds the folder on which the process that runMount serves mounts a file system.
const mountVariable = "REGKEY_TEST_MOUNT"

// runMount prints, for each mode of a key file, whether it is accepted: on a mount that can be
// written, and on the same one when it can't. It exits 5 where mounting is not allowed.
func runMount(dir string) int {
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		fmt.Println(err)
		return 5
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		fmt.Println(err)
		return 5
	}
	modes := []os.FileMode{0o600, 0o640, 0o644, 0o660, 0o646}
	key, err := keys.Generate(keys.Ed25519)
	if err != nil {
		return 2
	}
	path := func(mode os.FileMode) string { return filepath.Join(dir, fmt.Sprintf("%o", mode)) }
	for _, mode := range modes {
		if err := os.WriteFile(path(mode), key.Secret().Reveal(), mode); err != nil || os.Chmod(path(mode), mode) != nil {
			return 3
		}
	}
	for _, flags := range []uintptr{0, syscall.MS_RDONLY} {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, ""); err != nil {
			fmt.Println(err)
			return 4
		}
		for _, mode := range modes {
			_, err := keys.OpenKeyFile(context.Background(), path(mode), nil)
			fmt.Printf("%o %t\n", mode, err == nil)
		}
	}
	return 0
}

func TestReadOnlyMount(t *testing.T) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), mountVariable+"="+t.TempDir())
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := command.CombinedOutput()
	if command.ProcessState == nil || command.ProcessState.ExitCode() == 5 {
		t.Skipf("no mount namespace can be made here: %v: %s", err, out)
	}
	want := strings.Fields("600 true 640 false 644 false 660 false 646 false 600 true 640 true 644 true 660 false 646 false")
	if got := strings.Fields(string(out)); err != nil || strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%v: %s\nwant %v", err, out, want)
	}
}
