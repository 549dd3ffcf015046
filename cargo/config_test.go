// Reads odd configurations, and compares what is read with what the real cargo does.

package cargo_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/cargo-regkey/regkey/cargo"
)

var update = flag.Bool("update", false, "write the golden parts of testdata/config anew")

// A scenario is one archive of testdata/config: a tree of files, below "run" the name that is
// asked for, the folder and the environment, and below "want" all that the package says about it.
type scenario struct {
	file     string
	archive  *txtar.Archive
	work     string // where the tree was laid out
	host     string // of the registry; in the archive it is registry.test
	dir      string
	registry string
	environ  []string
	// unlike says why cargo can't be compared, for the few scenarios where it can't.
	unlike string
}

func scenarios(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/config/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 40 {
		t.Fatalf("%d scenarios found, want at least 40", len(files))
	}
	return files
}

// layOut writes a scenario's tree into a new folder.
func layOut(t *testing.T, file, host string) *scenario {
	t.Helper()
	work, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{file: file, archive: archive, work: work, host: host, dir: "project"}
	for _, folder := range []string{"home", "project", "user"} {
		if err := os.Mkdir(filepath.Join(work, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range archive.Files {
		switch f.Name {
		case "run":
			s.parseRun(t, s.here(string(f.Data)))
		case "want":
		default:
			s.write(t, f.Name, s.here(string(f.Data)))
		}
	}
	s.dir = filepath.Join(work, filepath.FromSlash(s.dir))
	s.environ = append(s.environ, "HOME="+filepath.Join(work, "user"))
	if !slices.ContainsFunc(s.environ, func(e string) bool { return strings.HasPrefix(e, "CARGO_HOME=") }) {
		s.environ = append(s.environ, "CARGO_HOME="+filepath.Join(work, "home"))
	}
	return s
}

func (s *scenario) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(s.work, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if target, isLink := strings.CutPrefix(text, "symlink "); isLink {
		if err := os.Symlink(strings.TrimSpace(target), path); err != nil {
			t.Skipf("symbolic links: %v", err)
		}
		return
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s *scenario) parseRun(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch word {
		case "registry":
			s.registry = rest
		case "dir":
			s.dir = rest
		case "env":
			s.environ = append(s.environ, rest)
		case "unlike":
			s.unlike = rest
		default:
			t.Fatalf("%s: unknown word %q", s.file, word)
		}
	}
}

// here and neutral exchange the archive's names of places and the real ones.
func (s *scenario) here(text string) string {
	work := filepath.ToSlash(s.work)
	// $KEYS is the folder between quotes as the keys of tables, with which cargo confuses its dots.
	return strings.NewReplacer("$WORK", work, "$KEYS", strings.ReplaceAll(work, ".", `"."`), "registry.test", s.host).Replace(text)
}

func (s *scenario) neutral(text string) string {
	return strings.NewReplacer(filepath.ToSlash(s.work), "$WORK", s.host, "registry.test").Replace(filepath.ToSlash(text))
}

func (s *scenario) open() (*cargo.Config, error) {
	return cargo.OpenConfig(cargo.Environment{Dir: s.dir, UserHome: filepath.Join(s.work, "user"), Environ: s.environ})
}

// describe writes down all that the package says about the scenario's registry.
func (s *scenario) describe() string {
	var b strings.Builder
	config, err := s.open()
	if err != nil {
		fmt.Fprintf(&b, "open: %v\n", err)
		return s.neutral(b.String())
	}
	registry, err := config.Registry(s.registry)
	if err != nil {
		fmt.Fprintf(&b, "registry: %v\n", err)
	} else {
		fmt.Fprintf(&b, "registry: %s from %v\n", registry.Index, registry.Origin)
		if registry.CredentialProvider != nil {
			fmt.Fprintf(&b, "own: %q from %v\n", registry.CredentialProvider, registry.ProviderOrigin)
		}
		if named, found := config.RegistryByIndex(registry.Index); found {
			fmt.Fprintf(&b, "by index: %s\n", named.Name)
		}
	}
	index := "sparse+http://" + s.host + "/a/"
	providers, err := config.Providers(index)
	if err != nil {
		fmt.Fprintf(&b, "providers: %v\n", err)
	}
	for _, p := range providers {
		fmt.Fprintf(&b, "provider: %q from %v\n", p.Command, p.Origin)
	}
	for _, w := range config.Warnings(s.registry, index, []string{filepath.Join(s.work, "bin", "one")}) {
		fmt.Fprintf(&b, "warning: %v\n", w)
	}
	return s.neutral(b.String())
}

func TestConfig(t *testing.T) {
	for _, file := range scenarios(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			s := layOut(t, file, "registry.test")
			got := s.describe()
			if strings.Contains(got, "hunter2") {
				t.Errorf("a secret is shown:\n%s", got)
			}
			if *update {
				s.setWant(t, got)
				return
			}
			if diff := cmp.Diff(s.want(t), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func (s *scenario) want(t *testing.T) string {
	t.Helper()
	for _, f := range s.archive.Files {
		if f.Name == "want" {
			return string(f.Data)
		}
	}
	t.Fatalf("%s says not what it wants", s.file)
	return ""
}

func (s *scenario) setWant(t *testing.T, text string) {
	t.Helper()
	s.archive.Files = slices.DeleteFunc(s.archive.Files, func(f txtar.File) bool { return f.Name == "want" })
	s.archive.Files = append(s.archive.Files, txtar.File{Name: "want", Data: []byte(text)})
	if err := os.WriteFile(s.file, txtar.Format(s.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestConfigLikeCargo runs the real cargo in every scenario: it must start the very program that
// Providers names first, with its arguments, for the index that Registry names, or refuse where
// they do.
func TestConfigLikeCargo(t *testing.T) {
	real := startCargo(t)
	for _, file := range scenarios(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			s := layOut(t, file, real.host)
			if s.unlike != "" {
				t.Skip("not compared with the real cargo: " + s.unlike)
			}
			linkProviders(t, filepath.Join(s.work, "bin"), "one", "two", "two.one", "with space")
			got, output, err := real.ownerList(t, s.dir, s.registry, s.environ)
			t.Logf("%s", output)
			want := s.expect()
			if want == nil {
				if err == nil || got != nil {
					t.Errorf("cargo asked %+v (error %v), want it to refuse", got, err)
				}
				return
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// expect is how cargo asks the first provider that is a program; nil if it will refuse.
func (s *scenario) expect() *asked {
	config, err := s.open()
	if err != nil {
		return nil
	}
	registry, err := config.Registry(s.registry)
	if err != nil {
		return nil
	}
	providers, err := config.Providers(registry.Index)
	if err != nil {
		return nil
	}
	for _, p := range providers {
		if !strings.HasPrefix(p.Command[0], "cargo:") {
			return &asked{Program: p.Command[0], Args: p.Command[1:], Index: registry.Index}
		}
	}
	return nil
}

// TestRegistryErrors: the errors carry what a command needs to say.
func TestRegistryErrors(t *testing.T) {
	open := func(name string) (*scenario, *cargo.Config) {
		s := layOut(t, "testdata/config/"+name+".txtar", "registry.test")
		config, err := s.open()
		if err != nil {
			t.Fatal(err)
		}
		return s, config
	}
	s, config := open("project-index")
	_, err := config.Registry("lab")
	var override *cargo.ProjectOverrideError
	if !errors.As(err, &override) {
		t.Fatalf("error %v", err)
	}
	want := cargo.ProjectOverrideError{
		Name: "lab", Index: "sparse+http://registry.test/b/", Own: labIndex,
		Project: cargo.Origin{File: filepath.Join(s.work, "project", ".cargo", "config.toml"), Line: 2},
	}
	if diff := cmp.Diff(want, *override); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	s, config = open("project-only")
	if _, err = config.Registry("lab"); !errors.As(err, &override) || override.Own != "" {
		t.Errorf("error %v", err)
	}
	var unknown *cargo.UnknownRegistryError
	if _, err = config.Registry("other"); !errors.As(err, &unknown) || unknown.Home != filepath.Join(s.work, "home") {
		t.Errorf("error %v", err)
	}
	if named, found := config.RegistryByIndex(labIndex); found {
		t.Errorf("an index that a project alone knows is found: %+v", named)
	}
}

// TestEnvironmentHasNoHome: without CARGO_HOME and without a home folder there is an error.
func TestEnvironmentHasNoHome(t *testing.T) {
	if _, err := cargo.OpenConfig(cargo.Environment{Dir: t.TempDir(), Environ: []string{"CARGO_HOME="}}); err == nil {
		t.Error("no error")
	}
	if _, err := cargo.OpenConfig(cargo.Environment{Dir: "relative", UserHome: t.TempDir()}); err == nil {
		t.Error("a relative working folder is accepted")
	}
}

// TestCurrentEnvironment: the working folder is the physical one, though $PWD names the way by a link.
func TestCurrentEnvironment(t *testing.T) {
	work, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	folder, link := filepath.Join(work, "real", "project"), filepath.Join(work, "link")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	symlink(t, folder, link)
	t.Chdir(link) // which sets PWD, as a shell does
	t.Setenv("CARGO_HOME", "rel")
	env, err := cargo.CurrentEnvironment()
	if err != nil || env.Dir != folder {
		t.Fatalf("working folder %q, want %q (%v)", env.Dir, folder, err)
	}
	if home, err := env.CargoHome(); err != nil || home != filepath.Join(folder, "rel") {
		t.Errorf("cargo's home %q, %v", home, err)
	}
}
