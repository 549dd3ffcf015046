// The folder and the socket on Unix.

//go:build unix

package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// maxSocket is the longest path that a socket can have, in bytes: sun_path without its final zero
// (108 on Linux, 104 on macOS and the BSDs).
const maxSocket = len(unix.RawSockaddrUnix{}.Path) - 1

// shared is the folder for sockets whose own path is too long. It is not the user's TMPDIR, which
// may differ from one shell to the next.
const shared = "/tmp"

// PlaceOf is the folder "agent" in home, and in it "socket". Where that path is too long for a socket
// it is /tmp/regkey-UID-HASH, which is the user's alone, as [Place.Prepare] checks. Links on the way
// to home are followed first: by whatever path somebody comes there is one agent, so that one "lock"
// locks all.
func PlaceOf(home string) Place {
	if real, err := filepath.EvalSymlinks(home); err == nil {
		home = real
	}
	p := Place{Folder: filepath.Join(home, "agent")}
	p.Socket = filepath.Join(p.Folder, "socket")
	if len(p.Socket) > maxSocket {
		p.Folder = filepath.Join(shared, fmt.Sprintf("regkey-%d-%s", os.Geteuid(), digest(home)))
		p.Socket = filepath.Join(p.Folder, "socket")
	}
	return p
}

// Prepare makes the folder if it is missing. It refuses one that is another user's, that others can
// enter, or that is a link: in /tmp anybody may have put it there.
func (p Place) Prepare() error {
	make := atomicfile.MkdirAll
	if strings.HasPrefix(p.Folder, shared+"/regkey-") {
		make = os.Mkdir
	}
	if err := make(p.Folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the agent's folder: %w", err)
	}
	if err := p.check(); err != nil {
		return fmt.Errorf("checking the agent's folder %q: %w", p.Folder, err)
	}
	return nil
}

func (p Place) check() error {
	var stat unix.Stat_t
	if err := unix.Lstat(p.Folder, &stat); err != nil {
		return err
	}
	switch {
	case stat.Mode&unix.S_IFMT != unix.S_IFDIR:
		return errors.New("it is not a folder")
	case int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("it belongs to user %d", stat.Uid)
	case stat.Mode&0o077 != 0:
		return fmt.Errorf("its mode is %04o, so that others can enter it: chmod 700 makes it yours alone", stat.Mode&0o777)
	}
	return nil
}
