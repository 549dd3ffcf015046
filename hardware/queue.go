// The queue of this project's programs before a reader: a lock on a file that says nothing.

package hardware

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// A lock is a place in the queue for one reader.
type lock interface {
	// acquire takes the reader's lock, or reports false where another has it.
	acquire() bool
	release()
}

// queueFor is the queue before a reader, for all programs of this user. It is a courtesy and no safeguard (PC/SC itself
// keeps two programs from one token), so where no file can be made nobody queues.
func queueFor(reader string) lock {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nobody{}
	}
	dir = filepath.Join(dir, "regkey", "readers")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nobody{}
	}
	name := sha256.Sum256([]byte(reader))
	return fileLock{flock.New(filepath.Join(dir, hex.EncodeToString(name[:8])+".lock"), flock.SetPermissions(0o600))}
}

type fileLock struct{ file *flock.Flock }

func (l fileLock) acquire() bool {
	locked, err := l.file.TryLock()
	return locked || err != nil
}

func (l fileLock) release() { _ = l.file.Close() }

type nobody struct{}

func (nobody) acquire() bool { return true }
func (nobody) release()      {}
