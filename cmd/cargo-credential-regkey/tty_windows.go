// The console, as Windows shows it.

package main

import "os"

// openTerminal opens the console's input and output, whatever stdin and stdout are.
func openTerminal() (in, out *os.File, err error) {
	in, err = os.OpenFile("CONIN$", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	out, err = os.OpenFile("CONOUT$", os.O_RDWR, 0)
	if err != nil {
		_ = in.Close()
		return nil, nil, err
	}
	return in, out, nil
}

// waitForReaderGone waits for ever: Windows has no such sign for a pipe, and the time limit of the
// question has to do.
func waitForReaderGone(*os.File) { select {} }

// interrupt ends a process at once: Windows knows no request for one in particular.
func interrupt(p *os.Process) error { return p.Kill() }
