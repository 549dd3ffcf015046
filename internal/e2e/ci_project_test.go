// A project with everything in it that could reach for the key: a build script that collects what it
// can see, and settings that have cargo start other programs.

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/internal/realcargo"
)

// collector is a build script that writes its environment and every file below $HOME and $TMPDIR
// to LOOT.
const collector = `use std::{env, fs, io::Write, path::Path};

fn collect(dir: &Path, loot: &mut fs::File) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&path, loot),
            Ok(kind) if kind.is_file() => {
                writeln!(loot, "file {}", path.display()).unwrap();
                if let Ok(content) = fs::read(&path) { loot.write_all(&content).unwrap(); }
            }
            _ => {}
        }
    }
}

fn main() {
    let mut loot = fs::OpenOptions::new().create(true).append(true).open("LOOT").unwrap();
    for (name, value) in env::vars_os() {
        writeln!(loot, "variable {}={}", name.display(), value.display()).unwrap();
    }
    for name in ["HOME", "TMPDIR"] {
        collect(Path::new(&env::var_os(name).unwrap()), &mut loot);
    }
    println!("cargo::rerun-if-changed=no such file");
}
`

// newProject makes the crate foo, in a git repository.
func (s *stage) newProject() {
	s.t.Helper()
	s.project = filepath.Join(s.Dir, "project")
	wrapper := filepath.Join(s.Dir, "traps", "wrapper")
	for path, content := range map[string]string{
		"src/lib.rs":         "//! A sample.\n#[test]\nfn works() {}\n",
		"build.rs":           strings.ReplaceAll(collector, "LOOT", s.loot),
		".gitignore":         "/target\n",
		".cargo/config.toml": "[build]\nrustc-wrapper = \"" + wrapper + "\"\n[credential-alias]\ncargo-credential-regkey = \"" + wrapper + "\"\n",
	} {
		if err := s.WriteFile(filepath.Join(s.project, path), content); err != nil {
			s.t.Fatal(err)
		}
	}
	s.trap(wrapper, `exec "$@"`)
	s.git("init", "--quiet")
}

// trap writes a program that leaves a trace.
func (s *stage) trap(path, then string) {
	s.t.Helper()
	if err := s.WriteFile(path, "#!/bin/sh\necho \"$0 $*\" >> '"+s.sprung+"'\n"+then+"\n"); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) git(args ...string) {
	s.t.Helper()
	if out, err := gitCommand(s.t.Context(), s.project, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// gitCommand is git in a folder, whatever git of whoever runs the tests is set to: they may have hooks, sign what
// they commit, or run this from a hook, which tells all gits below it where the repository is.
func gitCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
	c.Dir = dir
	c.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "GIT_") })
	c.Env = append(c.Env, "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
	return c
}

// release commits a version.
func (s *stage) release(version string) {
	s.t.Helper()
	manifest := "[package]\nname = \"foo\"\nversion = \"" + version + "\"\nedition = \"" + edition() + "\"\ndescription = \"a sample\"\nlicense = \"MIT\"\npublish = [\"lab\"]\n"
	if err := s.WriteFile(filepath.Join(s.project, "Cargo.toml"), manifest); err != nil {
		s.t.Fatal(err)
	}
	s.git("add", ".")
	s.git("commit", "--quiet", "--message", version)
}

// edition is the newest edition of Rust that cargo knows: with 2024's resolver it asks rustc for its
// version, even with --no-verify.
func edition() string {
	_, version, _ := realcargo.Find()
	var minor int
	if _, err := fmt.Sscanf(version, "cargo 1.%d", &minor); err != nil || minor < 85 {
		return "2021"
	}
	return "2024"
}

// traps wants the project's traps sprung where the project is built, and nowhere else.
func (s *stage) traps(name string) {
	s.t.Helper()
	trace, err := os.ReadFile(s.sprung)
	if (err == nil) != (name == "build") {
		s.t.Errorf("job %s: the project's own programs: %v\n%s", name, err, trace)
	}
	_ = os.Remove(s.sprung)
}

// searchLoot wants that the build script saw a lot, and no key.
func (s *stage) searchLoot() {
	s.t.Helper()
	loot := read(s.t, s.loot)
	contains(s.t, "the loot", loot, "variable CARGO_REGISTRIES_LAB_INDEX=", "variable GITHUB_ACTIONS=", "variable GITLAB_CI=", "file "+s.Dir)
	for _, secret := range s.everyKey() {
		lacks(s.t, "what the build script collected", loot, forms(s.t, secret)...)
	}
	lacks(s.t, "what the build script collected", loot, "REGKEY_KEY_FILE", "k4.secret.", "k3.secret.")
}

// TestCollectorFinds shows that the build script of these tests is able to find a key.
func TestCollectorFinds(t *testing.T) {
	needCargo(t)
	l := newLab(t)
	s := &stage{Lab: l, t: t, loot: filepath.Join(l.Dir, "loot"), sprung: filepath.Join(l.Dir, "sprung")}
	s.newProject()
	s.release("0.1.0")
	l.Env = []string{"KEY=in a variable", "CARGO_REGISTRIES_LAB_INDEX=sparse+http://127.0.0.1:9/", "TMPDIR=" + filepath.Join(l.Dir, "temp")}
	for path, content := range map[string]string{"home/deep/key": "in a home", "temp/key": "in a temporary folder"} {
		if err := l.WriteFile(path, content); err != nil {
			t.Fatal(err)
		}
	}
	must(t, l, s.project, "", "cargo", "check", "--quiet")
	contains(t, "the loot", read(t, s.loot), "in a variable", "in a home", "in a temporary folder")
}

// TestCheckoutSteersCargo holds the page's reason for publishing from outside of the checkout: inside, each
// of these starts a program of the project's, even with --no-verify.
func TestCheckoutSteersCargo(t *testing.T) {
	needCargo(t)
	for name, config := range map[string]struct{ path, content string }{
		"credential-alias": {".cargo/config.toml", "[credential-alias]\ncargo-credential-regkey = \"TRAP\"\n"},
		"rustc":            {".cargo/config.toml", "[build]\nrustc = \"TRAP\"\n"},
		"rustc-wrapper":    {".cargo/config.toml", "[build]\nrustc-wrapper = \"TRAP\"\n"},
		"toolchain":        {"rust-toolchain.toml", "[toolchain]\npath = \"TOOLCHAIN\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "toolchain" && os.Getenv("RUSTUP_HOME") == "" {
				t.Skip("this cargo is not rustup's")
			}
			if edition() != "2024" {
				t.Skip("this cargo knows no edition whose resolver asks rustc for its version")
			}
			l := newLab(t)
			s := &stage{Lab: l, t: t, registry: serve(t, l), loot: filepath.Join(l.Dir, "loot"), sprung: filepath.Join(l.Dir, "sprung")}
			enrolled(t, l, s.registry, "laptop", "crates-team")
			s.newProject()
			trap := filepath.Join(l.Dir, "toolchain", "bin", "cargo")
			s.trap(trap, "exit 1")
			s.trap(filepath.Join(l.Dir, "toolchain", "bin", "rustc"), "exit 1")
			content := strings.NewReplacer("TRAP", trap, "TOOLCHAIN", filepath.Join(l.Dir, "toolchain")).Replace(config.content)
			if err := os.RemoveAll(filepath.Join(s.project, ".cargo")); err != nil {
				t.Fatal(err)
			}
			if err := s.WriteFile(filepath.Join(s.project, config.path), content); err != nil {
				t.Fatal(err)
			}
			s.release("0.1.0")
			l.Env = []string{"CARGO_REGISTRIES_LAB_CREDENTIAL_PROVIDER=cargo-credential-regkey"}
			publish := []string{"publish", "--no-verify", "--registry", "lab", "--manifest-path", filepath.Join(s.project, "Cargo.toml")}
			// Whether that succeeds is of no interest; what it starts is.
			if _, err := l.Run(t.Context(), s.project, "", "cargo", publish...); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(s.sprung); err != nil {
				t.Errorf("inside the checkout: %v", err)
			}
			_ = os.Remove(s.sprung)
			s.release("0.2.0")
			must(t, l, "", "", "cargo", append(publish, "--target-dir", filepath.Join(l.Dir, "target"))...)
			if _, err := os.Stat(s.sprung); err == nil {
				t.Errorf("outside of the checkout: %s", read(t, s.sprung))
			}
		})
	}
}
