// The program: what it is given from outside, its commands, and how a run begins and ends.

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/internal/argorder"
	"github.com/cargo-regkey/regkey/internal/home"
	"github.com/cargo-regkey/regkey/internal/keychain"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
)

// An app is one run. Everything outside of the process is a field, so that tests bring their own.
type app struct {
	stdin          *os.File
	stdout, stderr io.Writer
	complaints     io.Writer // what a run that failed says; nil: stderr
	terminal       bool      // a person can be asked on stdin
	now            func() time.Time
	getenv         func(name string) string
	home           func() (string, error)
	environment    func() (cargo.Environment, error) // for cargo's configuration
	executable     func() (string, error)            // the path of this program
	unlockHome     func()                            // of the folder that is locked
	lockLimit      time.Duration                     // how long to wait for another regkey that changes the same folder

	keychain  systemKeychain                  // nil: none
	reach     registryclient.Options          // how registries are reached; zero: over the network
	signing   func(s keys.Signer) keys.Signer // what every opened key goes through; nil: nothing
	plugLimit time.Duration                   // how long to wait for a token that is not plugged in

	patience    map[string]*registryclient.Patience // by registry
	unlocked    map[string]keys.Signer              // by name, so that each passphrase is asked once
	tokens      map[uint32]*hardware.Token          // that are open, by serial number
	pins        map[pinQuestion]keys.Secret         // that were given in this run
	keep        map[uint32]keys.Secret              // PINs for the agent, by the token's serial number
	endPrompt   func()                              // lets other programs ask for the PIN; nil: nobody waits
	few         map[pinQuestion]int                 // how many tries were left when a person said to go on
	purpose     string                              // what is being signed, for whoever has to touch a token
	signer      string                              // and the name of the key that signs a token
	hurry       bool                                // nobody waits for a token that is not plugged in
	readsAs     string                              // the key that reads instead of the one that is enrolled for it; empty: none
	readsItself bool                                // the key that signs reads too, though there is another for that
	joinsWith   string                              // the key that reads where this machine is not enrolled yet
	manager     string                              // the key that signs wherever one that manages has to; empty: one that is here
	linewise    bool                                // questions are asked line by line, whatever the terminal can do

	unreachable error // why the twin, which reaches tokens, did not start
}

func newApp() *app {
	return &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		terminal:    term.IsTerminal(int(os.Stdin.Fd())),
		now:         time.Now,
		getenv:      os.Getenv,
		home:        home.Dir,
		environment: cargo.CurrentEnvironment,
		executable:  os.Executable,
		lockLimit:   10 * time.Second,
		keychain:    keychain.Open(),
		plugLimit:   15 * time.Second,
		patience:    map[string]*registryclient.Patience{},
		unlocked:    map[string]keys.Signer{},
		tokens:      map[uint32]*hardware.Token{},
		pins:        map[pinQuestion]keys.Secret{},
		keep:        map[uint32]keys.Secret{},
		few:         map[pinQuestion]int{},
	}
}

// run is one command line, args[0] being the program. It returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	defer a.handPINs(ctx)
	defer a.close()
	program := a.program()
	args, err := argorder.Order(program, args)
	if err != nil {
		err = usage("%w", err)
	} else {
		err = program.RunContext(ctx, args)
	}
	return a.finish(ctx, err)
}

// program is the command line's grammar. Errors come back from it; it prints none itself.
func (a *app) program() *cli.App {
	program := &cli.App{
		Name:  "regkey",
		Usage: "sign what cargo sends to a registry, with keys that stay with you",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version"}},
		Commands: []*cli.Command{
			a.initCommand(), a.protectCommand(), a.importCommand(), a.enrollCommand(), a.approveCommand(), a.statusCommand(), a.rotateCommand(), a.renewCommand(), a.revokeCommand(),
			a.useCommand(), a.keysetCommand(), a.historyCommand(), a.syncCommand(),
			a.exportCommand(), a.agentCommand(), a.hardwareCommand(), a.doctorCommand(), a.challengeCommand(), a.tokenCommand(), a.versionCommand(),
		},
		Before:                a.noticeUnfinished,
		Action:                a.root,
		Reader:                a.stdin,
		Writer:                a.stdout,
		ErrWriter:             a.stderr,
		HideVersion:           true, // ours is above: urfave's prints in words of its own
		CustomAppHelpTemplate: appHelp,
		OnUsageError:          onUsageError,
		ExitErrHandler:        func(*cli.Context, error) {}, // [app.finish] does it
	}
	dress(program.Commands)
	return program
}

// dress gives commands, and those below them, the look of this program.
func dress(commands []*cli.Command) {
	for _, command := range commands {
		command.OnUsageError = onUsageError
		command.CustomHelpTemplate = commandHelp
		if len(command.Subcommands) > 0 {
			command.CustomHelpTemplate = groupHelp
		}
		command.HideHelpCommand = true // a key may be called "help"
		for _, flag := range command.Flags {
			if yesNo, ok := flag.(*cli.BoolFlag); ok {
				yesNo.DisableDefaultText = true
			}
		}
		dress(command.Subcommands)
	}
}

// root runs where no command was named.
func (a *app) root(c *cli.Context) error {
	switch {
	case c.Args().Present():
		return usage("unknown command %.40q", c.Args().First())
	case c.Bool("version"):
		return a.runVersion()
	}
	return cli.ShowAppHelp(c)
}

// say tells the person something beside the results.
func (a *app) say(format string, values ...any) {
	_, _ = fmt.Fprintf(a.stderr, "%s\n", cargo.Printable(fmt.Sprintf(format, values...)))
}

// advise is say for what only a person wants to read: in a script it is silent.
func (a *app) advise(format string, values ...any) {
	if a.terminal {
		a.say(format, values...)
	}
}

// store is the user's keys.
func (a *app) store(home string) *keys.Store {
	store := keys.OpenStore(filepath.Join(home, "keys"))
	if a.keychain == nil {
		return store
	}
	return store.WithKeychain(a.keychain)
}

// locked runs change in regkey's folder while no other regkey changes anything there.
func (a *app) locked(ctx context.Context, change func(ctx context.Context, home string) error) error {
	dir, err := a.home()
	if err != nil {
		return err
	}
	if err := a.lockHome(ctx, dir); err != nil {
		return err
	}
	defer func() { a.unlockHome() }()
	return change(ctx, dir)
}

// released lets other runs of regkey change the folder for that long.
func (a *app) released(ctx context.Context, pause time.Duration) error {
	dir, err := a.home()
	if err != nil {
		return err
	}
	a.unlockHome()
	a.unlockHome = func() {}
	select {
	case <-ctx.Done():
		return errCancelled
	case <-time.After(pause):
	}
	a.asked() // somebody is waited for, and what is asked meanwhile goes on for as long
	return a.lockHome(ctx, dir)
}

func (a *app) lockHome(ctx context.Context, dir string) error {
	waiting, cancel := context.WithTimeout(ctx, a.lockLimit)
	defer cancel()
	unlock, err := home.Lock(waiting, dir, "registries", "journal", "revocations")
	if err != nil {
		if ctx.Err() == nil && waiting.Err() != nil {
			return &lockedError{dir, a.lockLimit}
		}
		return err
	}
	a.unlockHome = unlock
	_ = a.store(dir).Tidy(waiting) // what it can't remove does no harm, and the next command tries again
	return nil
}
