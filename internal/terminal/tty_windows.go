// The console, as Windows shows it.

package terminal

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// endings are the signals that end a question.
var endings = []os.Signal{os.Interrupt}

// Open opens the console's input and output.
func Open() (in, out *os.File, err error) {
	in, err = os.OpenFile("CONIN$", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	out, err = os.OpenFile("CONOUT$", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, errors.Join(err, in.Close())
	}
	return in, out, nil
}

// A mode is what was done to a console.
type mode struct {
	console        windows.Handle
	echo           bool
	before, during uint32
}

// takeOver has the console collect lines and send signals, and echo or not.
func takeOver(console *os.File, echo bool) (*mode, error) {
	m := &mode{console: windows.Handle(console.Fd()), echo: echo}
	if err := windows.GetConsoleMode(m.console, &m.before); err != nil {
		return nil, err
	}
	m.during = m.before | windows.ENABLE_LINE_INPUT | windows.ENABLE_PROCESSED_INPUT
	if echo {
		m.during |= windows.ENABLE_ECHO_INPUT
	} else {
		m.during &^= windows.ENABLE_ECHO_INPUT
	}
	return m, windows.SetConsoleMode(m.console, m.during)
}

func (m *mode) apply() { _ = windows.SetConsoleMode(m.console, m.during) }

func (m *mode) giveBack(forget bool) {
	if forget {
		m.forgetInput()
	}
	_ = windows.SetConsoleMode(m.console, m.before)
}

// forgetInput throws away what was typed and not read yet.
func (m *mode) forgetInput() { _ = windows.FlushConsoleInputBuffer(m.console) }

// watchJob never reports: Windows stops no process that way.
func watchJob(chan os.Signal) (stop func()) { return func() {} }

// watchReader never calls gone: Windows has no such sign for a pipe.
func watchReader(*os.File, func()) (stop func()) { return func() {} }
