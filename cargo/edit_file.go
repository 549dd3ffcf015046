// Edits the configuration file in $CARGO_HOME on disk.

package cargo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// An Edit is a change of one file that has been worked out and not been made.
type Edit struct {
	File          string // what to show: the file that cargo reads
	Before, After []byte // Before is nil if the file does not exist yet

	target string // File, symbolic links followed
	mode   fs.FileMode
}

// ErrChanged says that a file is not what it was when the edit was worked out. It stays as it is.
var ErrChanged = errors.New("the file was changed meanwhile")

// A NameConflictError says that the index has another name already. Cargo refuses to use an index
// that has two.
type NameConflictError struct {
	Name, Index string
	Existing    string // the name that it has
	Where       Origin
}

// Error shows both names.
func (e *NameConflictError) Error() string {
	return fmt.Sprintf("editing cargo's configuration: %v: index %s is registry %q already, and cargo refuses a second name for it, %q",
		e.Where, e.Index, e.Existing, e.Name)
}

// PlanProvider works out the edit of the user's own configuration that sets what [SetProvider]
// sets. The file is the one that cargo reads: $CARGO_HOME/config if it is there, else config.toml.
// The errors are those of SetProvider, with the file named, and a [*NameConflictError]. A file that
// it includes counts: if that leads the name elsewhere, or sets the provider as a string, which
// cargo merges with no list, it is an error too.
func (c *Config) PlanProvider(name, index string, provider []string) (*Edit, error) {
	e := &Edit{File: c.homeFile, mode: 0o644}
	if e.File == "" {
		e.File = filepath.Join(c.home, "config.toml")
	}
	if err := e.open(); err != nil {
		return nil, err
	}
	if err := c.checkNames(name, index); err != nil {
		return nil, err
	}
	keys := []string{"registries", name, "credential-provider"}
	for _, f := range c.own() {
		if _, isText := f.value(keys...).(string); isText && f.included {
			return nil, &NotEditableError{File: f.path, Line: f.origin(keys...).Line, Lines: Lines(name, index, provider),
				Reason: "credential-provider is a string in a file that is included, and cargo merges it with no list"}
		}
	}
	after, _, err := SetProvider(e.Before, name, index, provider)
	if err != nil {
		return nil, e.named(err)
	}
	e.After = after
	return e, nil
}

// checkNames looks through all of the user's files for another index of the name, and for another
// name of the index.
func (c *Config) checkNames(name, index string) error {
	if index == "" {
		return nil
	}
	text, origin, found, err := indexIn(c.own(), name)
	switch {
	case err != nil:
		return nil // SetProvider says more, if it is in its file
	case found && !sameIndex(text, index):
		return &IndexConflictError{File: origin.File, Line: origin.Line, Name: name, Have: showIndex(text), Want: showIndex(index)}
	case found:
		return nil
	}
	for _, other := range c.fileNames(c.own()) {
		text, origin, _, err := indexIn(c.own(), other)
		if err == nil && sameIndex(text, index) {
			return &NameConflictError{Name: name, Index: showIndex(index), Existing: other, Where: origin}
		}
	}
	return nil
}

func (e *Edit) open() error {
	target, err := atomicfile.EvalSymlinks(e.File)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := atomicfile.Lstat(e.File); err == nil {
			return fmt.Errorf("editing cargo's configuration %q: the symbolic link leads nowhere", e.File)
		}
		e.target = e.File
		return nil
	}
	if err != nil {
		return fmt.Errorf("editing cargo's configuration %q: %w", e.File, err)
	}
	e.target = target
	info, err := atomicfile.Stat(target)
	if err != nil {
		return fmt.Errorf("editing cargo's configuration %q: %w", e.File, err)
	}
	e.mode = info.Mode().Perm()
	e.Before, err = readConfigFile(target)
	if e.Before == nil {
		e.Before = []byte{} // an empty file is there
	}
	return err
}

// named adds the file's name to the typed errors of SetProvider.
func (e *Edit) named(err error) error {
	var refused *NotEditableError
	var conflict *IndexConflictError
	switch {
	case errors.As(err, &refused):
		refused.File = e.File
	case errors.As(err, &conflict):
		conflict.File = e.File
	}
	return inFile(err, e.File)
}

// Changed says whether there is anything to write.
func (e *Edit) Changed() bool { return e.Before == nil || !bytes.Equal(e.Before, e.After) }

// Write makes the change, wholly or not at all. A file that exists keeps its mode, a symbolic link
// stays and what it leads to is written; a new file has mode 0644, as cargo's others, and its
// folder is made. If the file changed since the edit was worked out, the error wraps [ErrChanged].
// What an interrupted Write has left beside it is removed; nobody else may be writing the file so.
func (e *Edit) Write() error {
	if err := atomicfile.Tidy(e.target); err != nil {
		return fmt.Errorf("editing cargo's configuration: %w", err)
	}
	if !e.Changed() {
		return nil
	}
	if e.Before == nil {
		if err := atomicfile.MkdirAll(filepath.Dir(e.target), 0o755); err != nil {
			return fmt.Errorf("editing cargo's configuration: %w", err)
		}
		err := atomicfile.Create(e.target, e.After, e.mode)
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%q: %w", e.File, ErrChanged)
		}
		if err != nil {
			return fmt.Errorf("editing cargo's configuration: %w", err)
		}
		return nil
	}
	now, err := readConfigFile(e.target)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, e.Before) {
		return fmt.Errorf("editing cargo's configuration %q: %w", e.File, ErrChanged)
	}
	if err := atomicfile.Write(e.target, e.After, e.mode); err != nil {
		return fmt.Errorf("editing cargo's configuration: %w", err)
	}
	return nil
}
