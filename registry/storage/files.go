// Crate files, and the place where uploads arrive.

package storage

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// crateFile is the path of the crate file with that SHA-256. Files are found by content and not by
// name, so two uploads at once of one version can't replace each other's file. The checksum must be
// 64 lower-case hex digits.
func (db *DB) crateFile(checksum string) (string, error) {
	if raw, err := hex.DecodeString(checksum); err != nil || len(raw) != 32 {
		return "", errors.New("finding crate file: the checksum is not 64 hex digits")
	}
	return filepath.Join(db.dir, "crates", checksum[:2], checksum+".crate"), nil
}

// PlaceForCrate is [DB.crateFile] with the folder made.
func (db *DB) PlaceForCrate(checksum string) (string, error) {
	path, err := db.crateFile(checksum)
	if err != nil {
		return "", err
	}
	if err := atomicfile.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("making crate folder: %w", err)
	}
	return path, nil
}

// OpenCrate opens a crate file for reading; the error wraps [fs.ErrNotExist] if it is gone.
func (db *DB) OpenCrate(checksum string) (*os.File, error) {
	path, err := db.crateFile(checksum)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening crate file: %w", err)
	}
	return file, nil
}

// RemoveCrate deletes a crate file. It is no error if it is gone.
func (db *DB) RemoveCrate(checksum string) error {
	path, err := db.crateFile(checksum)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting crate file: %w", err)
	}
	return nil
}

// Uploads is the folder for what is arriving. It is on the file system of the crate files.
func (db *DB) Uploads() string { return filepath.Join(db.dir, "uploads") }

// DiscardUploads deletes what interrupted uploads left. Only the server may call it, before it serves.
func (db *DB) DiscardUploads() error {
	left, err := os.ReadDir(db.Uploads())
	if err != nil {
		return fmt.Errorf("discarding old uploads: %w", err)
	}
	for _, entry := range left {
		if err := os.RemoveAll(filepath.Join(db.Uploads(), entry.Name())); err != nil {
			return fmt.Errorf("discarding old uploads: %w", err)
		}
	}
	return nil
}
