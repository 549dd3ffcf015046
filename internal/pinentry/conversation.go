// One run of a pinentry, from its start to its end.

package pinentry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/term"

	"github.com/cargo-regkey/regkey/keys"
)

// leave is how long a pinentry has to go when it was told to; then it is killed.
const leave = time.Second

// A conversation is a pinentry that runs.
type conversation struct {
	ctx     context.Context
	to      io.Writer
	answers *answers
}

// converse starts the program, tells it the question, and ends it when talk is done.
func (p *Program) converse(ctx context.Context, q Question, talk func(*conversation) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer p.keepTerminal()()
	// On Linux the program is killed when the thread that started it ends, which is to be when we do.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, p.path)
	cmd.Env, cmd.SysProcAttr = p.environ, attributes(p.terminal == "")
	cmd.Cancel = func() error { return killAll(cmd, p.terminal == "") }
	cmd.WaitDelay = leave
	to, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	from, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.path, err)
	}
	c := &conversation{ctx, to, &answers{from: from}}
	defer c.answers.wipe()
	err = c.introduce(p, q)
	if err == nil {
		err = talk(c)
	}
	_, _ = io.WriteString(to, "BYE\n")
	_ = to.Close()
	// Whatever it still does after BYE, or after what it should not have said, it does not for long.
	goodbye := time.AfterFunc(leave, cancel)
	ended := ctx.Err()
	if err != nil {
		cancel()
	}
	_ = cmd.Wait()
	goodbye.Stop()
	if err != nil && ended != nil {
		return ended
	}
	return err
}

// keepTerminal notes how the terminal is, and returns what restores it: a pinentry that is killed
// leaves it without echo.
func (p *Program) keepTerminal() (restore func()) {
	if p.terminal == "" {
		return func() {}
	}
	tty, err := os.OpenFile(p.terminal, os.O_RDWR|noControl, 0)
	if err != nil {
		return func() {} // the program will say so
	}
	before, err := term.GetState(int(tty.Fd()))
	return func() {
		if err == nil {
			_ = term.Restore(int(tty.Fd()), before)
		}
		_ = tty.Close()
	}
}

// introduce waits until the program is there, and tells it all but what to do.
func (c *conversation) introduce(p *Program, q Question) error {
	if _, err := c.answers.next(nil); err != nil {
		return err
	}
	if p.terminal != "" {
		if err := c.must("OPTION", "ttyname="+p.terminal); err != nil {
			return err
		}
		if kind := os.Getenv("TERM"); kind != "" {
			if err := c.may("OPTION", "ttytype="+kind); err != nil {
				return err
			}
		}
	}
	if deadline, ok := c.ctx.Deadline(); ok {
		seconds := max(1, int(math.Ceil(time.Until(deadline).Seconds())))
		if err := c.may("SETTIMEOUT", strconv.Itoa(seconds)); err != nil {
			return err
		}
	}
	for _, line := range []struct {
		command, text string
		tell          func(command, text string) error
	}{
		{"SETTITLE", q.Title, c.may},
		{"SETDESC", q.Description, c.must}, // without which nobody knows what for
		{"SETPROMPT", q.Prompt, c.may},
		{"SETERROR", q.Error, c.must},
		{"SETOK", q.OK, c.may},
		{"SETCANCEL", q.Cancel, c.may},
	} {
		if line.text == "" {
			continue
		}
		if err := line.tell(line.command, line.text); err != nil {
			return err
		}
	}
	return nil
}

// must sends what the program has to know.
func (c *conversation) must(command, text string) error {
	line, err := request(command, text)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(c.to, line); err != nil {
		return err
	}
	_, err = c.answers.next(make([]byte, 0, maxSecret))
	return err
}

// may sends what an old or a simple program need not know.
func (c *conversation) may(command, text string) error {
	err := c.must(command, text)
	if errors.As(err, new(*refusal)) {
		return nil
	}
	return err
}

// command has the person asked, and returns what was typed.
func (c *conversation) command(name string) (keys.Secret, error) {
	if _, err := io.WriteString(c.to, name+"\n"); err != nil {
		return keys.Secret{}, err
	}
	buffer := make([]byte, 0, maxSecret)
	defer clear(buffer[:cap(buffer)])
	typed, err := c.answers.next(buffer)
	var refused *refusal
	switch {
	case errors.As(err, &refused) && (refused.code == codeCanceled || refused.code == codeFullyCanceled):
		return keys.Secret{}, ErrCancelled
	case errors.As(err, &refused) && refused.code == codeTimeout:
		return keys.Secret{}, context.DeadlineExceeded
	case err != nil:
		return keys.Secret{}, err
	}
	return keys.NewSecret(typed), nil
}
