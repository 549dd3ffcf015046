// One file of cargo's configuration, and what it includes.

package cargo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// maxConfigSize limits a configuration file: real ones have a few kilobytes.
const maxConfigSize = 1 << 20

// maxConfigFiles limits how many files one configuration file may pull in, because two includes of
// the same file in each of twenty files would be a million.
const maxConfigFiles = 64

// An Origin says where a setting stands: in a file, or in a variable of the environment.
type Origin struct {
	File     string
	Line     int // from 1; 0 if unknown
	Variable string
}

// String is "file:line", "environment variable NAME" or, for the zero Origin, "cargo's default". What
// would move a terminal's cursor is replaced: a checkout chooses its folders' names.
func (o Origin) String() string {
	switch {
	case o.Variable != "":
		return "environment variable " + Printable(o.Variable)
	case o.File == "":
		return "cargo's default"
	case o.Line == 0:
		return Printable(o.File)
	}
	return fmt.Sprintf("%s:%d", Printable(o.File), o.Line)
}

// A configFile is one decoded file.
type configFile struct {
	path     string
	project  bool // a checkout brought it, not the user
	included bool // another file pulled it in
	tree     map[string]any
	lines    map[string]int // of every key, by its path as [joined] writes it
}

// value returns what stands under the path of keys, nil if nothing does.
func (f *configFile) value(keys ...string) any { return lookup(f.tree, keys...) }

func (f *configFile) origin(keys ...string) Origin {
	return Origin{File: f.path, Line: f.lines[joined(keys)]}
}

// wrongType is the error for a setting of a type that cargo refuses too.
func (f *configFile) wrongType(want string, keys ...string) error {
	return fmt.Errorf("reading cargo's configuration: %v: %s is not %s", f.origin(keys...), keyText(keys), want)
}

// openConfigFiles reads a file and what it includes. What wins comes first: the file itself, then
// its includes from the last to the first, each followed by its own.
func openConfigFiles(path string) ([]*configFile, error) {
	return appendConfigFiles(nil, path, nil)
}

func appendConfigFiles(files []*configFile, path string, above []string) ([]*configFile, error) {
	if slices.Contains(above, path) {
		return nil, fmt.Errorf("reading cargo's configuration %q: it includes itself", path)
	}
	if len(files) == maxConfigFiles {
		return nil, fmt.Errorf("reading cargo's configuration %q: more than %d files are included", path, maxConfigFiles)
	}
	file, err := openConfigFile(path)
	if err != nil {
		return nil, err
	}
	file.included = len(above) > 0
	files = append(files, file)
	includes, err := file.includes()
	if err != nil {
		return nil, err
	}
	for _, include := range slices.Backward(includes) {
		if include.optional {
			if found, err := exists(include.path); err != nil || !found {
				continue
			}
		}
		if files, err = appendConfigFiles(files, include.path, append(above, path)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

type include struct {
	path     string
	optional bool
}

// includes reads the list "include": paths relative to the file, or {path, optional}. Like cargo
// it refuses anything else, and names without ".toml".
func (f *configFile) includes() ([]include, error) {
	value, found := f.tree["include"]
	if !found {
		return nil, nil
	}
	const want = `a list of paths that end in ".toml"`
	list, ok := value.([]any)
	if !ok {
		return nil, f.wrongType(want, "include")
	}
	var includes []include
	for _, item := range list {
		var i include
		switch item := item.(type) {
		case string:
			i.path = item
		case map[string]any:
			i.path, _ = item["path"].(string)
			i.optional, _ = item["optional"].(bool)
		}
		if !strings.HasSuffix(i.path, ".toml") {
			return nil, f.wrongType(want, "include")
		}
		if !filepath.IsAbs(i.path) {
			i.path = filepath.Join(filepath.Dir(f.path), i.path)
		}
		includes = append(includes, i)
	}
	return includes, nil
}

func openConfigFile(path string) (*configFile, error) {
	text, err := readConfigFile(path)
	if err != nil {
		return nil, err
	}
	tree, err := decodeTOML(text)
	if err != nil {
		return nil, inFile(err, path)
	}
	f := &configFile{path: path, tree: tree, lines: make(map[string]int)}
	lines := lineCounter{text: text}
	for _, item := range scanTOML(text) {
		if key := joined(item.path); f.lines[key] == 0 {
			f.lines[key] = lines.at(item.start)
		}
	}
	return f, nil
}

// readConfigFile reads a regular file of at most 1 MiB. A named pipe would wait for ever.
func readConfigFile(path string) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		var detail *fs.PathError
		if errors.As(err, &detail) {
			err = detail.Err // the path is in our words already
		}
		return nil, fmt.Errorf("reading cargo's configuration %q: %w", path, err)
	}
	info, err := atomicfile.Stat(path)
	if err != nil {
		return fail(err)
	}
	if !info.Mode().IsRegular() {
		return fail(errors.New("not a regular file"))
	}
	file, err := atomicfile.Open(path)
	if err != nil {
		return fail(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfigSize+1))
	if err != nil {
		return fail(err)
	}
	if len(text) > maxConfigSize {
		return fail(errors.New("larger than 1 MiB"))
	}
	return text, nil
}

func isNotFolder(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
