// The folder and the named pipe on Windows.

package agent

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/windows"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// PlaceOf is the folder "agent" in home, and a pipe that is named after the user and home.
func PlaceOf(home string) Place {
	user, err := UserSID()
	if err != nil {
		user = "unknown" // nothing can be reached there, and whoever tries says why
	}
	return Place{Folder: filepath.Join(home, "agent"), Socket: `\\.\pipe\regkey-agent-` + digest(user+"\n"+home)}
}

// Prepare makes the folder if it is missing. Who may enter it follows from the folders above it.
func (p Place) Prepare() error {
	if err := atomicfile.MkdirAll(p.Folder, 0o700); err != nil {
		return fmt.Errorf("making the agent's folder: %w", err)
	}
	return nil
}

// UserSID is the security identifier of the user of this process.
func UserSID() (string, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return "", fmt.Errorf("finding the user of this process: %w", err)
	}
	return user.User.Sid.String(), nil
}
