// The operator's guide against the code: every code of a refusal, its status, and the sample in Go.

package registry_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const guide = "../docs/registry.md"

// refusals are the statuses of each code, in order.
type refusals map[string][]int

func (r refusals) add(code string, status int) {
	if !slices.Contains(r[code], status) {
		r[code] = append(r[code], status)
		slices.Sort(r[code])
	}
}

var codeText = regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`)

// statusOf is the number of an expression like http.StatusForbidden.
func statusOf(e ast.Expr) int {
	name, ok := e.(*ast.SelectorExpr)
	if !ok {
		return 0
	}
	for status := 400; status < 600; status++ {
		if text := http.StatusText(status); text != "" && name.Sel.Name == "Status"+strings.ReplaceAll(text, " ", "") {
			return status
		}
	}
	return 0
}

func literal(e ast.Expr) string {
	basic, ok := e.(*ast.BasicLit)
	if !ok || basic.Kind != token.STRING {
		return ""
	}
	text, _ := strconv.Unquote(basic.Value)
	return text
}

// inspectPackage calls visit for each node of a package's sources, tests left out.
func inspectPackage(t *testing.T, dir string, visit func(ast.Node)) {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("%s: no sources, %v", dir, err)
	}
	for _, path := range sources {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool { visit(n); return true })
	}
}

// declared are the values of a package's constants whose names begin with prefix, or that have the type Code.
func declared(t *testing.T, dir string, status func(name, code string) int, all refusals) {
	t.Helper()
	found := 0
	inspectPackage(t, dir, func(n ast.Node) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return
		}
		name, code := spec.Names[0].Name, literal(spec.Values[0])
		typed, _ := spec.Type.(*ast.Ident)
		if codeText.MatchString(code) && (strings.HasPrefix(name, "Code") || typed != nil && typed.Name == "Code") {
			found++
			all.add(code, status(name, code))
		}
	})
	if found < 5 {
		t.Fatalf("%s declares %d codes: does this test still see them?", dir, found)
	}
}

// written are the codes that a package writes where it refuses: refuse(status, code, …), RuleError{Code: …}, Error{Status: …, Code: …}
// and the first of the two words of an entry in an answer made by hand.
func written(t *testing.T, dir string, all refusals) {
	t.Helper()
	inspectPackage(t, dir, func(n ast.Node) {
		switch n := n.(type) {
		case *ast.CallExpr:
			if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "refuse" && len(n.Args) > 2 {
				if code := literal(n.Args[1]); code != "" {
					all.add(code, statusOf(n.Args[0]))
				}
			}
		case *ast.CompositeLit:
			code, status := "", http.StatusForbidden // that of a RuleError
			for _, element := range n.Elts {
				pair, ok := element.(*ast.KeyValueExpr)
				if !ok {
					if text := literal(element); len(n.Elts) == 2 && codeText.MatchString(text) {
						code, status = text, http.StatusConflict
					}
					continue
				}
				switch key, _ := pair.Key.(*ast.Ident); {
				case key != nil && key.Name == "Code":
					code = literal(pair.Value)
				case key != nil && key.Name == "Status":
					status = statusOf(pair.Value)
				}
			}
			if code != "" {
				all.add(code, status)
			}
		}
	})
}

// fromCode collects what the registry can answer.
func fromCode(t *testing.T) refusals {
	t.Helper()
	all := refusals{}
	declared(t, "../token", func(name, _ string) int {
		if name == "CodeMissing" {
			return http.StatusUnauthorized
		}
		return http.StatusForbidden
	}, all)
	declared(t, "../enroll", func(string, string) int { return http.StatusForbidden }, all)
	declared(t, "crate", func(_, code string) int {
		if strings.HasSuffix(code, "-too-large") {
			return http.StatusRequestEntityTooLarge
		}
		return http.StatusBadRequest
	}, all)
	written(t, ".", all)
	written(t, "verify", all)
	for _, code := range []string{"keyset-conflict", "bootstrap-expired", "internal-error", "account-frozen"} {
		if len(all[code]) != 1 {
			t.Fatalf("%s is found with the statuses %v: does this test still see it?", code, all[code])
		}
	}
	return all
}

func TestGuideHasEveryCode(t *testing.T) {
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| ([0-9, ]+) \\| (.+) \\|$").FindAllStringSubmatch(string(text), -1)
	told := refusals{}
	for _, row := range rows {
		if told[row[1]] != nil {
			t.Errorf("%s stands twice", row[1])
		}
		for number := range strings.SplitSeq(row[2], ", ") {
			status, _ := strconv.Atoi(number)
			told.add(row[1], status)
		}
	}
	all := fromCode(t)
	for code, statuses := range all {
		if !slices.Equal(told[code], statuses) {
			t.Errorf("%s: the guide has the status %v, the registry answers %v", code, told[code], statuses)
		}
	}
	for code := range told {
		if all[code] == nil {
			t.Errorf("%s: the registry has no such code", code)
		}
	}
}

func TestGuideHasTheExample(t *testing.T) {
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("verify/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```go\n")
	sample, _, closed := strings.Cut(rest, "```\n")
	if !found || !closed || len(sample) < 200 {
		t.Fatal("the guide shows no Go")
	}
	if !strings.Contains(string(example), sample) {
		t.Error("the guide's Go is not the example's, which is compiled and run")
	}
}
