// The guard: a process that turns the echo on again when the one that asks was killed with -9.

//go:build unix

package terminal

import (
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// guardName is what a guard is called, so that who kills the program that asks by its name does not
// mean the guard, too; as the only argument it makes a program that links this package a guard.
const guardName = "terminal-guard"

// guardTerminal is where a guard finds the terminal.
const guardTerminal = 3

// No main has to know of guards, and no test's program runs its tests once more as one.
func init() {
	if len(os.Args) == 2 && os.Args[1] == guardName {
		_ = os.WriteFile("/proc/self/comm", []byte(guardName), 0) // on Linux; other systems take Args[0], or have no such name
		beGuard(os.Stdin, os.NewFile(guardTerminal, "terminal"))
		syscall.Exit(0) // os.Exit has the race detector think for a second, and cargo waits
	}
}

// states are a terminal's settings before and during a question.
type states struct{ Before, During unix.Termios }

// startGuard starts a guard for tty, before its settings change from s.Before to s.During. The guard is
// in a session of its own, where no key and no signal to our group reaches it, has nothing of our
// environment, and ends when the pipe to it does. It holds our standard output open: so cargo, which
// reads there, finds out that we were killed only when the terminal is restored, and the shell after
// cargo. stop dismisses it. Where none can be started, asking without one is better than not asking.
func startGuard(s states) (stop func()) {
	nobody := func() {}
	program, err := os.Executable()
	if err != nil {
		return nobody
	}
	// Opened once more: who hands a file to a child makes reading from it wait for ever.
	tty, _, err := Open()
	if err != nil {
		return nobody
	}
	defer func() { _ = tty.Close() }()
	guard := &exec.Cmd{Path: program, Args: []string{guardName, guardName}}
	guard.Dir, guard.Env = "/", []string{}
	guard.Stdout, guard.ExtraFiles = os.Stdout, []*os.File{tty}
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := guard.StdinPipe()
	if err != nil {
		return nobody
	}
	if err := guard.Start(); err != nil {
		return nobody
	}
	stop = func() {
		_, _ = pipe.Write([]byte{0})
		_ = pipe.Close()
		_ = guard.Wait()
	}
	_ = binary.Write(pipe, binary.NativeEndian, s) // it fits into the pipe, and waits for nobody
	return stop
}

// beGuard waits until the one that asks says that it has given the terminal back, or is gone without
// a word. Then it restores the terminal, unless somebody else has changed it since.
func beGuard(asker io.Reader, tty *os.File) {
	signal.Ignore(append(endings, unix.SIGTTOU)...)
	var s states
	if binary.Read(asker, binary.NativeEndian, &s) != nil {
		return // the terminal was not changed yet
	}
	if n, _ := asker.Read(make([]byte, 1)); n > 0 {
		return
	}
	m := &mode{tty: tty, before: s.Before, during: s.During}
	m.giveBack(true)
}
