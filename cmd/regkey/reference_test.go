// The command reference, docs/commands.md: made from the very help texts, and tested to be current.

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

var update = flag.Bool("update", false, "write docs/commands.md anew")

func TestCommandReference(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "commands.md")
	want := reference(t)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(have)); diff != "" {
		t.Errorf("docs/commands.md is not current; run go test ./cmd/regkey -run TestCommandReference -update\n%s", diff)
	}
}

func reference(t *testing.T) string {
	t.Helper()
	program := newApp().program()
	var b strings.Builder
	b.WriteString("# The commands of regkey\n\n")
	b.WriteString("Made from the program's own help by `go test ./cmd/regkey -run TestCommandReference -update`.\n\n")
	fmt.Fprintf(&b, "```\n%s```\n", help(t, "--help"))
	for _, command := range program.Commands {
		writeCommand(t, &b, "", command)
	}
	return b.String()
}

// writeCommand writes a command and those below it, unless it is hidden.
func writeCommand(t *testing.T, b *strings.Builder, above string, command *cli.Command) {
	t.Helper()
	if command.Hidden {
		return
	}
	name := above + command.Name
	text, examples, found := strings.Cut(command.Description, "\n\nExample")
	if !found {
		t.Errorf("%s has no example", name)
	}
	_, examples, _ = strings.Cut(examples, ":\n")
	fmt.Fprintf(b, "\n## regkey %s\n\n%s.\n\n", name, capital(command.Usage))
	fmt.Fprintf(b, "    regkey %s\n\n%s\n\n", strings.Join(strings.Fields(name+" "+command.ArgsUsage+options(command)), " "), text)
	if len(command.Flags) > 0 {
		b.WriteString("| option | |\n|---|---|\n")
	}
	for _, f := range command.Flags {
		name, usage, _ := strings.Cut(f.String(), "\t")
		fmt.Fprintf(b, "| `%s` | %s |\n", name, strings.ReplaceAll(usage, "|", `\|`))
	}
	if len(command.Flags) > 0 {
		b.WriteString("\n")
	}
	for example := range strings.Lines(examples) {
		b.WriteString("    " + strings.TrimSpace(example) + "\n")
	}
	for _, below := range command.Subcommands {
		writeCommand(t, b, name+" ", below)
	}
}

func options(command *cli.Command) string {
	// The program's own usage line says it the same way.
	if len(command.Subcommands) > 0 {
		return " COMMAND [options]"
	}
	if len(command.Flags) > 0 {
		return " [options]"
	}
	return ""
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// help is what regkey prints for those arguments.
func help(t *testing.T, args ...string) string {
	t.Helper()
	a := newApp()
	var b strings.Builder
	a.stdout, a.stderr = &b, io.Discard
	if code := a.run(t.Context(), append([]string{"regkey"}, args...)); code != 0 {
		t.Fatalf("regkey %q: exit code %d", args, code)
	}
	return b.String()
}

// Whoever reads help finds a usage line, a description, and an example, in lines that fit a
// terminal.
func TestHelpReadsWell(t *testing.T) {
	for _, words := range everyCommand(nil, newApp().program().Commands) {
		name := strings.Join(words, " ")
		text := help(t, append(words, "--help")...)
		for _, part := range []string{"Usage:\n   regkey " + name, "Example", "\n   regkey " + name + " "} {
			if !strings.Contains(text+" ", part) && !strings.Contains(text, strings.TrimSpace(part)+"\n") {
				t.Errorf("the help of %s lacks %q:\n%s", name, part, text)
			}
		}
		if strings.Contains(text, "Options:") == strings.Contains(text, "Commands:") {
			t.Errorf("the help of %s has neither options nor commands, or both:\n%s", name, text)
		}
		for line := range strings.Lines(text) {
			limit := 95
			if strings.HasPrefix(line, "   -") {
				limit = 110 // an option and what it is for
			}
			if n := len([]rune(line)); n > limit {
				t.Errorf("a line of %d characters in the help of %s: %s", n, name, line)
			}
		}
	}
}

// everyCommand is each command as it is typed, those below others included.
func everyCommand(above []string, commands []*cli.Command) (all [][]string) {
	for _, command := range commands {
		words := append(slices.Clone(above), command.Name)
		all = append(append(all, words), everyCommand(words, command.Subcommands)...)
	}
	return all
}
