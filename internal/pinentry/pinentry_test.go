// Questions to a pinentry that a script plays, and its person with it.

//go:build unix

package pinentry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
)

// A script is a pinentry; said is what it was told, environ what its environment was.
type script struct{ said, environ, pid string }

// install makes the pinentry that is found one that greets, answers each command in answers with
// those lines, and all others with OK.
func install(t *testing.T, greeting string, answers map[string]string) script {
	t.Helper()
	dir := t.TempDir()
	s := script{filepath.Join(dir, "said"), filepath.Join(dir, "environ"), filepath.Join(dir, "pid")}
	var cases strings.Builder
	for command, lines := range answers {
		fmt.Fprintf(&cases, "%s) %s ;;\n", command, lines)
	}
	text := fmt.Sprintf("#!/bin/sh\nenv >%s\necho $$ >%s\n%s\nwhile read -r command rest; do\nprintf '%%s %%s\\n' \"$command\" \"$rest\" >>%s\ncase $command in\n%sBYE) echo OK; exit ;;\n*) echo OK ;;\nesac\ndone\n",
		s.environ, s.pid, greeting, s.said, cases.String())
	path := filepath.Join(dir, "pinentry")
	check(t, os.WriteFile(path, []byte(text), 0o700))
	t.Setenv(Variable, path)
	t.Setenv("DISPLAY", ":99")
	return s
}

func (s script) told(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(s.said)
	check(t, err)
	return string(text)
}

// gone expects the program to have ended.
func (s script) gone(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(s.pid)
	check(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	check(t, err)
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the pinentry still runs: %v", err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T) *Program {
	t.Helper()
	p, err := Open()
	check(t, err)
	return p
}

var question = Question{
	Title: "regkey", Description: "To publish foo 1.2.3 to lab:\n100% of key \"laptop\"", Prompt: "Passphrase:",
	Error: "wrong passphrase", OK: "_Sign", Cancel: "_No",
}

const greet = "echo 'OK Pleased to meet you, process 1'"

func TestAsk(t *testing.T) {
	for name, test := range map[string]struct{ answer, want string }{
		"plain":         {"echo 'D correct horse'; echo OK", "correct horse"},
		"escaped":       {"echo 'D 100%25%0a%C3%A9'; echo OK", "100%\né"},
		"in two lines":  {"echo 'D corr'; echo 'S PIN_REPEATED'; echo '# remark'; echo 'D ect'; echo 'OK done'", "correct"},
		"nothing typed": {"echo OK", ""},
		"with returns":  {"printf 'D x\\r\\nOK\\r\\n'", "x"},
		"slowly":        {"printf 'D sl'; printf 'ow\\nO'; printf 'K\\n'", "slow"},
	} {
		t.Run(name, func(t *testing.T) {
			s := install(t, greet, map[string]string{"GETPIN": test.answer})
			begun := time.Now()
			secret, err := open(t).Ask(t.Context(), question)
			took := time.Since(begun)
			check(t, err)
			if string(secret.Reveal()) != test.want {
				t.Errorf("the secret is %q instead of %q", secret.Reveal(), test.want)
			}
			want := "SETTITLE regkey\nSETDESC To publish foo 1.2.3 to lab:%0A100%25 of key \"laptop\"\n" +
				"SETPROMPT Passphrase:\nSETERROR wrong passphrase\nSETOK _Sign\nSETCANCEL _No\nGETPIN \nBYE \n"
			told := s.told(t)
			limited, rest, _ := strings.Cut(told, "\n")
			if rest != want && took >= leave { // it was given up while it went
				want = strings.TrimSuffix(want, "BYE \n")
			}
			if rest != want || !leaves(limited, limit, took) {
				t.Errorf("it was told %q instead of SETTIMEOUT and %q", told, want)
			}
			s.gone(t)
		})
	}
}

// leaves reports whether the line gives a person what is left of the limit, in whole seconds: all of it, but for
// the time that the program took to start.
func leaves(line string, limit, took time.Duration) bool {
	text, found := strings.CutPrefix(line, "SETTIMEOUT ")
	seconds, err := strconv.Atoi(text)
	left := time.Duration(seconds) * time.Second
	return found && err == nil && left <= limit && left >= limit-took
}

func TestAskFails(t *testing.T) {
	const secret = "correct horse"
	for name, test := range map[string]struct {
		greeting, answer string
		is               error // or nil
		says             string
	}{
		"cancelled":        {greet, "echo 'ERR 83886179 Operation cancelled <Pinentry>'", ErrCancelled, ""},
		"fully cancelled":  {greet, "echo 'ERR 83886278 canceled'", ErrCancelled, ""},
		"its own limit":    {greet, "echo 'ERR 83886142 Timeout <Pinentry>'", context.DeadlineExceeded, ""},
		"another error":    {greet, "echo 'D correct horse'; echo 'ERR 83886165 correct horse'", nil, "code 85"},
		"gone":             {greet, "echo 'D correct horse'; exit", nil, "without an answer"},
		"killed":           {greet, "kill -9 $$", nil, "without an answer"},
		"half an escape":   {greet, "echo 'D correct horse%4'; echo OK", errProtocol, ""},
		"no escape":        {greet, "echo 'D correct horse%zz'; echo OK", errProtocol, ""},
		"an inquiry":       {greet, "echo 'INQUIRE correct horse'", errProtocol, ""},
		"no number":        {greet, "echo 'ERR correct horse'", errProtocol, ""},
		"no error":         {greet, "echo 'ERR 0 correct horse'", errProtocol, ""},
		"other words":      {greet, "echo 'correct horse'", errProtocol, ""},
		"a long line":      {greet, "printf 'D %01001d\\n' 0; echo OK", errProtocol, ""},
		"an endless line":  {greet, "cat /dev/zero", errProtocol, ""},
		"endless lines":    {greet, "yes 'S correct horse'", errProtocol, ""},
		"too much":         {greet, "for i in 1 2 3 4 5 6 7 8 9; do printf 'D %0900d\\n' 0; done; echo OK", nil, "longer than 4096 bytes"},
		"a bad greeting":   {"echo 'correct horse'", "echo OK", errProtocol, ""},
		"refuses to greet": {"echo 'ERR 83886164 no'", "echo OK", nil, "code 84"},
		"no greeting":      {"exit 0", "echo OK", nil, "without an answer"},
	} {
		t.Run(name, func(t *testing.T) {
			s := install(t, test.greeting, map[string]string{"GETPIN": test.answer})
			given, err := open(t).Ask(t.Context(), question)
			if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("the error is %v", err)
			}
			if !given.IsZero() || strings.Contains(err.Error(), secret) {
				t.Errorf("something is told of the secret: %v", err)
			}
			s.gone(t)
		})
	}
}

// A timed context is one whose time is over when the test says so.
type timed struct {
	context.Context
	over chan struct{}
}

// Done is that of [context.Context].
func (c timed) Done() <-chan struct{} { return c.over }

// Err is that of [context.Context].
func (c timed) Err() error {
	select {
	case <-c.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Nobody answers, and whatever the program started goes with it.
func TestAskEnds(t *testing.T) {
	for name, begin := range map[string]func(context.Context) (ctx context.Context, end func()){
		"cancelled": func(ctx context.Context) (context.Context, func()) { return context.WithCancel(ctx) },
		"late": func(ctx context.Context) (context.Context, func()) {
			c := timed{ctx, make(chan struct{})}
			return c, sync.OnceFunc(func() { close(c.over) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			// What the program starts holds a pipe open, which ends with the last of them.
			marker := filepath.Join(t.TempDir(), "asked")
			check(t, syscall.Mkfifo(marker, 0o600))
			s := install(t, greet, map[string]string{"GETPIN": "sleep 1000 >" + marker + " & wait"})
			ctx, end := begin(t.Context())
			defer end()
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				pipe, err := os.Open(marker)
				if err != nil {
					return
				}
				end()
				_, _ = io.Copy(io.Discard, pipe)
			}()
			_, err := open(t).Ask(ctx, question)
			if !errors.Is(err, ctx.Err()) || err == nil {
				t.Errorf("the error is %v instead of %v", err, ctx.Err())
			}
			s.gone(t)
			select {
			case <-gone:
			case <-time.After(3 * time.Minute):
				t.Error("what the pinentry started still runs")
			}
		})
	}
}

func TestConfirm(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		yes    bool
		is     error
	}{
		"yes":       {"echo OK", true, nil},
		"no":        {"echo 'ERR 83886194 not confirmed'", false, nil},
		"closed":    {"echo 'ERR 83886179 Operation cancelled'", false, ErrCancelled},
		"other":     {"echo 'ERR 83886165 No window'", false, &refusal{85}},
		"something": {"echo 'YES'", false, errProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			s := install(t, greet, map[string]string{"CONFIRM": test.answer})
			yes, err := open(t).Confirm(t.Context(), question)
			if refused, ok := errors.AsType[*refusal](err); ok {
				err = refused
				if *refused == (refusal{85}) {
					err = test.is
				}
			}
			if yes != test.yes || !errors.Is(err, test.is) {
				t.Errorf("the answer is %t: %v", yes, err)
			}
			if told := s.told(t); strings.Contains(told, "SETPROMPT") || strings.Contains(told, "GETPIN") {
				t.Errorf("it was told %q", told)
			}
			s.gone(t)
		})
	}
}

// What a simple program does not know is left out; what it is for is not.
func TestSimplePrograms(t *testing.T) {
	unknown := "echo 'ERR 83886355 Unknown IPC command'"
	install(t, greet, map[string]string{"SETTITLE": unknown, "SETTIMEOUT": unknown, "SETOK": unknown, "GETPIN": "echo 'D x'; echo OK"})
	if secret, err := open(t).Ask(t.Context(), question); err != nil || string(secret.Reveal()) != "x" {
		t.Errorf("the answer is %q: %v", secret.Reveal(), err)
	}
	install(t, greet, map[string]string{"SETDESC": unknown, "GETPIN": "echo 'D x'; echo OK"})
	if secret, err := open(t).Ask(t.Context(), question); err == nil || !secret.IsZero() {
		t.Error("a question is asked that says nothing of what it is for")
	}
}

func TestLongTextsAreRefused(t *testing.T) {
	s := install(t, greet, map[string]string{"GETPIN": "echo 'D x'; echo OK"})
	long := question
	long.Description = strings.Repeat("%", maxLine/3)
	if _, err := open(t).Ask(t.Context(), long); err == nil || !strings.Contains(err.Error(), "SETDESC") {
		t.Errorf("the error is %v", err)
	}
	if told := s.told(t); strings.Contains(told, "SETDESC") || strings.Contains(told, "GETPIN") {
		t.Errorf("it was told %q", told)
	}
	long.Description = strings.Repeat("d", maxLine-len("SETDESC "))
	if _, err := open(t).Ask(t.Context(), long); err != nil {
		t.Error(err)
	}
}

func TestEnvironmentIsMinimal(t *testing.T) {
	s := install(t, greet, nil)
	t.Setenv("REGKEY_PASSPHRASE_FILE", "/secret")
	t.Setenv("LC_ALL", "C.UTF-8")
	t.Setenv("XAUTHORITY", "/x")
	_, err := open(t).Ask(t.Context(), Question{})
	check(t, err)
	text, err := os.ReadFile(s.environ)
	check(t, err)
	found := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, "=")
		found[name] = true
		switch name {
		case "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "LANG", "PATH", "HOME":
		case "PWD", "OLDPWD", "SHLVL", "_": // the shell's own
		default:
			if !strings.HasPrefix(name, "LC_") {
				t.Errorf("the program is told %s", name)
			}
		}
	}
	if !found["DISPLAY"] || !found["LC_ALL"] || !found["XAUTHORITY"] || !found["PATH"] {
		t.Errorf("the program is told only %q", text)
	}
}

func TestOpen(t *testing.T) {
	install(t, greet, nil)
	if !Available() {
		t.Error("with a program and a display there is no pinentry")
	}
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	if _, err := Open(); !errors.Is(err, ErrNone) || Available() {
		t.Errorf("without a display: %v", err)
	}
	if _, err := OpenOn("/dev/tty"); err != nil {
		t.Errorf("a terminal needs no display: %v", err)
	}
	t.Setenv("WAYLAND_DISPLAY", "wayland-0")
	check(t, func() error { _, err := Open(); return err }())
	for _, name := range []string{"./pinentry", "no-such-pinentry", t.TempDir() + "/none"} {
		t.Setenv(Variable, name)
		if _, err := Open(); !errors.Is(err, ErrNone) || Available() {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv(Variable, "")
	t.Setenv("PATH", t.TempDir())
	if _, err := Open(); !errors.Is(err, ErrNone) {
		t.Errorf("with nothing in PATH: %v", err)
	}
}

func TestSecretsStaySecret(t *testing.T) {
	install(t, greet, map[string]string{"GETPIN": "echo 'D correct horse'; echo OK"})
	secret, err := open(t).Ask(t.Context(), question)
	check(t, err)
	if text := fmt.Sprintf("%v %+v %#v", secret, []keys.Secret{secret}, struct{ s keys.Secret }{secret}); strings.Contains(text, "horse") {
		t.Errorf("the secret prints as %s", text)
	}
}
