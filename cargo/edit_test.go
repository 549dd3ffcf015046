// Edits odd files: literal bytes before and after, and what is refused.

package cargo_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pelletier/go-toml/v2"

	"github.com/cargo-regkey/regkey/cargo"
)

const (
	program   = "/opt/regkey/cargo-credential-regkey"
	labIndex  = "sparse+http://registry.test/a/"
	indexLine = `index = "` + labIndex + `"`
	ourLine   = `credential-provider = ["` + program + `"]`
	mark      = "\xef\xbb\xbf"
)

// edits are files before and after; where nothing changes, after is empty.
var edits = []struct{ name, before, after string }{
	{"no file", "", "[registries.lab]\n" + indexLine + "\n" + ourLine + "\n"},
	{"blank lines", "\n\n", "\n\n[registries.lab]\n" + indexLine + "\n" + ourLine + "\n"},
	{"blanks without line break", "  ", "  \n\n[registries.lab]\n" + indexLine + "\n" + ourLine + "\n"},
	{"comment alone", "# mine", "# mine\n\n[registries.lab]\n" + indexLine + "\n" + ourLine + "\n"},
	{"byte order mark", mark, mark + "[registries.lab]\n" + indexLine + "\n" + ourLine + "\n"},
	{
		"byte order mark and table", mark + "[registries.lab]\n" + indexLine + "\n",
		mark + "[registries.lab]\n" + indexLine + "\n" + ourLine + "\n",
	},
	{
		"byte order mark, blank, table", mark + "  [registries.lab] # x\n",
		mark + "  [registries.lab] # x\n  " + ourLine + "\n",
	},
	{"one empty line is kept", "[build]\njobs = 1\n\n", "[build]\njobs = 1\n\n[registries.lab]\n" + indexLine + "\n" + ourLine + "\n"},
	{"no empty line yet", "[build]\njobs = 1\n", "[build]\njobs = 1\n\n[registries.lab]\n" + indexLine + "\n" + ourLine + "\n"},
	{"no final line break", "[build]\njobs = 1", "[build]\njobs = 1\n\n[registries.lab]\n" + indexLine + "\n" + ourLine + "\n"},
	{
		"carriage returns", "[build]\r\njobs = 1\r\n",
		"[build]\r\njobs = 1\r\n\r\n[registries.lab]\r\n" + indexLine + "\r\n" + ourLine + "\r\n",
	},
	{
		"carriage returns, empty line", "[build]\r\njobs = 1\r\n\r\n",
		"[build]\r\njobs = 1\r\n\r\n[registries.lab]\r\n" + indexLine + "\r\n" + ourLine + "\r\n",
	},
	{
		"carriage returns in the table", "[registries.lab]\r\n" + indexLine + "\r\n\r\n[build]\r\n",
		"[registries.lab]\r\n" + indexLine + "\r\n" + ourLine + "\r\n\r\n[build]\r\n",
	},
	{
		"mixed line breaks", "[build]\r\n\n[registries.lab]\n" + indexLine + "\n# end\r\n",
		"[build]\r\n\n[registries.lab]\n" + indexLine + "\n" + ourLine + "\n# end\r\n",
	},
	{
		"after the last key", "[registries.lab]\n" + indexLine + " # where\n\n# about build\n[build]\n",
		"[registries.lab]\n" + indexLine + " # where\n" + ourLine + "\n\n# about build\n[build]\n",
	},
	{
		"table at the end without line break", "[registries.lab]\n" + indexLine,
		"[registries.lab]\n" + indexLine + "\n" + ourLine,
	},
	{
		"table at the end without line break, carriage returns", "[registries.lab]\r\n" + indexLine + " # x",
		"[registries.lab]\r\n" + indexLine + " # x\r\n" + ourLine,
	},
	{"empty table", "[registries.lab]", "[registries.lab]\n" + ourLine},
	{"empty table before another", "[registries.lab]\n[build]\n", "[registries.lab]\n" + ourLine + "\n[build]\n"},
	{
		"tabs", "[registries]\n\t[registries.lab]\n\t\t" + indexLine + "\n\t[registries.other]\n",
		"[registries]\n\t[registries.lab]\n\t\t" + indexLine + "\n\t\t" + ourLine + "\n\t[registries.other]\n",
	},
	{
		"last value of several lines", "[registries.lab]\n" + indexLine + "\nx = [\n  1, # one\n] # end\ny = '''\n[build]\n'''\n[z]\n",
		"[registries.lab]\n" + indexLine + "\nx = [\n  1, # one\n] # end\ny = '''\n[build]\n'''\n" + ourLine + "\n[z]\n",
	},
	{
		"a text that looks like the table", "a = '''\n[registries.lab]\n'''\n",
		"a = '''\n[registries.lab]\n'''\n\n[registries.lab]\n" + indexLine + "\n" + ourLine + "\n",
	},
	{
		"a comment that looks like the key", "[registries.lab]\n# credential-provider = \"x\"\n" + indexLine + "\n",
		"[registries.lab]\n# credential-provider = \"x\"\n" + indexLine + "\n" + ourLine + "\n",
	},
	{
		"quoted keys", "[\"registries\" . 'lab']\n\"index\" = \"" + labIndex + "\"\n'credential-provider' = 'old'  # why\n",
		"[\"registries\" . 'lab']\n\"index\" = \"" + labIndex + "\"\n'credential-provider' = [\"" + program + "\"]  # why\n",
	},
	{
		"escaped key", "[registries.\"l\\u0061b\"]\n\"credential\\u002dprovider\" = \"old\"\n",
		"[registries.\"l\\u0061b\"]\n\"credential\\u002dprovider\" = [\"" + program + "\"]\n",
	},
	{
		"a string is replaced", "[registries.lab]\ncredential-provider=\"cargo:token\"#c\n" + indexLine + "\n",
		"[registries.lab]\ncredential-provider=[\"" + program + "\"]#c\n" + indexLine + "\n",
	},
	{
		"a string of several lines is replaced", "[registries.lab]\ncredential-provider = \"\"\"\ncargo:\\\n   token\"\"\"\n" + indexLine + "\n",
		"[registries.lab]\n" + ourLine + "\n" + indexLine + "\n",
	},
	{
		"our own program as a string becomes a list", "[registries.lab]\ncredential-provider = '" + program + "'\n",
		"[registries.lab]\n" + ourLine + "\n",
	},
	{
		"a list is replaced", "[registries.lab]\ncredential-provider = [ \"a\" , 'b' ] # c\n",
		"[registries.lab]\n" + ourLine + " # c\n",
	},
	{
		"a list of several lines with comments", "[registries.lab]\r\ncredential-provider = [ # first ]\r\n  \"a\", # ]\r\n  # \"b\"\r\n  ']',\r\n]\t# last\r\n" + indexLine + "\r\n",
		"[registries.lab]\r\n" + ourLine + "\t# last\r\n" + indexLine + "\r\n",
	},
	{
		"arguments are dropped", "[registries.lab]\ncredential-provider = [\"" + program + "\", \"--old\"]\n",
		"[registries.lab]\n" + ourLine + "\n",
	},
	{"nothing to do", "[registries.lab]\n" + indexLine + "\n" + ourLine + "\n", ""},
	{"nothing to do, written otherwise", "[registries.lab]\ncredential-provider = [\n  '" + program + "', # ours\n]\n", ""},
	{"nothing to do, inline", "registries = {lab = {credential-provider = ['" + program + "']}}\n", ""},
	{"nothing to do, dotted", "registries.lab.credential-provider = ['" + program + "']\n", ""},
	{
		"other registries", "[registries.laboratory]\nindex = \"https://x.test/\"\n\n[registries.other]\ncredential-provider = \"x\"\n",
		"[registries.laboratory]\nindex = \"https://x.test/\"\n\n[registries.other]\ncredential-provider = \"x\"\n\n[registries.lab]\n" + indexLine + "\n" + ourLine + "\n",
	},
	{
		"others under dotted keys", "registries.other.index = \"https://x.test/\"\n",
		"registries.other.index = \"https://x.test/\"\n\n[registries.lab]\n" + indexLine + "\n" + ourLine + "\n",
	},
	{
		"others in a table of tables", "[registries]\nother = {index = \"https://x.test/\"}\n",
		"[registries]\nother = {index = \"https://x.test/\"}\n\n[registries.lab]\n" + indexLine + "\n" + ourLine + "\n",
	},
	{
		"a table before its parent", "[registries.lab]\n" + indexLine + "\n[registries]\n",
		"[registries.lab]\n" + indexLine + "\n" + ourLine + "\n[registries]\n",
	},
	{
		"a dotted key inside the table", "[registries.lab]\n" + indexLine + "\nx.y = 1\n[registries.lab.z]\ncredential-provider = 'not this'\n",
		"[registries.lab]\n" + indexLine + "\nx.y = 1\n" + ourLine + "\n[registries.lab.z]\ncredential-provider = 'not this'\n",
	},
	{
		"the index spelt otherwise stays", "[registries.lab]\nindex = \"SPARSE+http://registry.test/a/\"\n",
		"[registries.lab]\nindex = \"SPARSE+http://registry.test/a/\"\n" + ourLine + "\n",
	},
	{
		"letters beyond ASCII", "# żółw\n[registries.lab] # ⚙\n" + indexLine + "\nname = 'żółw'\n",
		"# żółw\n[registries.lab] # ⚙\n" + indexLine + "\nname = 'żółw'\n" + ourLine + "\n",
	},
	{
		"numbers that equal nothing", "x = nan\ny = -inf\nd = 1979-05-27T07:32:00-08:00\nt = 07:32:00\n",
		"x = nan\ny = -inf\nd = 1979-05-27T07:32:00-08:00\nt = 07:32:00\n\n[registries.lab]\n" + indexLine + "\n" + ourLine + "\n",
	},
}

func TestSetProvider(t *testing.T) {
	for _, test := range edits {
		t.Run(test.name, func(t *testing.T) {
			before := []byte(test.before)
			got, changed, err := cargo.SetProvider(before, "lab", labIndex, []string{program})
			if err != nil {
				t.Fatal(err)
			}
			want := test.after
			if want == "" {
				want = test.before
			}
			if diff := cmp.Diff(want, string(got)); diff != "" || changed != (test.after != "") {
				t.Fatalf("changed = %v (-want +got)\n%s", changed, diff)
			}
			if string(before) != test.before {
				t.Error("the text that was given changed")
			}
			checkEdit(t, before, got, "lab", labIndex, []string{program})
		})
	}
}

// checkEdit checks what holds for every edit: one stretch of bytes changed, one setting changed, and a
// second edit changes nothing.
func checkEdit(t *testing.T, before, after []byte, name, index string, provider []string) {
	t.Helper()
	want, got := decode(t, before), decode(t, after)
	registries, _ := want["registries"].(map[string]any)
	if registries == nil {
		registries = make(map[string]any)
		want["registries"] = registries
	}
	registry, _ := registries[name].(map[string]any)
	if registry == nil {
		registry = make(map[string]any)
		registries[name] = registry
		if index != "" {
			registry["index"] = index
		}
	}
	var words []any
	for _, word := range provider {
		words = append(words, word)
	}
	registry["credential-provider"] = words
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), cmp.Comparer(func(a, b toml.LocalTime) bool { return a == b })); diff != "" {
		t.Errorf("another setting changed (-want +got)\n%s", diff)
	}
	again, changed, err := cargo.SetProvider(after, name, index, provider)
	if err != nil || changed || !bytes.Equal(again, after) {
		t.Errorf("a second edit: changed = %v, error %v:\n%s", changed, err, again)
	}
}

func decode(t *testing.T, text []byte) map[string]any {
	t.Helper()
	tree := make(map[string]any)
	if err := toml.Unmarshal(bytes.TrimPrefix(text, []byte(mark)), &tree); err != nil {
		t.Fatalf("%v\n%q", err, text)
	}
	return tree
}

func TestSetProviderRefuses(t *testing.T) {
	lines := "[registries.lab]\n" + indexLine + "\n" + ourLine + "\n"
	for _, test := range []struct {
		name, before string
		line         int
	}{
		{"inline table", "a = 1\n[registries]\nlab = {" + indexLine + "}\n", 3},
		{"inline parent", "registries = {other = {}}\n", 1},
		{"inline with the key", "[registries]\nlab = {credential-provider = 'x'}\n", 2},
		{"dotted key", "\n\n[registries]\nlab.index = '" + labIndex + "'\n", 4},
		{"dotted key at the root", "registries.lab.index = '" + labIndex + "'\n", 1},
		{"dotted key beside a table", "[registries]\nlab.x.y = 1\n[registries.other]\n", 2},
		{"array of tables", "[[registries]]\n[registries.lab]\n", 1},
		{"array of registries", "[[registries.lab]]\n" + indexLine + "\n", 1},
		{"registries is a number", "registries = 1\n", 1},
		{"registry is a text", "[registries]\nlab = 'x'\n", 2},
		{"provider is a table", "[registries.lab.credential-provider]\nx = 1\n", 1},
		{"provider is a dotted key", "[registries.lab]\ncredential-provider.x = 1\n", 0},
		{"provider is a number", "[registries.lab]\n\ncredential-provider = 1\n", 3},
		{"index is a number", "[registries.lab]\nindex = 1\n", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, changed, err := cargo.SetProvider([]byte(test.before), "lab", labIndex, []string{program})
			var refused *cargo.NotEditableError
			if !errors.As(err, &refused) || changed || got != nil {
				t.Fatalf("got %q, %v, %v", got, changed, err)
			}
			if refused.Line != test.line || refused.Lines != lines {
				t.Errorf("line %d, want %d; lines %q", refused.Line, test.line, refused.Lines)
			}
		})
	}
}

func TestSetProviderBadInput(t *testing.T) {
	good := []string{program}
	for _, test := range []struct {
		name, before, registry, index string
		provider                      []string
		want                          string
	}{
		{"broken", "[registries.lab\n", "lab", "", good, "line 1: column 16: expected ']' to close table name"},
		{"table twice", "[a]\n[registries.lab]\n[registries.lab]\n", "lab", "", good, "line 3: column 2: table lab already exists"},
		{"key twice", "[registries.lab]\nindex = 'x'\nindex = 'y'\n", "lab", "", good, "line 3: column 1: key index is already defined"},
		{"dotted, then table", "registries.lab.x = 1\n[registries.lab]\n", "lab", "", good, "line 2: column 2: table lab already exists as defined by a dotted key"},
		{"not UTF-8", "a = 1\n# \xff\n", "lab", "", good, "line 2: column 3: not UTF-8"},
		{"NUL", "a = 1\n\x00", "lab", "", good, "line 2: column 1: invalid character at start of key: U+0000"},
		{"bare carriage return", "a = 1\r# x\n", "lab", "", good, "line 1: column 6: expected newline but got U+000D"},
		{"secret without quotes", "token = hunter2\n", "lab", "", good, "line 1: column 9: unexpected character U+0068 'h' at start of value"},
		{"number too large", "token = 99999999999999999999999\n", "lab", "", good, "line 1: column 9: decimal number is too large to fit in a 64-bit signed integer"},
		{"a key that moves the cursor", "\"\\u001b[2J\" = 1\n\"\\u001b[2J\" = 1\n", "lab", "", good, "line 2: column 1: key \\x1b[2J is already defined"},
		{"too large", "# " + strings.Repeat("x", 1<<20), "lab", "", good, "larger than 1 MiB"},
		{"no name", "", "", "", good, "a registry's name is empty"},
		{"bad name", "", "a.b", "", good, `registry name "a.b": cargo allows`},
		{"crates-io", "", "crates-io", "", good, "cargo's own"},
		{"no provider", "", "lab", "", nil, "no credential provider given"},
		{"empty program", "", "lab", "", []string{""}, "no credential provider given"},
		{"program not UTF-8", "", "lab", "", []string{"/\xff"}, "can't be written in TOML"},
		{"program with NUL", "", "lab", "", []string{"/a\x00b"}, "can't be written in TOML"},
		{"another index", "\n[registries.lab]\nindex = 'https://me:hunter2@x.test/'\n", "lab", labIndex, good, "line 3: registry \"lab\" has the index https://me:xxxxx@x.test/, not " + labIndex},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, changed, err := cargo.SetProvider([]byte(test.before), test.registry, test.index, test.provider)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if changed || got != nil {
				t.Errorf("got %q, %v", got, changed)
			}
		})
	}
}

// TestSetProviderQuoting writes paths and names that need quotes or escapes.
func TestSetProviderQuoting(t *testing.T) {
	for _, test := range []struct{ name, index, program, want string }{
		{"lab", "", `C:\Users\Zoë "Z"\bin\cargo-credential-regkey.exe`, "[registries.lab]\n" + `credential-provider = ["C:\\Users\\Zoë \"Z\"\\bin\\cargo-credential-regkey.exe"]` + "\n"},
		{"läb", "", "/opt/ключ/x", "[registries.\"läb\"]\n" + `credential-provider = ["/opt/ключ/x"]` + "\n"},
		{"_l-1", `https://x.test/"a\b"`, "/tab\there/line\nbreak/\x7f", "[registries._l-1]\n" + `index = "https://x.test/\"a\\b\""` + "\n" + `credential-provider = ["/tab\u0009here/line\u000Abreak/\u007F"]` + "\n"},
	} {
		provider := []string{test.program}
		if got := cargo.Lines(test.name, test.index, provider); got != test.want {
			t.Errorf("Lines\n%s\nwant\n%s", got, test.want)
		}
		got, _, err := cargo.SetProvider(nil, test.name, test.index, provider)
		if err != nil || string(got) != test.want {
			t.Fatalf("SetProvider %q, %v", got, err)
		}
		checkEdit(t, nil, got, test.name, test.index, provider)
		replaced, _, err := cargo.SetProvider(got, test.name, test.index, []string{"x", test.program})
		if err != nil {
			t.Fatal(err)
		}
		checkEdit(t, got, replaced, test.name, test.index, []string{"x", test.program})
	}
}

// TestSetProviderLikeCargo gives every edited file to the real cargo: it must start the provider
// that was set.
func TestSetProviderLikeCargo(t *testing.T) {
	real := startCargo(t)
	for _, test := range edits {
		t.Run(test.name, func(t *testing.T) {
			if strings.Contains(test.before, "nan") {
				t.Skip("not compared with the real cargo: it knows neither floating-point numbers nor dates here")
			}
			t.Parallel()
			work, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			linkProviders(t, filepath.Join(work, "bin"), "regkey")
			want := &asked{Program: filepath.Join(work, "bin", "regkey"), Index: strings.ReplaceAll(labIndex, "registry.test", real.host)}
			before := strings.NewReplacer(program, want.Program, "registry.test", real.host).Replace(test.before)
			after, _, err := cargo.SetProvider([]byte(before), "lab", want.Index, []string{want.Program})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(work, "config.toml"), after, 0o600); err != nil {
				t.Fatal(err)
			}
			environ := []string{"CARGO_HOME=" + work, "HOME=" + work}
			if !strings.Contains(string(after), real.host) {
				environ = append(environ, "CARGO_REGISTRIES_LAB_INDEX="+want.Index)
			}
			got, output, err := real.ownerList(t, work, "lab", environ)
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
				t.Errorf("%v (-want +got)\n%s\n%s\n%s", err, diff, output, after)
			}
		})
	}
}
