// What a power cut leaves of files: only what was made durable.

package faults

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A disk knows what of a folder would outlive a power cut: the entries of a folder since that was synced last, and
// of a file what it held when it was synced, else nothing. Everything is taken for durable at first.
type disk struct {
	root    string
	durable map[string]entry // by path
	files   []syncedFile
}

// An entry is a folder, or a file with its durable content.
type entry struct {
	folder  bool
	info    fs.FileInfo
	mode    fs.FileMode
	content []byte
}

type syncedFile struct {
	info    fs.FileInfo
	content []byte
}

func newDisk(root string) *disk {
	d := &disk{root: root, durable: map[string]entry{}}
	_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			d.synced(path)
		}
		return nil
	})
	d.adopt(root)
	return d
}

// did is told of each call that was made.
func (d *disk) did(what, path string) {
	switch what {
	case "sync":
		d.synced(path)
	case "sync folder":
		d.settle(path)
	}
}

// synced remembers what a file holds.
func (d *disk) synced(path string) {
	info, err := os.Lstat(path)
	if err != nil {
		return
	}
	content, _ := os.ReadFile(path)
	d.files = slices.DeleteFunc(d.files, func(f syncedFile) bool { return os.SameFile(f.info, info) })
	d.files = append(d.files, syncedFile{info, content})
}

// settle makes the entries of a folder durable.
func (d *disk) settle(folder string) {
	for path := range d.durable {
		if path == folder || !strings.HasPrefix(path, folder+string(filepath.Separator)) {
			continue
		}
		name, _, _ := strings.Cut(path[len(folder)+1:], string(filepath.Separator))
		if _, err := os.Lstat(filepath.Join(folder, name)); err != nil {
			delete(d.durable, path)
		}
	}
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		if old, known := d.durable[path]; !known || !old.folder || !e.IsDir() {
			d.adopt(path)
		}
	}
}

// adopt makes an entry durable; a folder that was moved here with all that is in it.
func (d *disk) adopt(path string) {
	info, err := os.Lstat(path)
	if err != nil {
		return
	}
	for old, e := range d.durable { // a move is one step on a disk: what is durable here is gone from there
		if _, err := os.Lstat(old); err != nil && info.IsDir() && os.SameFile(e.info, info) {
			d.forget(old)
		}
	}
	e := entry{folder: info.IsDir(), info: info, mode: info.Mode().Perm()}
	for _, f := range d.files {
		if !e.folder && os.SameFile(f.info, info) {
			e.content = f.content
		}
	}
	d.durable[path] = e
	entries, _ := os.ReadDir(path)
	for _, below := range entries {
		d.adopt(filepath.Join(path, below.Name()))
	}
}

// forget takes an entry, and all below it, for gone.
func (d *disk) forget(path string) {
	for other := range d.durable {
		if other == path || strings.HasPrefix(other, path+string(filepath.Separator)) {
			delete(d.durable, other)
		}
	}
}

// cut leaves in the folder what is durable, and nothing else.
func (d *disk) cut() error {
	entries, err := os.ReadDir(d.root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(d.root, e.Name())); err != nil {
			return err
		}
	}
	var all []string
	for path := range d.durable {
		all = append(all, path)
	}
	slices.Sort(all) // a folder comes before what is in it
	for _, path := range all {
		e := d.durable[path]
		if _, err := os.Lstat(filepath.Dir(path)); err != nil || path == d.root {
			continue // the folder itself was not durable
		}
		if e.folder {
			err = os.Mkdir(path, e.mode)
		} else {
			err = os.WriteFile(path, e.content, e.mode)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
