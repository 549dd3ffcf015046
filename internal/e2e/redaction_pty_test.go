//go:build linux

// A person at a terminal, who knows an answer to each question.

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// An answer is what a person types after a question; it may depend on what the question names.
type answer struct {
	question *regexp.Regexp
	text     func(named string) string
}

// screen is what a terminal has shown.
type screen struct {
	mu    sync.Mutex
	text  []byte
	grown chan struct{}
}

func (s *screen) watch(terminal *os.File) {
	buffer := make([]byte, 4096)
	for {
		n, err := terminal.Read(buffer)
		s.mu.Lock()
		s.text = append(s.text, buffer[:n]...)
		s.mu.Unlock()
		select {
		case s.grown <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (s *screen) from(at int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]byte(nil), s.text[at:]...)
}

// all is what was shown, once all that was written to the terminal has been read off it, in its order.
func (s *screen) all(t *testing.T, tty *os.File) string {
	t.Helper()
	const end = "\x00the end\x00" // which no program writes
	if _, err := tty.WriteString(end); err != nil {
		t.Fatal(err)
	}
	for {
		if text, _, ended := strings.Cut(string(s.from(0)), end); ended {
			return text
		}
		<-s.grown
	}
}

// size is how much was shown.
func (s *screen) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.text)
}

// onTerminal runs c on a terminal of its own, line by line, and answers what it asks. It returns
// what the terminal showed, and the exit code.
func onTerminal(t *testing.T, c *exec.Cmd, answers []answer) (string, int) {
	t.Helper()
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = terminal.Close(), tty.Close() }()
	c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
	c.Env = append(c.Env, "TERM=dumb")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	shown := &screen{grown: make(chan struct{}, 1)}
	go shown.watch(terminal)
	late := time.After(jobLimit)
	for at := 0; ; {
		if width, text := reply(shown.from(at), answers); width > 0 {
			at += width
			if _, err := terminal.WriteString(text + "\r"); err != nil {
				t.Fatal(err)
			}
			continue
		}
		select {
		case <-shown.grown:
		case err := <-ended:
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			return shown.all(t, tty), c.ProcessState.ExitCode()
		case <-late:
			_ = c.Process.Kill()
			t.Fatalf("no answer is known, or it hangs:\n%s", shown.from(0))
		}
	}
}

// reply answers the first question in text, and says how far the question reaches; 0 if there is none.
func reply(text []byte, answers []answer) (width int, answered string) {
	first := -1
	for _, a := range answers {
		match := a.question.FindSubmatchIndex(text)
		if match == nil || first >= 0 && match[0] >= first {
			continue
		}
		named := ""
		if len(match) > 2 && match[2] >= 0 {
			named = string(text[match[2]:match[3]])
		}
		first, width, answered = match[0], match[1], a.text(named)
	}
	return width, answered
}
