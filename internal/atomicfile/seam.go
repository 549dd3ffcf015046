// The one door to the file system, and what a test may put into it.

package atomicfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// An Around stands between this package and the file system. what names the system call, path the file
// or folder; do makes the call. The error that Around returns is what the caller sees: a test can
// forget the call, make it and report a failure, or stop everything from here on.
type Around func(what, path string, do func() error) error

// arounds are those set, by folder. Without any, which is always so outside of tests, a call costs one
// look at a counter more.
var arounds struct {
	count   atomic.Int32
	folders sync.Map // string to Around
}

// SetAround is for tests: until end is called, every call of this package that concerns the folder, or
// anything below it, goes through around. Several folders may have one each at a time; of two, one
// within the other, the inner one's counts. folder is absolute.
func SetAround(folder string, around Around) (end func()) {
	folder = filepath.Clean(folder)
	if _, taken := arounds.folders.LoadOrStore(folder, around); taken {
		panic("atomicfile: the folder has an Around already")
	}
	arounds.count.Add(1)
	return func() {
		arounds.folders.Delete(folder)
		arounds.count.Add(-1)
	}
}

// call makes one system call.
func call(what, path string, do func() error) error {
	if arounds.count.Load() == 0 {
		return do()
	}
	for folder := filepath.Clean(path); ; folder = filepath.Dir(folder) {
		if around, found := arounds.folders.Load(folder); found {
			return around.(Around)(what, path, do)
		}
		if folder == filepath.Dir(folder) {
			return do()
		}
	}
}

// read is call for one that returns something.
func read[T any](what, path string, do func() (T, error)) (result T, err error) {
	err = call(what, path, func() (err error) {
		result, err = do()
		return err
	})
	if err != nil {
		var nothing T
		return nothing, err
	}
	return result, nil
}

// Stat is [os.Stat].
func Stat(path string) (fs.FileInfo, error) {
	return read("stat", path, func() (fs.FileInfo, error) { return os.Stat(path) })
}

// Lstat is [os.Lstat].
func Lstat(path string) (fs.FileInfo, error) {
	return read("lstat", path, func() (fs.FileInfo, error) { return os.Lstat(path) })
}

// ReadDir is [os.ReadDir], but never returns a part of the folder.
func ReadDir(path string) ([]fs.DirEntry, error) {
	return read("read folder", path, func() ([]fs.DirEntry, error) { return os.ReadDir(path) })
}

// ReadFile is [os.ReadFile], but never returns a part of the file.
func ReadFile(path string) ([]byte, error) {
	return read("read", path, func() ([]byte, error) { return os.ReadFile(path) })
}

// EvalSymlinks is [filepath.EvalSymlinks].
func EvalSymlinks(path string) (string, error) {
	return read("follow links", path, func() (string, error) { return filepath.EvalSymlinks(path) })
}

// Open is [os.Open].
func Open(path string) (*File, error) {
	f, err := read("open", path, func() (*os.File, error) { return os.Open(path) })
	if err != nil {
		return nil, err
	}
	return &File{f}, nil
}

// A File is open for reading.
type File struct{ *os.File }

// Read is that of [os.File].
func (f *File) Read(b []byte) (n int, err error) {
	err = call("read", f.Name(), func() (err error) {
		n, err = f.File.Read(b)
		return err
	})
	return n, err
}

// Stat is that of [os.File].
func (f *File) Stat() (fs.FileInfo, error) {
	return read("stat open", f.Name(), f.File.Stat)
}

// Lock has take, which opens the lock file path, go through the door.
func Lock(path string, take func() error) error { return call("lock", path, take) }
