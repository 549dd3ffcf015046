// Package argorder lets people type flags anywhere. The parser behind urfave/cli stops at the first
// argument that is not a flag, and silently takes every flag after it for an argument: "revoke k1
// --yes" would mean "do not say yes".
package argorder

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Order returns args, a whole command line with the program's name first, with the flags of the
// command before its other arguments, and "--" between them where an argument begins with "-".
// A value becomes part of its flag ("--key=laptop"), so that it can't be taken for anything
// else. What follows a "--" is never a flag. Flags that no command knows stay flags, for the
// parser to complain about. A flag whose value is missing is an error: "--key --yes" is that too,
// and a value that begins with "-" is given as "--key=-x".
func Order(app *cli.App, args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	ordered := args[:1:1]
	rest := args[1:]
	commands, flags := app.Commands, app.Flags
	for {
		l := level{flags: flags}
		if err := l.split(rest, len(commands) > 0); err != nil {
			return nil, err
		}
		ordered = append(ordered, l.options...)
		command := find(commands, l.arguments)
		if command == nil {
			return append(ordered, l.tail()...), nil
		}
		ordered = append(ordered, l.arguments[0])
		rest = l.arguments[1:]
		commands, flags = command.Subcommands, command.Flags
	}
}

func find(commands []*cli.Command, arguments []string) *cli.Command {
	if len(arguments) == 0 {
		return nil
	}
	at := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(arguments[0]) })
	if at < 0 {
		return nil
	}
	return commands[at]
}

// A level is the part of the command line that belongs to the program or to one command.
type level struct {
	flags     []cli.Flag
	options   []string // flags, each with its value
	arguments []string
	ended     bool // a "--" came
}

// split sorts args. At a level with commands, everything after the first argument is left to
// that command.
func (l *level) split(args []string, hasCommands bool) error {
	for len(args) > 0 {
		word := args[0]
		switch {
		case word == "--":
			l.ended = true
			l.arguments = append(l.arguments, args[1:]...)
			return nil
		case len(word) < 2 || word[0] != '-':
			if hasCommands {
				l.arguments = args
				return nil
			}
			l.arguments = append(l.arguments, word)
			args = args[1:]
		case strings.Contains(word, "=") || !l.takesValue(word):
			l.options = append(l.options, word)
			args = args[1:]
		case len(args) == 1:
			return fmt.Errorf("flag %s needs a value", word)
		case len(args[1]) > 1 && args[1][0] == '-':
			return fmt.Errorf("flag %s needs a value: one that begins with %q is given as %s=VALUE", word, "-", word)
		default:
			l.options = append(l.options, word+"="+args[1])
			args = args[2:]
		}
	}
	return nil
}

// takesValue reports whether word is a flag that is known to want a value.
func (l *level) takesValue(word string) bool {
	name := strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-")
	for _, flag := range l.flags {
		if !slices.Contains(flag.Names(), name) {
			continue
		}
		documented, ok := flag.(cli.DocGenerationFlag)
		return ok && documented.TakesValue()
	}
	return false
}

// tail is what follows the flags.
func (l *level) tail() []string {
	dashed := slices.ContainsFunc(l.arguments, func(a string) bool { return len(a) > 1 && a[0] == '-' })
	if l.ended || dashed {
		return append([]string{"--"}, l.arguments...)
	}
	return l.arguments
}
