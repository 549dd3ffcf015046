// Package lab sets up, in one folder, all that a run of regkey needs: the built programs, a user's
// empty home, a registry on loopback, sample crates, and cargo, the real one where it is installed.
// The end-to-end tests and the demonstration stand on it.
package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/cargo-regkey/regkey/internal/realcargo"
)

// A Lab is one user on one machine: a home folder and the programs. Several may stand side by side,
// sharing Bin.
type Lab struct {
	Dir  string // everything lies below it
	Bin  string // the programs
	Home string // HOME of what is run; CARGO_HOME and REGKEY_HOME follow from it
	Env  []string
}

// Twin is the regkey that reaches hardware tokens; regkey becomes it where one is needed.
const Twin = "regkey-hardware"

// Build builds the three programs, statically and without cgo, into dir; and [Twin], linked with
// the smart card library, where [HardwareTools] are there.
func Build(ctx context.Context, dir string) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	if err := build(ctx, root, "0", dir+string(filepath.Separator), "./cmd/..."); err != nil {
		return err
	}
	if HardwareTools(ctx) != nil {
		return nil
	}
	return build(ctx, root, "1", filepath.Join(dir, Twin), "./cmd/regkey")
}

func build(ctx context.Context, root, cgo, out, packages string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w", "-o", out, packages)
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w\n%s", err, output)
	}
	return nil
}

// HardwareTools says what is missing to build [Twin] and the tests of hardware: on Linux a C
// compiler, pkg-config and the headers of libpcsclite. It is nil if nothing is.
func HardwareTools(ctx context.Context) error {
	if runtime.GOOS != "linux" {
		return errors.New("virtual tokens are reached through libpcsclite, which is Linux's")
	}
	output, err := exec.CommandContext(ctx, "go", "env", "CC", "CGO_ENABLED").Output()
	if err != nil {
		return fmt.Errorf("asking for the C compiler: %w", err)
	}
	settings := strings.Fields(string(output))
	if len(settings) != 2 || settings[1] != "1" {
		return errors.New("cgo is switched off")
	}
	if _, err := exec.LookPath(settings[0]); err != nil {
		return fmt.Errorf("there is no C compiler: %w", err)
	}
	if output, err := exec.CommandContext(ctx, "pkg-config", "--exists", "--print-errors", "libpcsclite").CombinedOutput(); err != nil {
		return fmt.Errorf("libpcsclite can't be linked (%w): %s", err, strings.TrimSpace(string(output)))
	}
	return nil
}

func moduleRoot(ctx context.Context) (string, error) {
	output, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	file := strings.TrimSpace(string(output))
	if filepath.Base(file) != "go.mod" {
		return "", errors.New("finding the module: not inside it")
	}
	return filepath.Dir(file), nil
}

// New makes a lab below dir with programs that [Build] has put into bin.
func New(dir, bin string) (*Lab, error) {
	l := &Lab{Dir: dir, Bin: bin, Home: filepath.Join(dir, "home")}
	if err := os.MkdirAll(l.CargoHome(), 0o755); err != nil {
		return nil, err
	}
	return l, nil
}

// CargoHome is where cargo's configuration is.
func (l *Lab) CargoHome() string { return filepath.Join(l.Home, ".cargo") }

// RegkeyHome is where regkey keeps what is the user's.
func (l *Lab) RegkeyHome() string { return filepath.Join(l.Home, ".config", "regkey") }

// environ is a clean environment: nothing of the caller's but the way to the tools.
func (l *Lab) environ() []string {
	env := []string{
		"HOME=" + l.Home, "CARGO_HOME=" + l.CargoHome(), "REGKEY_HOME=" + l.RegkeyHome(),
		"PATH=" + l.Bin + string(os.PathListSeparator) + os.Getenv("PATH"),
		"TMPDIR=" + os.TempDir(), "LANG=C.UTF-8", "NO_COLOR=1", "CARGO_TERM_COLOR=never",
		// Sample crates are built once each: what incremental builds store is never used.
		"CARGO_INCREMENTAL=0",
		// No agent is left behind; whoever wants one sets it in Env.
		"REGKEY_AGENT=off",
	}
	if _, _, err := realcargo.Find(); err == nil && os.Getenv("RUSTUP_HOME") != "" {
		env = append(env, "RUSTUP_HOME="+os.Getenv("RUSTUP_HOME"))
	}
	if runtime.GOOS == "windows" {
		env = append(env, "SystemRoot="+os.Getenv("SystemRoot"))
	}
	return append(env, l.Env...)
}

// A Result is how a program ended and what it wrote.
type Result struct {
	Stdout, Stderr string
	Exit           int
}

// Command is a program with the lab's environment, in dir ("" is the lab's folder), that can't read
// a terminal.
func (l *Lab) Command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	if path := filepath.Join(l.Bin, name); !strings.ContainsRune(name, filepath.Separator) {
		if _, err := os.Stat(path); err == nil {
			name = path
		}
	}
	c := exec.CommandContext(ctx, name, args...)
	c.Dir, c.Env = dir, l.environ()
	if dir == "" {
		c.Dir = l.Dir
	}
	return c
}

// Run runs a program to its end, with stdin as its standard input. Only a program that can't be run
// at all is an error.
func (l *Lab) Run(ctx context.Context, dir, stdin, name string, args ...string) (Result, error) {
	c := l.Command(ctx, dir, name, args...)
	var stdout, stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return Result{}, fmt.Errorf("running %s: %w", name, err)
	}
	return Result{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}, nil
}

// WriteFile writes a file below the lab's folder, with the folders above it.
func (l *Lab) WriteFile(path, content string) error {
	if !filepath.IsAbs(path) {
		path = filepath.Join(l.Dir, path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644)
}

// Crate writes a library crate named name below the lab's folder, which publishes to the registry
// that cargo calls registry, and depends on deps there. It returns the crate's folder.
func (l *Lab) Crate(name, version, registry string, deps ...string) (string, error) {
	dir := filepath.Join(l.Dir, "crates", name)
	manifest := fmt.Sprintf("[package]\nname = %q\nversion = %q\nedition = \"2021\"\ndescription = \"a sample\"\nlicense = \"MIT\"\npublish = [%q]\n\n[dependencies]\n",
		name, version, registry)
	source := "/// Says who speaks.\npub fn name() -> String {\n    let mut all = String::from(\"" + name + "\");\n"
	for _, dep := range deps {
		manifest += fmt.Sprintf("%s = { version = \"0.1\", registry = %q }\n", dep, registry)
		source += "    all.push_str(&" + strings.ReplaceAll(dep, "-", "_") + "::name());\n"
	}
	source += "    all.push('.');\n    all\n}\n"
	if err := l.WriteFile(filepath.Join(dir, "Cargo.toml"), manifest); err != nil {
		return "", err
	}
	return dir, l.WriteFile(filepath.Join(dir, "src", "lib.rs"), source)
}
