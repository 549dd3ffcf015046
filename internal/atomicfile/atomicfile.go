// Package atomicfile writes files that are, also after a crash or a power cut, either wholly
// there or not at all.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// Write puts data into the file path, replacing what was there, with exactly the mode perm (no
// umask; Windows knows only "read-only or not"). A reader sees the old content or the new, never
// a part. A symbolic link at path is replaced, not followed. The folder must exist. An
// error says that the old content stands, except where only the last step, making the folder's
// entry durable, failed: then the new content is there, but might not survive a power cut.
func Write(path string, data []byte, perm fs.FileMode) error {
	temp, err := writeTemp(path, data, perm)
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	if err := rename(temp, path); err != nil {
		_ = unlink(temp)
		return fmt.Errorf("writing %q: %w", path, err)
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}

// Create is [Write] for a file that must not exist yet: whatever is at path, a dangling symbolic
// link and a folder included, stays untouched, and the error wraps [fs.ErrExist]. Of several at
// once, in any number of processes, exactly one succeeds. After an error nothing is there that was
// not before. The file system must know hard links.
func Create(path string, data []byte, perm fs.FileMode) error {
	// What exists is found here before anything is written; the link below is what decides.
	if _, err := Lstat(path); err == nil {
		return fmt.Errorf("creating %q: %w", path, fs.ErrExist)
	}
	temp, err := writeTemp(path, data, perm)
	if err != nil {
		return fmt.Errorf("creating %q: %w", path, err)
	}
	// A rename would replace silently what another process made meanwhile; link refuses.
	err = call("link", path, func() error { return os.Link(temp, path) })
	if err != nil && sameFile(temp, path) {
		err = nil // it was done, and its answer lost: a network's file system then reports what it likes
	}
	_ = unlink(temp)
	if err != nil {
		return fmt.Errorf("creating %q: %w", path, err)
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		_ = unlink(path)
		return fmt.Errorf("creating %q: %w", path, err)
	}
	return nil
}

// sameFile reports whether two names are those of one file; what can't be looked at is not.
func sameFile(a, b string) bool {
	first, err := Lstat(a)
	if err != nil {
		return false
	}
	second, err := Lstat(b)
	return err == nil && os.SameFile(first, second)
}

// Remove deletes the file path, and what an interrupted [Write] or [Create] of it may have left
// beside it, for good: a power cut does not bring it back. It is no error if there was none of them.
// Nobody may be writing path meanwhile.
func Remove(path string) error {
	return remove(path, func(name string) bool { return name == filepath.Base(path) || isTemp(name, path) })
}

// Tidy deletes, for good, what an interrupted [Write] or [Create] of path may have left beside it, and
// leaves path as it is. Nobody may be writing path meanwhile.
func Tidy(path string) error {
	return remove(path, func(name string) bool { return isTemp(name, path) })
}

// remove deletes those files in the folder of path whose name is chosen.
func remove(path string, chosen func(name string) bool) error {
	folder := filepath.Dir(path)
	entries, err := ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing %q: %w", path, err)
	}
	for _, entry := range entries {
		if !chosen(entry.Name()) {
			continue
		}
		if err := unlink(filepath.Join(folder, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing %q: %w", path, err)
		}
	}
	if err := syncFolder(folder); err != nil {
		return fmt.Errorf("removing %q: %w", path, err)
	}
	return nil
}

// MkdirAll makes the folder path and those above it that are missing, with the mode perm
// before umask, and makes their entries durable. One that is there already keeps its mode.
func MkdirAll(path string, perm fs.FileMode) error {
	switch info, err := Stat(path); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &fs.PathError{Op: "making folder", Path: path, Err: syscall.ENOTDIR}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := call("make folder", path, func() error { return os.Mkdir(path, perm) }); err != nil {
		// Another process may have made it meanwhile.
		if info, statErr := Stat(path); statErr != nil || !info.IsDir() {
			return err
		}
	}
	return syncFolder(parent)
}

// writeTemp writes data, durably, to a new file in path's folder and returns its name. On error
// nothing is left.
func writeTemp(path string, data []byte, perm fs.FileMode) (temp string, err error) {
	var f *os.File
	err = call("create", path, func() (err error) {
		f, err = os.CreateTemp(filepath.Dir(path), tempPrefix(path)+"*"+tempSuffix)
		return err
	})
	if f == nil {
		return "", err
	}
	temp = f.Name()
	if err == nil {
		err = fill(f, data, perm)
	}
	if closeErr := call("close", temp, f.Close); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = unlink(temp)
		return "", err
	}
	return temp, nil
}

// fill gives a new file its content and mode, durably.
func fill(f *os.File, data []byte, perm fs.FileMode) error {
	err := call("write", f.Name(), func() error {
		_, err := f.Write(data)
		return err
	})
	if err == nil {
		err = call("chmod", f.Name(), func() error { return f.Chmod(perm) })
	}
	if err == nil {
		err = call("sync", f.Name(), f.Sync)
	}
	return err
}

// Rename moves a file or folder, for good: a power cut does not undo it.
func Rename(from, to string) error {
	if err := rename(from, to); err != nil {
		return err
	}
	if err := syncFolder(filepath.Dir(to)); err != nil {
		return err
	}
	if filepath.Dir(from) == filepath.Dir(to) {
		return nil
	}
	return syncFolder(filepath.Dir(from))
}

func rename(from, to string) error {
	return call("rename", to, func() error { return os.Rename(from, to) })
}

// unlink tries twice: what it removes may hold a key, and nobody would look for it again.
func unlink(path string) error {
	remove := func() error { return os.Remove(path) }
	err := call("remove", path, remove)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = call("remove", path, remove)
	}
	return err
}

const tempSuffix = ".tmp"

// tempPrefix begins the names of path's temporary files: hidden, and telling whose they are.
func tempPrefix(path string) string { return "." + filepath.Base(path) + "." }

func isTemp(name, path string) bool {
	middle, ok := strings.CutPrefix(name, tempPrefix(path))
	middle, hasSuffix := strings.CutSuffix(middle, tempSuffix)
	return ok && hasSuffix && middle != "" && strings.Trim(middle, "0123456789") == ""
}

// IsTemp reports whether a file of that name is what an interrupted [Write] or [Create] has left, of
// whatever file.
func IsTemp(name string) bool {
	rest, hidden := strings.CutPrefix(name, ".")
	at := strings.LastIndexByte(strings.TrimSuffix(rest, tempSuffix), '.')
	return hidden && at > 0 && isTemp(name, rest[:at])
}

// syncFolder makes the entries of a folder durable. Windows has no such call, and some file
// systems, which say so with EINVAL or ENOTSUP, need none.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	return call("sync folder", path, func() error { return syncOpened(path) })
}

func syncOpened(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
