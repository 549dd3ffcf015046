// docs/ci.md is true: its commands and both pipelines run as they stand there, with the real cargo,
// against a registry. Stand-ins do only what the platforms do.

package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/lab"
	"github.com/cargo-regkey/regkey/internal/realcargo"
)

// jobLimit bounds one script of a job, on the slowest machine.
const jobLimit = 5 * time.Minute

// A stage is where the page is acted: somebody's own machine, and what the platforms keep.
type stage struct {
	*lab.Lab
	t        *testing.T
	registry *lab.Registry
	project  string // a git repository
	loot     string // what the project's build script has got hold of
	sprung   string // what the project's traps have written
	jobs     int
}

func TestContinuousIntegration(t *testing.T) {
	needCargo(t)
	for _, tool := range []string{"bash", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("this test acts as a CI platform, and there is no %s here", tool)
		}
	}
	l := newLab(t)
	r := serve(t, l)
	enrolled(t, l, r, "laptop", "crates-team")
	s := &stage{Lab: l, t: t, registry: r, loot: filepath.Join(l.Dir, "loot"), sprung: filepath.Join(l.Dir, "sprung")}
	s.standIns()
	s.newProject()
	all := blocks(t, r.Index)
	github, gitlab := pipelines(t, all)

	var commands, pushes int
	push := func(run func() error) {
		pushes++
		s.release(fmt.Sprintf("0.%d.0", pushes))
		if err := run(); err != nil {
			t.Fatalf("pipeline %d: %v", pushes, err)
		}
		contains(t, "the registry's index", indexFile(t, r, l, "foo"), fmt.Sprintf(`"vers":"0.%d.0"`, pushes))
	}
	for _, b := range all {
		switch {
		case b.language == "sh":
			commands++
			s.type_(b.text)
			if strings.Contains(b.text, "rotate") {
				push(func() error { return s.actions(github) }) // with the new key
				push(func() error { return s.gitlab(gitlab) })  // with the old one, for a day
			}
		case b.language == "yaml" && strings.Contains(b.text, "\njobs:"):
			push(func() error { return s.actions(github) })
		case b.language == "yaml" && strings.Contains(b.text, "\nstages:"):
			push(func() error { return s.gitlab(gitlab) })
		}
	}
	if commands < 6 || pushes != 4 {
		t.Fatalf("docs/ci.md has only %d commands for people and %d pipelines", commands, pushes)
	}
	// The page ends with the key's revocation.
	s.release("0.9.0")
	if err := s.actions(github); err == nil || !strings.Contains(err.Error(), "is revoked") {
		t.Errorf("publishing with a revoked key: %v", err)
	}
	s.searchLoot()
}

// type_ runs a block of commands on the machine that manages the keys, as a person who says yes.
func (s *stage) type_(commands string) {
	s.t.Helper()
	script := "regkey() { case $1 in enroll|rotate|revoke) command regkey \"$@\" --yes;; *) command regkey \"$@\";; esac; }\n" + commands
	c := s.Command(s.t.Context(), "", "bash", "-e", "-c", script)
	c.Env = append(c.Env, "PATH="+filepath.Join(s.Dir, "stand-ins")+":"+s.Bin+":"+os.Getenv("PATH"))
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s\n%s", err, commands, out)
	}
}

// standIns writes the platforms' clients, which keep a secret, and a go that installs what was built.
func (s *stage) standIns() {
	s.t.Helper()
	keep := "umask 077\nmkdir -p '" + s.secrets() + "'\ncat > '" + s.secrets() + "/"
	install := `version='@v[0-9]*.[0-9]*.[0-9]*'
test "$1" = install && test $# = 2
case $2 in
github.com/cargo-regkey/regkey/cmd/cargo-credential-regkey$version|github.com/cargo-regkey/regkey/cmd/regkey$version) ;;
*) exit 1;;
esac
name=${2##*/} && mkdir -p "$GOBIN" && cp "` + s.Bin + `/${name%@*}" "$GOBIN/"
`
	for name, script := range map[string]string{
		"gh":   "test \"$*\" = 'secret set REGKEY_KEY --env publish'\n" + keep + "github'\n",
		"glab": "test \"$*\" = 'variable set REGKEY_KEY --type file --scope publish --protected'\n" + keep + "gitlab'\n",
		"go":   strings.ReplaceAll(install, "$version", "@v[0-9]*.[0-9]*.[0-9]*"),
	} {
		path := filepath.Join(s.Dir, "stand-ins", name)
		if err := s.WriteFile(path, "#!/bin/sh\nset -e\n"+script); err != nil {
			s.t.Fatal(err)
		}
		if err := os.Chmod(path, 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *stage) secrets() string { return filepath.Join(s.Dir, "platform") }

// A job is one run of a job on a fresh machine.
type job struct {
	*stage
	dir string
	env []string
}

// machine is a fresh one, with the tools and without our programs.
func (s *stage) machine(env ...string) *job {
	s.t.Helper()
	s.jobs++
	j := &job{stage: s, dir: filepath.Join(s.Dir, "jobs", fmt.Sprint(s.jobs))}
	for _, folder := range []string{"home", "temp", "work"} {
		if err := os.MkdirAll(filepath.Join(j.dir, folder), 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	j.env = append([]string{
		"HOME=" + filepath.Join(j.dir, "home"), "TMPDIR=" + filepath.Join(j.dir, "temp"), "LANG=C.UTF-8", "CARGO_INCREMENTAL=0",
		"CARGO_TERM_COLOR=never", "PATH=" + filepath.Join(s.Dir, "stand-ins") + ":" + os.Getenv("PATH"),
	}, env...)
	if _, _, err := realcargo.Find(); err == nil && os.Getenv("RUSTUP_HOME") != "" {
		j.env = append(j.env, "RUSTUP_HOME="+os.Getenv("RUSTUP_HOME"))
	}
	return j
}

// bash runs a script in a folder, and returns what it wrote if it fails.
func (j *job) bash(dir, script string, env []string, options ...string) error {
	j.t.Helper()
	file := filepath.Join(j.dir, "script")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		j.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(j.t.Context(), jobLimit)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", append(options, file)...)
	c.Dir, c.Env = dir, append(append([]string(nil), j.env...), env...)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s\n%s", err, script, out)
	}
	return nil
}

// checkout gives the job the project, as the platform would.
func (j *job) checkout(to string) {
	j.t.Helper()
	if out, err := gitCommand(j.t.Context(), j.dir, "clone", "--quiet", j.project, to).CombinedOutput(); err != nil {
		j.t.Fatalf("%v: %s", err, out)
	}
}

// clean wants nothing of the key left on the machine of a job that has ended.
func (j *job) clean() {
	j.t.Helper()
	var needles []string
	for _, secret := range j.everyKey() {
		needles = append(needles, forms(j.t, secret)...)
	}
	err := filepath.WalkDir(j.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			lacks(j.t, path, read(j.t, path), needles...)
		}
		return err
	})
	if err != nil {
		j.t.Error(err)
	}
}

// everyKey is the text of every key that lies on the machine that manages them.
func (s *stage) everyKey() []string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.RegkeyHome(), "keys", "*.key"))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("no key files to look for: %v", err)
	}
	var all []string
	for _, file := range files {
		all = append(all, strings.TrimSpace(read(s.t, file)))
	}
	return all
}

var expression = regexp.MustCompile(`\$\{\{ *([a-zA-Z_.]+) *\}\}`)

// actions runs the workflow, each job on a machine of its own.
func (s *stage) actions(w *actionsFile) error {
	s.t.Helper()
	done := map[string]bool{"": true}
	for _, next := range w.Jobs {
		if !done[next.value.Needs] {
			s.t.Fatalf("job %s needs %s, which has not run", next.name, next.value.Needs)
		}
		done[next.name] = true
		j := s.machine("GITHUB_ACTIONS=true")
		j.env = append(j.env, "RUNNER_TEMP="+filepath.Join(j.dir, "temp"), "GITHUB_WORKSPACE="+filepath.Join(j.dir, "work"))
		var failed error
		for _, step := range next.value.Steps {
			if failed == nil || step.If == "always()" {
				if err := j.step(w, next.value, step); err != nil && failed == nil {
					failed = fmt.Errorf("job %s: %w", next.name, err)
				}
			}
		}
		j.clean()
		s.traps(next.name)
		if failed != nil {
			return failed
		}
	}
	return nil
}

// step does one step. One that is given a secret finds no program to start: it has only the shell.
func (j *job) step(w *actionsFile, of actionsJob, step actionsStep) error {
	j.t.Helper()
	work := filepath.Join(j.dir, "work")
	switch {
	case strings.HasPrefix(step.Uses, "actions/checkout@"):
		j.checkout(filepath.Join(work, step.With["path"]))
		return nil
	case strings.HasPrefix(step.Uses, "actions/setup-go@"):
		return nil
	case step.Uses != "" || step.Run == "":
		j.t.Fatalf("no stand-in for the step %+v", step)
	}
	var env []string
	for _, source := range []map[string]string{w.Env, step.Env} {
		for name, value := range source {
			secret := false
			value = expression.ReplaceAllStringFunc(value, func(text string) string {
				switch name := expression.FindStringSubmatch(text)[1]; {
				case name == "runner.temp":
					return filepath.Join(j.dir, "temp")
				case name == "secrets.REGKEY_KEY" && of.Environment == "publish":
					secret = true
					return strings.TrimSpace(read(j.t, j.secrets(), "github"))
				}
				j.t.Fatalf("no stand-in for %s", text)
				return ""
			})
			env = append(env, name+"="+value)
			if secret {
				env = append(env, "PATH=/nonexistent")
			}
		}
	}
	if expression.MatchString(step.Run) {
		j.t.Fatalf("a script with an expression in it: %s", step.Run)
	}
	return j.bash(work, step.Run, env, "-e")
}

// gitlab runs the pipeline of a tag, each job in a container of its own.
func (s *stage) gitlab(p *gitlabFile) error {
	s.t.Helper()
	artifacts := map[string]string{}
	for _, next := range p.Jobs {
		j := s.machine("GITLAB_CI=true", "CI_COMMIT_TAG=v1")
		work := filepath.Join(j.dir, "work", "project")
		j.env = append(j.env, "CI_PROJECT_DIR="+work)
		for _, source := range []map[string]string{p.Variables, next.value.Variables} {
			for name, value := range source {
				j.env = append(j.env, name+"="+value)
			}
		}
		j.checkout(work)
		for _, need := range next.value.Needs {
			from, ran := artifacts[need]
			if !ran {
				s.t.Fatalf("job %s needs %s, which has not run", next.name, need)
			}
			if from != "" {
				if err := os.CopyFS(work, os.DirFS(from)); err != nil {
					s.t.Fatal(err)
				}
			}
		}
		file := filepath.Join(j.dir, "work", "project.tmp", "REGKEY_KEY")
		if next.value.Environment == "publish" {
			j.fileVariable(file)
		}
		err := j.bash(work, strings.Join(next.value.Script, "\n"), nil, "-eo", "pipefail")
		_ = os.Remove(file) // the container goes
		j.clean()
		s.traps(next.name)
		if err != nil {
			return fmt.Errorf("job %s: %w", next.name, err)
		}
		artifacts[next.name] = j.artifacts(next.value.Artifacts.Paths, work)
	}
	return nil
}

// fileVariable writes the secret where the job finds it, readable by everybody, as the runner does.
func (j *job) fileVariable(file string) {
	j.t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		j.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(read(j.t, j.secrets(), "gitlab")), 0o600); err != nil {
		j.t.Fatal(err)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		j.t.Fatal(err)
	}
	j.env = append(j.env, "REGKEY_KEY="+file)
}

// artifacts takes the paths out of the job's folder into one of their own; "" if there are none.
func (j *job) artifacts(paths []string, work string) string {
	j.t.Helper()
	if len(paths) == 0 {
		return ""
	}
	kept := filepath.Join(j.dir, "artifacts")
	for _, path := range paths {
		if err := os.CopyFS(filepath.Join(kept, path), os.DirFS(filepath.Join(work, path))); err != nil {
			j.t.Fatal(err)
		}
	}
	return kept
}
