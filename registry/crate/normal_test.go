// Normal forms of requirements and targets, with cargo itself as the second opinion.

package crate

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/internal/realcargo"
)

var requirements = map[string]string{
	"1": "^1", "0": "^0", "1.2": "^1.2", "1.2.3": "^1.2.3", "^1.2": "^1.2", "~1": "~1", "~ 1.2": "~1.2",
	"=1.2.3": "=1.2.3", "= 1": "=1", ">1.0": ">1.0", ">= 1.2 , < 3": ">=1.2, <3", "<=2": "<=2", ">=1,<2": ">=1, <2",
	"*": "*", "x": "*", " X ": "*", "1.*": "1.*", "1.x": "1.*", "1.2.*": "1.2.*", "1.*.*": "1.*", "1.2.X": "1.2.*",
	"=1.*": "=1", ">=1.2.*": ">=1.2", "~1.*": "~1", "2.0.0-beta.1": "^2.0.0-beta.1", "1.2.3+meta": "^1.2.3",
	"=1.2.3-a.0-b+c-d.e": "=1.2.3-a.0-b", "1, 2": "^1, ^2", "  1  ": "^1", "18446744073709551615": "^18446744073709551615",
	"1.2.3--": "^1.2.3--",
}

var badRequirements = []string{
	"a", "1.2.3.4", "01", "1.02", "*.1", "1.*.2", "*, 1", "1, *", "1,", ",1", "1 2", ">=", "==1", "=>1", "1.", ".1",
	"1-a", "1.2-a", "1.*-a", "1+a", "1.2.3-", "1.2.3+", "1.2.3-01", "1.2.3-a..b", "1.2.3-é", "18446744073709551616", "1\t", "^^1", "v1", "1.2.*+a",
}

var targets = map[string]string{
	"x86_64-unknown-linux-gnu": "x86_64-unknown-linux-gnu",
	"thumbv7em-none-eabi.v2":   "thumbv7em-none-eabi.v2",
	"cfg(unix)":                "cfg(unix)",
	"cfg( unix )":              "cfg(unix)",
	`cfg(target_os="linux")`:   `cfg(target_os = "linux")`,
	`cfg(all(unix,not(windows ) , any( a="b c" ,d,)))`: `cfg(all(unix, not(windows), any(a = "b c", d)))`,
	"cfg(all())":          "cfg(all())",
	"cfg(any())":          "cfg(any())",
	"cfg(_x9)":            "cfg(_x9)",
	"cfg(true)":           "cfg(true)",
	"cfg(r#true)":         "cfg(true)",
	`cfg(r#true = "x")`:   `cfg(r#true = "x")`,
	"cfg(r#unix)":         "cfg(r#unix)",
	`cfg(feature = "é\")`: `cfg(feature = "é\")`,
}

var badTargets = []string{
	"cfg(", "cfg()", "cfg(a", "cfg(a))", "cfg(a b)", "cfg(a = b)", `cfg(a = "b)`, "cfg(all(a)", "cfg(not())", "cfg(not(a, b))",
	"cfg(,)", "cfg(a,)", "cfg(1)", `cfg("a")`, "a b", "a/b", "cfg (a)", "cfg(é)", "cfg(a) ", `cfg(a == "b")`, "cfg(all(,))",
	"cfg(all)", `cfg(any = "x")`, "cfg(r#all(a))",
}

func TestNormalRequirement(t *testing.T) {
	for text, want := range requirements {
		got, err := normalRequirement(text)
		if err != nil || got != want {
			t.Errorf("%q becomes %q (%v); want %q", text, got, err, want)
		}
		if again, err := normalRequirement(want); err != nil || again != want {
			t.Errorf("the normal form %q becomes %q (%v)", want, again, err)
		}
	}
	for _, text := range append(badRequirements, "", " ", strings.Repeat("1,", 40)+"1", strings.Repeat("1", 2000)) {
		if got, err := normalRequirement(text); err == nil {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

func TestNormalTarget(t *testing.T) {
	for text, want := range targets {
		got, err := normalTarget(text)
		if err != nil || got != want {
			t.Errorf("%s becomes %s (%v); want %s", text, got, err, want)
		}
		if again, err := normalTarget(want); err != nil || again != want {
			t.Errorf("the normal form %s becomes %s (%v)", want, again, err)
		}
	}
	deep := "cfg(" + strings.Repeat("not(", 1000) + "a" + strings.Repeat(")", 1000) + ")"
	for _, text := range append(badTargets, deep, strings.Repeat("a", 10_000)) {
		if got, err := normalTarget(text); err == nil {
			t.Errorf("%s becomes %s", text, got)
		}
	}
}

// findCargo returns the cargo to ask, or skips the test and says why.
func findCargo(t *testing.T) string {
	t.Helper()
	path, _, err := realcargo.Find()
	if err != nil {
		t.Skipf("not compared with the real cargo: %v", err)
	}
	return path
}

// withoutCargo is an environment without what somebody has set for a cargo of his own.
func withoutCargo(environ []string) []string {
	return slices.DeleteFunc(environ, func(e string) bool { return strings.HasPrefix(e, "CARGO_") })
}

// askCargo has cargo read a manifest with the given dependency lines and returns each
// dependency's requirement and target as cargo prints them.
func askCargo(t *testing.T, cargo, home, lines string) (map[string][2]string, error) {
	t.Helper()
	folder := t.TempDir()
	manifest := "[package]\nname = \"demo\"\nversion = \"1.0.0\"\nedition = \"2021\"\n" + lines
	if err := os.WriteFile(filepath.Join(folder, "Cargo.toml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(folder, "src"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "src", "lib.rs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(cargo, "metadata", "--no-deps", "--format-version", "1", "--offline")
	command.Dir = folder
	command.Env = append(withoutCargo(os.Environ()), "CARGO_HOME="+home)
	out, err := command.Output()
	if err != nil {
		return nil, err
	}
	var document struct {
		Packages []struct {
			Dependencies []struct {
				Name   string `json:"name"`
				Req    string `json:"req"`
				Target string `json:"target"`
			} `json:"dependencies"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(out, &document); err != nil {
		t.Fatal(err)
	}
	found := map[string][2]string{}
	for _, p := range document.Packages {
		for _, d := range p.Dependencies {
			found[d.Name] = [2]string{d.Req, d.Target}
		}
	}
	return found, nil
}

func TestNormalFormsAgainstCargo(t *testing.T) {
	cargo, home := findCargo(t), t.TempDir()
	var lines strings.Builder
	want := map[string][2]string{}
	for text, normal := range requirements {
		name := fmt.Sprintf("r%d", len(want))
		fmt.Fprintf(&lines, "[dependencies.%s]\nversion = '%s'\n", name, text)
		want[name] = [2]string{normal, ""}
	}
	for text, normal := range targets {
		name := fmt.Sprintf("t%d", len(want))
		fmt.Fprintf(&lines, "[target.'%s'.dependencies]\n%s = '1'\n", text, name)
		want[name] = [2]string{"^1", normal}
	}
	got, err := askCargo(t, cargo, home, lines.String())
	if err != nil {
		t.Fatalf("cargo refuses what we take: %v\n%s", err, stderr(err))
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("cargo prints %q; want %q", got[name], w)
		}
	}
	for _, text := range badRequirements {
		if got, err := askCargo(t, cargo, home, fmt.Sprintf("[dependencies]\na = %q\n", text)); err == nil {
			t.Errorf("cargo takes the requirement %q as %v, we refuse it", text, got)
		}
	}
	for _, text := range badTargets {
		if got, err := askCargo(t, cargo, home, fmt.Sprintf("[target.'%s'.dependencies]\na = '1'\n", text)); err == nil {
			t.Errorf("cargo takes the target %s as %v, we refuse it", text, got)
		}
	}
}

func stderr(err error) string {
	if exit, ok := err.(*exec.ExitError); ok {
		return string(exit.Stderr)
	}
	return ""
}
