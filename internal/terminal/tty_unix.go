// The controlling terminal, and the reader of a pipe, as Unix shows them.

//go:build unix

package terminal

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// endings are the signals that end a question. SIGQUIT is among them because the terminal sends it
// too, and Go would end without restoring anything.
var endings = []os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP}

// Open opens the controlling terminal for reading and for writing; it may be one file.
func Open() (in, out *os.File, err error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	return tty, tty, err
}

// A mode is what was done to a terminal.
type mode struct {
	tty            *os.File
	echo           bool
	before, during unix.Termios
	dismiss        func() // the guard's end
}

// takeOver has tty collect lines and send signals, and echo or not.
func takeOver(tty *os.File, echo bool) (*mode, error) {
	m := &mode{tty: tty, echo: echo}
	before, err := m.settings()
	if err != nil {
		return nil, err
	}
	m.before, m.during = before, before
	m.during.Iflag |= unix.ICRNL
	m.during.Iflag &^= unix.IGNCR | unix.INLCR
	m.during.Lflag |= unix.ICANON | unix.ISIG
	m.during.Lflag &^= unix.ECHONL
	if echo {
		m.during.Lflag |= unix.ECHO
	} else {
		m.during.Lflag &^= unix.ECHO
	}
	m.dismiss = func() {}
	if m.during != m.before {
		m.dismiss = startGuard(states{m.before, m.during})
	}
	if err := m.change(m.during); err != nil {
		m.dismiss()
		return nil, err
	}
	// As the terminal understood it: it need not be able to do everything.
	if m.during, err = m.settings(); err != nil {
		m.giveBack(false)
		return nil, err
	}
	return m, nil
}

// apply takes the terminal over again.
func (m *mode) apply() { _ = m.change(m.during) }

// giveBack restores the terminal, unless somebody else has changed it since: after a Ctrl-C, or
// when cargo was killed, the shell takes its terminal back at once and sets it as it needs it. We
// are in the background then, where the system lets us change it only if we ignore the signal by
// which it would stop us. Half an answer is forgotten in any case, best before the shell reads it.
func (m *mode) giveBack(forget bool) {
	defer ignore(unix.SIGTTOU)()
	if forget {
		m.forgetInput()
	}
	if now, err := m.settings(); err == nil && now == m.during {
		_ = m.change(m.before)
	}
	m.dismiss()
}

// forgetInput throws away what was typed and not read yet.
func (m *mode) forgetInput() {
	m.control(func(fd int) error { return discardInput(fd) })
}

func (m *mode) settings() (unix.Termios, error) {
	var settings unix.Termios
	err := m.control(func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, readTermios)
		if err == nil {
			settings = *t
		}
		return err
	})
	return settings, err
}

// change waits for no output that is still to be shown: on a terminal stopped with Ctrl-S that
// would be for ever.
func (m *mode) change(to unix.Termios) error {
	return m.control(func(fd int) error { return unix.IoctlSetTermios(fd, writeTermios, &to) })
}

// control leaves the file in the mode in which reading it can be given up; [os.File.Fd] may not.
func (m *mode) control(do func(fd int) error) error {
	raw, err := m.tty.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// ignore ignores a signal until the function that it returns is called.
func ignore(s unix.Signal) (undo func()) {
	if signal.Ignored(s) {
		return func() {}
	}
	signal.Ignore(s)
	return func() { signal.Reset(s) }
}

// watchJob reports on resumed when this process goes on after it was stopped. If it reads in the
// background nevertheless, reading fails: to be stopped there, with cargo just gone, would be for ever.
// (Whoever starts cargo in the background is stopped at taking the terminal over, and goes on when
// brought to the foreground.)
func watchJob(resumed chan os.Signal) (stop func()) {
	signal.Notify(resumed, unix.SIGCONT)
	undo := ignore(unix.SIGTTIN)
	return func() { undo(); signal.Stop(resumed) }
}

// watchReader calls gone when nobody is left to read what is written to f, a pipe.
func watchReader(f *os.File, gone func()) (stop func()) {
	ended, end, err := os.Pipe()
	if err != nil {
		return func() {} // the time limit has to do
	}
	go func() {
		defer func() { _ = ended.Close() }()
		// Of f no event is asked for: errors and hang-ups always come.
		fds := []unix.PollFd{{Fd: int32(f.Fd())}, {Fd: int32(ended.Fd()), Events: unix.POLLIN}}
		for {
			_, err := unix.Poll(fds, -1)
			switch {
			case err == unix.EINTR:
			case err != nil || fds[0].Revents != 0:
				gone()
				return
			case fds[1].Revents != 0:
				return
			}
		}
	}()
	return func() { _ = end.Close() }
}
