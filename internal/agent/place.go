// Where an agent is: the folder of one home folder's agent, and what lies in it.

package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// A Place is where the agent of one home folder of regkey's is.
type Place struct {
	// Folder is for its user alone: the socket, the lock of the agent, and those of [AwaitPrompt].
	Folder string
	// Socket is the path of the socket, or the name of the pipe.
	Socket string
}

// Lock is the file whose lock says which process is the agent.
func (p Place) Lock() string { return filepath.Join(p.Folder, "lock") }

// digest is a name of 128 bits for text, in 32 hex digits.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// CheckLock refuses a file for a lock that is none: to open a pipe would wait for ever.
func (p Place) CheckLock(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().IsRegular() {
		return nil // what is not there is made
	}
	return fmt.Errorf("%q is in the way: it is no plain file", path)
}
