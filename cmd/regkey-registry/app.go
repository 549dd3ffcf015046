// The program: its commands, what they share, and how a run ends.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/internal/argorder"
	"github.com/cargo-regkey/regkey/registry"
	"github.com/cargo-regkey/regkey/registry/storage"
)

// Exit codes, the same as regkey's.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
)

// An app is one run. What lies outside of the process is a field, so that tests bring their own.
type app struct {
	stdout, stderr io.Writer
	now            func() time.Time
}

// A usageError says that the command line can't be carried out as it stands.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, values ...any) error { return &usageError{fmt.Errorf(format, values...)} }

// run is one command line, args[0] being the program. It returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	program := a.program()
	args, err := argorder.Order(program, args)
	if err != nil {
		err = usage("%w", err)
	} else {
		err = program.RunContext(ctx, args)
	}
	return a.finish(err)
}

// finish says what went wrong and what to do now, and returns the exit code.
func (a *app) finish(err error) int {
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(a.stderr, "regkey-registry: %v\n", err)
	var wrong *usageError
	var declined *registry.OperatorError
	switch {
	case errors.As(err, &wrong):
		_, _ = fmt.Fprintln(a.stderr, "    `regkey-registry help` and `regkey-registry COMMAND --help` show how it is used")
		return exitUsage
	case errors.As(err, &declined):
		if declined.Hint != "" {
			_, _ = fmt.Fprintf(a.stderr, "    %s\n", declined.Hint)
		}
		return exitRefused
	}
	return exitFailed
}

const appHelp = `regkey-registry - a small Cargo registry that trusts keys, not stored tokens

USAGE
   regkey-registry COMMAND [options] [arguments]

COMMANDS
{{range .VisibleCommands}}   {{join .Names ", "}}{{"\t"}}{{.Usage}}
{{end}}
EXAMPLE
   regkey-registry serve --data ./registry             # prints its URL and index as JSON
   regkey-registry invite --data ./registry crates-team  # prints a one-time code

Every command but serve works on the data folder, and may run while serve runs.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 declined; the reason is on standard error.
`

const commandHelp = `{{.HelpName}} - {{.Usage}}

USAGE
   {{.HelpName}} [options]{{if .ArgsUsage}} {{.ArgsUsage}}{{end}}
{{if .Description}}
{{.Description}}
{{end}}
OPTIONS
{{range .VisibleFlags}}   {{.}}
{{end}}`

// program is the command line's grammar. Errors come back from it; it prints none itself.
func (a *app) program() *cli.App {
	program := &cli.App{
		Name:  "regkey-registry",
		Usage: "a small Cargo registry that trusts keys",
		Commands: []*cli.Command{
			a.serveCommand(), a.inviteCommand(), a.accountsCommand(), a.keysCommand(), a.publishedCommand(),
			a.resetCommand(), a.freezeCommand(), a.deleteCommand(),
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage("unknown command %.40q", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
		Writer:                a.stdout,
		ErrWriter:             a.stderr,
		HideVersion:           true,
		CustomAppHelpTemplate: appHelp,
		OnUsageError:          onUsageError,
		ExitErrHandler:        func(*cli.Context, error) {}, // [app.finish] does it
	}
	for _, command := range program.Commands {
		command.OnUsageError = onUsageError
		command.CustomHelpTemplate = commandHelp
		command.HideHelpCommand = true // an account may be called "help"
	}
	return program
}

// onUsageError takes what the parser complains about, in our words: it writes every flag with one dash.
func onUsageError(_ *cli.Context, err error, _ bool) error {
	text := err.Error()
	if name, found := strings.CutPrefix(text, "flag provided but not defined: -"); found {
		return usage("unknown flag --%s", strings.TrimPrefix(name, "-"))
	}
	return usage("%s", strings.ReplaceAll(text, "for flag -", "for flag --"))
}

// defaultData is the data folder where none is named.
const defaultData = "regkey-registry-data"

func dataFlag() cli.Flag {
	return &cli.PathFlag{Name: "data", Value: defaultData, Usage: "the `FOLDER` that the registry keeps everything in"}
}

func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print JSON"} }

func yesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "yes", Usage: "do it; without it the command says what it would do, and stops"}
}

// arguments checks that a command has exactly the arguments named.
func arguments(c *cli.Context, names ...string) error {
	switch n := c.NArg(); {
	case n < len(names):
		return usage("%s is missing", names[n])
	case n > len(names):
		return usage("unexpected argument %.40q", c.Args().Get(len(names)))
	}
	return nil
}

// operate runs an operator's command on the data folder, which must be a registry's already: a mistyped
// --data shall not begin a second one.
func (a *app) operate(c *cli.Context, do func(ctx context.Context, o *registry.Operator) error) (err error) {
	dir := c.Path("data")
	if _, err := os.Stat(filepath.Join(dir, storage.File)); err != nil {
		return &registry.OperatorError{
			Detail: fmt.Sprintf("the folder %q holds no registry", dir),
			Hint:   "name its folder with --data; `regkey-registry serve --data FOLDER` begins a new one",
		}
	}
	db, err := storage.Open(c.Context, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return do(c.Context, &registry.Operator{Storage: db, Now: a.now})
}

// confirmed refuses a command that can't be undone unless it was said to be meant.
func confirmed(c *cli.Context, what string, values ...any) error {
	if c.Bool("yes") {
		return nil
	}
	return usage("this would "+what+"; if that is meant, add --yes", values...)
}

// say tells the operator something beside the results.
func (a *app) say(format string, values ...any) {
	_, _ = fmt.Fprintf(a.stderr, format+"\n", values...)
}

// printJSON prints a result for programs.
func (a *app) printJSON(value any) error {
	text, err := json.Marshal(value, jsontext.Multiline(true), json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s\n", text)
	return err
}
