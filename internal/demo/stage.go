// The stage: how the demonstration is set up, and how it shows and runs commands.

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/cargo-regkey/regkey/internal/lab"
	"github.com/cargo-regkey/regkey/internal/realcargo"
)

// A stage is where the demonstration runs, and how it prints.
type stage struct {
	lab      *lab.Lab
	registry *lab.Registry
	wiretap  *lab.Wiretap
	cargo    bool // the real one is here
	width    int
	acts     int
}

// newStage builds the programs and finds out whether the real cargo is here.
func newStage(ctx context.Context, dir string) (*stage, error) {
	s := &stage{width: 78}
	s.say("a folder for everything: %s", dir)
	s.say("building regkey, cargo-credential-regkey and regkey-registry …")
	if err := lab.Build(ctx, filepath.Join(dir, "bin")); err != nil {
		return nil, err
	}
	l, err := lab.New(dir, filepath.Join(dir, "bin"))
	if err != nil {
		return nil, err
	}
	s.lab = l
	if _, version, err := realcargo.Find(); err != nil {
		s.say("%v: a built-in client takes cargo's part, with the same provider and the same requests", err)
	} else {
		s.cargo = true
		s.say("with %s, as it is: no nightly, no flags", version)
	}
	return s, nil
}

func (s *stage) close() error {
	if s.registry == nil {
		return nil
	}
	s.wiretap.Close()
	return s.registry.Stop()
}

// act begins a chapter.
func (s *stage) act(title string) {
	s.acts++
	line := fmt.Sprintf("── %d. %s ", s.acts, title)
	fmt.Printf("\n%s%s\n", line, strings.Repeat("─", max(0, s.width-len([]rune(line)))))
}

// say explains.
func (s *stage) say(format string, args ...any) { fmt.Printf("# "+format+"\n", args...) }

// show prints a command as a user would type it.
func (s *stage) show(command string) { fmt.Printf("\n$ %s\n", command) }

// out prints what a command wrote.
func (s *stage) out(text string) {
	if text = strings.TrimRight(text, "\n"); text != "" {
		fmt.Println("  " + strings.ReplaceAll(text, "\n", "\n  "))
	}
}

// regkey runs regkey, which must succeed.
func (s *stage) regkey(ctx context.Context, stdin string, args ...string) error {
	return s.expect(ctx, "", stdin, 0, "regkey", args...)
}

// expect runs a program and wants that exit code.
func (s *stage) expect(ctx context.Context, dir, stdin string, exit int, name string, args ...string) error {
	command := name + " " + strings.Join(args, " ")
	if stdin != "" {
		command += "   # with the code on standard input"
	}
	s.show(command)
	result, err := s.lab.Run(ctx, dir, stdin, name, args...)
	if err != nil {
		return err
	}
	s.out(result.Stderr)
	s.out(result.Stdout)
	if result.Exit != exit {
		return fmt.Errorf("%s ended with %d instead of %d", command, result.Exit, exit)
	}
	return nil
}
