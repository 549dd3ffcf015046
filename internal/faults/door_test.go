// What regkey writes goes through one package, or the harness would not see it.

package faults_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// writes are the functions that change files, by import path.
var writes = map[string][]string{
	"os": {
		"Chmod", "Chown", "Chtimes", "CopyFS", "Create", "CreateTemp", "Lchown", "Link", "Mkdir", "MkdirAll", "MkdirTemp", "OpenFile",
		"OpenInRoot", "OpenRoot", "Remove", "RemoveAll", "Rename", "Symlink", "Truncate", "WriteFile",
	},
	"syscall": {"Chmod", "Creat", "Link", "Mkdir", "Open", "Openat", "Rename", "Rmdir", "Symlink", "Unlink"},
	"golang.org/x/sys/unix": {
		"Chmod", "Creat", "Link", "Linkat", "Mkdir", "Mkdirat", "Open", "Openat", "Rename", "Renameat", "Renameat2", "Rmdir", "Symlink", "Unlink", "Unlinkat",
	},
	"io/ioutil": {"TempDir", "TempFile", "WriteFile"},
}

// reads are those that only look; what regkey keeps is read through the door too.
var reads = []string{"Lstat", "Open", "ReadDir", "ReadFile", "Stat"}

// strict are the folders whose every call, also to look, is one of a user's operations.
var strict = []string{"keys", "enroll", "cargo", "cmd/regkey"}

// elsewhere are the files that change something else than what regkey keeps, and why that is right.
var elsewhere = map[string]string{
	"internal/atomicfile/atomicfile.go":         "it is the door",
	"internal/terminal/tty_unix.go":             "opens the terminal",
	"internal/terminal/guard_unix.go":           "names its process, in /proc",
	"internal/terminal/tty_windows.go":          "opens the console",
	"internal/pinentry/conversation.go":         "opens the terminal for pinentry",
	"internal/agent/place_unix.go":              "makes a folder for sockets where everybody may, and must not make those above it",
	"internal/agent/keeper/listen_unix.go":      "the mode of the agent's socket",
	"internal/agent/keeper/stand.go":            "removes the agent's socket and lock, which nothing else depends on",
	"internal/keychain/keychaintest/session.go": "a keychain for tests alone",
	"keys/mount_linux.go":                       "asks how a file is mounted",
	"keys/mount_bsd.go":                         "asks how a file is mounted",
}

// fixtures are folders that only tests and the demonstration use.
var fixtures = []string{"internal/demo", "internal/e2e", "internal/faults", "internal/lab", "internal/realcargo", "internal/virtualpiv"}

func TestOneDoor(t *testing.T) {
	root := filepath.Join("..", "..")
	files, used := 0, map[string]bool{}
	for _, folder := range []string{"keys", "enroll", "cargo", "token", "registryclient", "cmd/regkey", "cmd/cargo-credential-regkey", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			name = filepath.ToSlash(name)
			for _, fixture := range fixtures {
				if strings.HasPrefix(name, fixture+"/") {
					return nil
				}
			}
			files++
			for _, found := range forbidden(t, path, name) {
				if elsewhere[name] == "" {
					t.Errorf("%s: %s: files are changed, and in %q also looked at, through internal/atomicfile alone, so that tests can stop there", name, found, strict)
				}
				used[name] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 150 {
		t.Errorf("only %d files were read", files)
	}
	for name := range elsewhere {
		if !used[name] && !strings.Contains(name, "mount_") {
			t.Errorf("%s needs no exception any more", name)
		}
	}
}

// forbidden are the calls, or other uses, of functions that are for the door alone.
func forbidden(t *testing.T, path, name string) (found []string) {
	t.Helper()
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	packages := map[string]string{} // by their names in this file
	for _, imported := range file.Imports {
		from, err := strconv.Unquote(imported.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if imported.Name != nil && imported.Name.Name == "." && writes[from] != nil {
			found = append(found, "import . "+from)
		}
		as := from[strings.LastIndexByte(from, '/')+1:]
		if imported.Name != nil {
			as = imported.Name.Name
		}
		packages[as] = from
	}
	looks := slices.ContainsFunc(strict, func(folder string) bool { return strings.HasPrefix(name, folder+"/") })
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		of, ok := s.X.(*ast.Ident)
		if !ok {
			return true
		}
		from := packages[of.Name]
		if slices.Contains(writes[from], s.Sel.Name) || from == "os" && looks && slices.Contains(reads, s.Sel.Name) {
			found = append(found, positions.Position(s.Pos()).String()+": "+from+"."+s.Sel.Name)
		}
		return true
	})
	return found
}
