// The real pinentry-tty, on a terminal of its own.

//go:build unix

package pinentry

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// A watcher keeps what a terminal shows, and types what it is to be answered when a text shows.
type watcher struct {
	mu     sync.Mutex
	screen bytes.Buffer
	shows  chan struct{} // closed when the text shows
}

func (w *watcher) shown() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.screen.String()
}

// onTerminal is the real program on a terminal, and who sits there: types answer once text shows.
func onTerminal(t *testing.T, text, answer string) (*Program, *watcher, func()) {
	t.Helper()
	path, err := exec.LookPath("pinentry-tty")
	if err != nil {
		t.Skipf("pinentry-tty is not installed: %v", err)
	}
	t.Setenv(Variable, path)
	t.Setenv("TERM", "dumb")
	master, tty, err := pty.Open()
	check(t, err)
	t.Cleanup(func() { _, _ = master.Close(), tty.Close() })
	before, err := term.GetState(int(tty.Fd()))
	check(t, err)
	w := &watcher{shows: make(chan struct{})}
	go func() {
		buffer, done := make([]byte, 1024), false
		for {
			n, err := master.Read(buffer)
			w.mu.Lock()
			w.screen.Write(buffer[:n])
			found := !done && bytes.Contains(w.screen.Bytes(), []byte(text))
			w.mu.Unlock()
			if found {
				done = true
				_, _ = master.WriteString(answer)
				close(w.shows)
			}
			if err != nil {
				return
			}
		}
	}()
	p, err := OpenOn(tty.Name())
	check(t, err)
	return p, w, func() {
		t.Helper()
		after, err := term.GetState(int(tty.Fd()))
		check(t, err)
		if *after != *before {
			t.Errorf("the terminal is left as %+v instead of %+v", after, before)
		}
	}
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestRealPinentryAsks(t *testing.T) {
	p, w, sane := onTerminal(t, "Passphrase:", "correct 100% horse\r")
	secret, err := p.Ask(patient(t), Question{Description: "To publish foo 1.2.3 to lab:\n100% of key \"laptop\"", Prompt: "Passphrase:"})
	if err != nil || string(secret.Reveal()) != "correct 100% horse" {
		t.Errorf("the answer is %q: %v; the screen shows %q", secret.Reveal(), err, w.shown())
	}
	if !bytes.Contains([]byte(w.shown()), []byte("To publish foo 1.2.3 to lab:")) || bytes.Contains([]byte(w.shown()), []byte("horse")) {
		t.Errorf("the screen shows %q", w.shown())
	}
	sane()
}

func TestRealPinentryConfirms(t *testing.T) {
	for answer, want := range map[string]bool{"y": true, "n": false} {
		p, w, sane := onTerminal(t, "lab", answer)
		yes, err := p.Confirm(patient(t), Question{Description: "Publish foo 1.2.3 to lab?", OK: "_yes", Cancel: "_no"})
		if yes != want || err != nil && (want || !errors.Is(err, ErrCancelled)) {
			t.Errorf("%s: the answer is %t: %v; the screen shows %q", answer, yes, err, w.shown())
		}
		sane()
	}
}

// The person types half, then time is up, and the program is killed.
func TestRealPinentryIsKilled(t *testing.T) {
	p, w, sane := onTerminal(t, "Passphrase:", "corr")
	ctx, cancel := context.WithCancel(patient(t))
	go func() { <-w.shows; cancel() }()
	if _, err := p.Ask(ctx, Question{Description: "To read from lab", Prompt: "Passphrase:"}); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v; the screen shows %q", err, w.shown())
	}
	sane()
}
