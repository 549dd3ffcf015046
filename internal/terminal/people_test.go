// The programs of these tests, which are the test's own: one that asks, a cargo that waits for it,
// and a shell that runs cargo.

//go:build unix

package terminal_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cargo-regkey/regkey/internal/terminal"
)

// envRole makes the test's program one of those below. Nobody but these tests sets it.
const envRole, envLimit = "TERMINAL_TEST_ROLE", "TERMINAL_TEST_LIMIT"

// report is the file on which the program that asks says how that went; it ends with that program.
const report = 3

func TestMain(m *testing.M) {
	switch os.Getenv(envRole) {
	case "":
		os.Exit(m.Run())
	case "ask", "confirm":
		asks(os.Getenv(envRole))
	case "cargo":
		cargo()
	case "shell":
		shell()
	}
}

func asks(role string) {
	out := os.NewFile(report, "report")
	ctx := context.Background()
	if limit, err := time.ParseDuration(os.Getenv(envLimit)); err == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	answer, err := "", error(nil)
	if role == "ask" {
		secret, failed := terminal.Ask(ctx, "Passphrase: ")
		answer, err = string(secret.Reveal()), failed
	} else {
		yes, failed := terminal.Confirm(ctx, "Go on?")
		answer, err = fmt.Sprint(yes), failed
	}
	switch {
	case errors.Is(err, terminal.ErrNone):
		answer = "none"
	case errors.Is(err, terminal.ErrCancelled):
		answer = "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		answer = "late"
	case err != nil:
		answer = err.Error()
	}
	_, _ = io.WriteString(out, answer)
}

// cargo waits for who asks as the real one does: it reads that program's standard output.
func cargo() {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"=ask")
	cmd.ExtraFiles = []*os.File{os.NewFile(report, "report")}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		panic(err)
	}
	_ = cmd.ExtraFiles[0].Close()
	_, _ = io.ReadAll(out)
	_ = cmd.Wait()
}

// shell runs cargo in the foreground, says its process id, and takes the terminal back when it is
// told to on standard input, as every shell does when its job is gone.
func shell() {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"=cargo")
	cmd.ExtraFiles = []*os.File{os.NewFile(report, "report")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Foreground: true, Ctty: int(os.Stderr.Fd())}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	_ = cmd.ExtraFiles[0].Close()
	fmt.Println(cmd.Process.Pid)
	in := bufio.NewReader(os.Stdin)
	if line, _ := in.ReadString('\n'); strings.TrimSpace(line) == "take" {
		signal.Ignore(unix.SIGTTOU)
		if err := unix.IoctlSetPointerInt(int(os.Stderr.Fd()), unix.TIOCSPGRP, unix.Getpgrp()); err != nil {
			panic(err)
		}
		fmt.Println("taken")
	}
	_ = cmd.Wait()
	_, _ = in.ReadString('\n') // the session's leader outlives everybody: its end hangs the terminal up
}
