// Where cargo's configuration comes from: the environment, and the files in the order in which they win.

package cargo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/cargo-regkey/regkey/internal/atomicfile"
)

// An Environment is what cargo's configuration depends on besides files. It is a value, so that
// tests make their own; [CurrentEnvironment] is the process's.
type Environment struct {
	Dir      string   // the working folder: absolute, symbolic links resolved
	UserHome string   // the user's home folder; may be empty if CARGO_HOME is set
	Environ  []string // "NAME=value"; of a name given twice, the first counts
}

// CurrentEnvironment is the environment of this process. As in cargo, the working folder is the
// physical one: the folders above a symbolic link that led here do not matter.
func CurrentEnvironment() (Environment, error) {
	dir, err := os.Getwd()
	if err != nil {
		return Environment{}, fmt.Errorf("finding the working folder: %w", err)
	}
	if runtime.GOOS != "windows" {
		// Getwd believes $PWD, which names the way taken; cargo asks the system.
		if dir, err = atomicfile.EvalSymlinks(dir); err != nil {
			return Environment{}, fmt.Errorf("finding the working folder: %w", err)
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // only needed, and only then missed, if CARGO_HOME is not set
	}
	return Environment{Dir: dir, UserHome: home, Environ: os.Environ()}, nil
}

// Lookup returns the value of a variable and whether it is set. On Windows case does not count.
func (e Environment) Lookup(name string) (string, bool) {
	for _, entry := range e.Environ {
		key, value, found := strings.Cut(entry, "=")
		if found && (key == name || runtime.GOOS == "windows" && strings.EqualFold(key, name)) {
			return value, true
		}
	}
	return "", false
}

// CargoHome is the absolute path of cargo's home folder: $CARGO_HOME, a relative one taken from
// the working folder; if it is unset or empty, ".cargo" in the user's home. The folder need not exist.
func (e Environment) CargoHome() (string, error) {
	home, _ := e.Lookup("CARGO_HOME")
	switch {
	case home == "" && e.UserHome == "":
		return "", errors.New("finding cargo's home folder: neither CARGO_HOME nor a home folder is set")
	case home == "":
		return filepath.Join(e.UserHome, ".cargo"), nil
	case filepath.IsAbs(home):
		return filepath.Clean(home), nil
	}
	return filepath.Join(e.Dir, home), nil
}

// A Config is cargo's configuration for one working folder, read once. What belongs to the user
// ($CARGO_HOME and the environment) and what a project brought along are kept apart, because a
// checkout may come from anybody. It does not know options of cargo's command line (--config).
type Config struct {
	env      Environment
	home     string
	homeFile string // the file in home that cargo reads, "" if there is none

	files       []*configFile // what wins comes first; included files follow what includes them
	credentials []*configFile // the same for $CARGO_HOME/credentials.toml
	passedOver  []passedOver  // X.toml beside an X without the ending: cargo reads X alone
}

type passedOver struct {
	path, instead string
	file          *configFile // nil if it can't be read, which cargo does not mind
}

// OpenConfig reads the files that cargo 1.95 would read in env.Dir: .cargo/config.toml there and in
// every folder above, $CARGO_HOME/config.toml, what these include, and
// $CARGO_HOME/credentials.toml; a file of the same name without ".toml" goes first. A file above
// that is the one in $CARGO_HOME is not a project's. Files are limited to 1 MiB each. Text that is
// not TOML is a [*SyntaxError]. No error ever holds a value from a file.
func OpenConfig(env Environment) (*Config, error) {
	if !filepath.IsAbs(env.Dir) {
		return nil, fmt.Errorf("reading cargo's configuration: working folder %q is not absolute", env.Dir)
	}
	home, err := env.CargoHome()
	if err != nil {
		return nil, err
	}
	c := &Config{env: env, home: home}
	if err := c.openFiles(); err != nil {
		return nil, err
	}
	if err := c.openCredentials(); err != nil {
		return nil, err
	}
	return c, nil
}

// Home is the absolute path of cargo's home folder.
func (c *Config) Home() string { return c.home }

// openFiles walks from the working folder to the root, and goes to cargo's home at the end if it
// did not pass there.
func (c *Config) openFiles() error {
	homeFile, err := c.choose(c.home, "config")
	if err != nil {
		return err
	}
	c.homeFile = homeFile
	passedHome := false
	for dir := filepath.Clean(c.env.Dir); ; dir = filepath.Dir(dir) {
		folder := filepath.Join(dir, ".cargo")
		if folder == c.home {
			passedHome = true
			if err := c.add(homeFile, false); err != nil {
				return err
			}
		} else if err := c.openProject(folder); err != nil {
			return err
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if passedHome {
		return nil
	}
	return c.add(homeFile, false)
}

// openProject reads the configuration in a .cargo folder, unless it is the user's own by another path.
func (c *Config) openProject(folder string) error {
	path, _, err := chooseFile(folder, "config")
	if err != nil || path == "" {
		return err
	}
	return c.add(path, !sameFile(path, c.homeFile))
}

func (c *Config) add(path string, project bool) error {
	if path == "" {
		return nil
	}
	files, err := openConfigFiles(path)
	if err != nil {
		return err
	}
	for _, f := range files {
		f.project = project
	}
	c.files = append(c.files, files...)
	return nil
}

func (c *Config) openCredentials() error {
	path, err := c.choose(c.home, "credentials")
	if err != nil || path == "" {
		return err
	}
	c.credentials, err = openConfigFiles(path)
	return err
}

// choose is chooseFile, and remembers what was passed over.
func (c *Config) choose(folder, base string) (string, error) {
	path, over, err := chooseFile(folder, base)
	if err != nil || over == "" {
		return path, err
	}
	file, err := openConfigFile(over)
	if err != nil {
		file = nil
	}
	c.passedOver = append(c.passedOver, passedOver{path: over, instead: path, file: file})
	return path, nil
}

// chooseFile returns the file that cargo reads: base if it is there, else base.toml, else "". If
// both are there and are not one file, base.toml is passed over.
func chooseFile(folder, base string) (path, over string, err error) {
	plain, ending := filepath.Join(folder, base), filepath.Join(folder, base+".toml")
	hasPlain, err := exists(plain)
	if err != nil {
		return "", "", err
	}
	hasEnding, err := exists(ending)
	switch {
	case err != nil:
		return "", "", err
	case hasPlain && hasEnding && !sameFile(plain, ending):
		return plain, ending, nil
	case hasPlain:
		return plain, "", nil
	case hasEnding:
		return ending, "", nil
	}
	return "", "", nil
}

// exists says whether path leads to anything. A folder above that is a file, or one that may not
// be entered, holds no configuration.
func exists(path string) (bool, error) {
	_, err := atomicfile.Stat(path)
	if err == nil {
		return true, nil
	}
	var detail *fs.PathError
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || isNotFolder(err) {
		return false, nil
	}
	if errors.As(err, &detail) {
		err = detail.Err
	}
	return false, fmt.Errorf("looking for cargo's configuration %q: %w", path, err)
}

func sameFile(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	first, err := atomicfile.Stat(a)
	if err != nil {
		return false
	}
	second, err := atomicfile.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// own returns the user's own files, project the others, both with what wins first.
func (c *Config) own() []*configFile     { return c.only(false) }
func (c *Config) project() []*configFile { return c.only(true) }

func (c *Config) only(project bool) []*configFile {
	return slices.DeleteFunc(slices.Clone(c.files), func(f *configFile) bool { return f.project != project })
}
