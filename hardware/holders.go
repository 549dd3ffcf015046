// Who may hold a token: programs that run and are known to use smart cards.

package hardware

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// holderNames are programs as the kernel names them, which is by 15 bytes.
var holderNames = []string{
	"scdaemon", "yubikey-agent", "piv-agent", "age-plugin-yubikey"[:15], "ykman", "yubico-piv-tool",
	"yubioath-desktop"[:15], "pkcs11-tool", "ssh-pkcs11-help", "pivy-agent", "cargo", "regkey",
}

// holders looks through /proc. Where there is none, it knows nobody.
func holders() []string { return holdersIn(os.DirFS("/proc"), os.Getpid()) }

// holdersIn leaves out the process itself and those that it descends from, such as the cargo that waits for it.
func holdersIn(proc fs.FS, self int) []string {
	entries, err := fs.ReadDir(proc, ".")
	if err != nil {
		return nil
	}
	own := ancestors(proc, self)
	var found []string
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || slices.Contains(own, pid) {
			continue
		}
		name, err := fs.ReadFile(proc, entry.Name()+"/comm")
		if text := strings.TrimSpace(string(name)); err == nil && slices.Contains(holderNames, text) {
			found = append(found, fmt.Sprintf("%s (process %d)", text, pid))
		}
	}
	return found
}

// ancestors are the process and those above it. The parent's number is the second field after the
// name, which is in parentheses and may hold any character (proc_pid_stat(5)).
func ancestors(proc fs.FS, pid int) []int {
	var line []int
	for pid > 1 && !slices.Contains(line, pid) {
		line = append(line, pid)
		stat, err := fs.ReadFile(proc, strconv.Itoa(pid)+"/stat")
		if err != nil {
			break
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) < 2 {
			break
		}
		if pid, err = strconv.Atoi(fields[1]); err != nil {
			break
		}
	}
	return line
}
