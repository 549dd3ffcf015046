// An upload: a received crate that is not yet part of the registry, to be kept or discarded.

package crate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// An Upload is a crate that [Receive] wrote to a temporary file. It is for one goroutine.
type Upload struct {
	Path     string // of the temporary file; "" once kept or discarded
	Checksum string // SHA-256 of the .crate file, 64 lower-case hexadecimal digits
	Size     int64  // of the .crate file, in bytes
	Metadata *Metadata
}

// Flush writes the file to its disk, so that a later Keep takes no time.
func (u *Upload) Flush() error {
	if err := syncFile(u.Path); err != nil {
		return fmt.Errorf("flushing crate: %w", err)
	}
	return nil
}

// Keep makes the crate durable at final: fsync of the file, rename, fsync of its folder, which
// must exist already on the same file system. A file at final is replaced, so final should name
// the content ([Upload.Checksum]): of two racing publishes of a version each keeps its own file,
// and the row that commits says which counts. After an error the upload can still be discarded.
func (u *Upload) Keep(final string) error {
	if u.Path == "" {
		return errors.New("keeping crate: the upload was kept or discarded before")
	}
	if err := syncFile(u.Path); err != nil {
		return fmt.Errorf("keeping crate: %w", err)
	}
	if err := os.Rename(u.Path, final); err != nil {
		return fmt.Errorf("keeping crate: %w", err)
	}
	u.Path = ""
	// Windows has no fsync of a folder; there the rename itself is journaled.
	if runtime.GOOS == "windows" {
		return nil
	}
	if err := syncFile(filepath.Dir(final)); err != nil {
		return fmt.Errorf("keeping crate: %w", err)
	}
	return nil
}

// Discard removes the temporary file. After Keep, or a second time, it does nothing, so it can be
// deferred at once.
func (u *Upload) Discard() error {
	if u.Path == "" {
		return nil
	}
	path := u.Path
	u.Path = ""
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("discarding crate: %w", err)
	}
	return nil
}

// syncFile flushes a file or folder to its disk.
func syncFile(path string) error {
	file, err := openToSync(path)
	if err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// openToSync opens for writing what Windows flushes only when it may be written.
func openToSync(path string) (*os.File, error) {
	if runtime.GOOS == "windows" {
		return os.OpenFile(path, os.O_RDWR, 0)
	}
	return os.Open(path)
}
