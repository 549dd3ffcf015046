// Tests of the program's parts that need no terminal and no registry.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/internal/argorder"
	"github.com/cargo-regkey/regkey/internal/home"
	"github.com/cargo-regkey/regkey/internal/keychain"
	"github.com/cargo-regkey/regkey/internal/sshkeys"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/registryclient"
)

// Every flag of every command counts where people type it: after an argument too.
func TestFlagsAnywhere(t *testing.T) {
	count := 0
	for _, typed := range everyCommand(nil, newApp().program().Commands) {
		command := lookUp(newApp().program().Commands, typed)
		if len(command.Subcommands) > 0 {
			continue // an argument would be the name of another command, and its flags are that one's
		}
		for _, flag := range command.Flags {
			name := flag.Names()[0]
			words := []string{"--" + name}
			if documented, ok := flag.(cli.DocGenerationFlag); ok && documented.TakesValue() {
				words = append(words, "value")
			}
			for _, args := range [][]string{
				slices.Concat([]string{"regkey"}, typed, words, []string{"argument"}),
				slices.Concat([]string{"regkey"}, typed, []string{"argument"}, words),
			} {
				program := newApp().program()
				set, arguments := false, []string(nil)
				lookUp(program.Commands, typed).Action = func(c *cli.Context) error {
					set, arguments = c.IsSet(name), c.Args().Slice()
					return nil
				}
				ordered, err := argorder.Order(program, args)
				if err != nil {
					t.Fatal(err)
				}
				if err := program.Run(ordered); err != nil {
					t.Fatal(err)
				}
				if !set || !slices.Equal(arguments, []string{"argument"}) {
					t.Errorf("%q: set is %v, arguments are %q", args, set, arguments)
				}
				count++
			}
		}
	}
	if count < 120 {
		t.Fatalf("only %d command lines were tried", count)
	}
}

// lookUp is the command that those words name.
func lookUp(commands []*cli.Command, words []string) *cli.Command {
	at := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.Name == words[0] })
	if len(words) == 1 {
		return commands[at]
	}
	return lookUp(commands[at].Subcommands, words[1:])
}

// A secret as a flag would show in every process list.
func TestNoFlagTakesASecret(t *testing.T) {
	for _, typed := range everyCommand(nil, newApp().program().Commands) {
		command := lookUp(newApp().program().Commands, typed)
		if len(command.Subcommands) > 0 {
			continue // an argument would be the name of another command, and its flags are that one's
		}
		for _, flag := range command.Flags {
			documented, ok := flag.(cli.DocGenerationFlag)
			if flag.Names()[0] == "pin" {
				continue // a policy: see TestPINIsNoFlag
			}
			if flag.Names()[0] == "keyset-code" {
				continue // a hash: it shows public keys, and lets nobody do anything
			}
			for _, word := range []string{"passphrase", "code", "token", "secret", "password", "pin", "puk", "management"} {
				if ok && documented.TakesValue() && strings.Contains(flag.Names()[0], word) {
					t.Errorf("regkey %q --%s takes a value", typed, flag.Names()[0])
				}
			}
		}
	}
}

// --pin takes a policy. Who types the PIN there is told so, and not shown it again.
func TestPINIsNoFlag(t *testing.T) {
	for _, args := range [][]string{{"init", "yk", "--hardware", "--pin", "123456"}, {"rotate", "--to-hardware", "--pin", "123456"}} {
		var stdout, stderr strings.Builder
		a := newApp()
		a.stdout, a.stderr, a.terminal = &stdout, &stderr, false
		code := a.run(t.Context(), append([]string{"regkey"}, args...))
		if said := stderr.String(); code != exitUsage || !strings.Contains(said, "never typed on a command line") || strings.Contains(said+stdout.String(), "123456") {
			t.Errorf("%q: exit code %d: %s", args, code, said)
		}
	}
}

func TestExitCodesAndHints(t *testing.T) {
	ended, end := context.WithCancel(context.Background())
	end()
	for _, test := range []struct {
		err  error
		code int
		hint string
	}{
		{usage("no"), exitUsage, "--help"},
		{&missingError{"a yes", "--yes"}, exitUsage, "give --yes"},
		{errCancelled, exitCancelled, "nothing was changed"},
		{errByHand, exitByHand, ""},
		{byHand(errors.New("x"), "lines\n", "intro"), exitByHand, "lines"},
		{&lockedError{"/home", time.Second}, exitFailed, "wait for it"},
		{&registryclient.Error{Status: 409, Code: "keyset-conflict", Detail: "d"}, exitRefused, "run the same command again"},
		{&registryclient.Error{Status: 403, Code: "never-heard-of", Detail: "d"}, exitRefused, ""},
		{&registryclient.StatusError{Status: 503}, exitFailed, "later"},
		{&registryclient.IndexError{Want: "sparse+https://a/", Said: "sparse+https://b/"}, exitDistrust, "sparse+https://b/"},
		{registryclient.ErrNoKeyAPI, exitFailed, "--manual"},
		{registryclient.ErrPlainHTTP, exitFailed, "--insecure-http"},
		{syscall.ECONNREFUSED, exitFailed, "is the registry running"},
		{&enroll.DistrustError{Detail: "d"}, exitDistrust, "ask its operator"},
		{&enroll.RuleError{Code: "key-in-use", Detail: "d"}, exitFailed, "keys of its own"},
		{enroll.ErrNotTrusted, exitFailed, "regkey status"},
		{enroll.ErrManual, exitFailed, "export public"},
		{&cargo.UnknownRegistryError{Name: "lab"}, exitFailed, "--name lab"},
		{&cargo.ProjectOverrideError{Name: "lab", Index: "sparse+https://e/"}, exitFailed, "may come from anybody"},
		{&cargo.NotEditableError{Lines: "[registries.lab]\n"}, exitFailed, "[registries.lab]"},
		{cargo.ErrChanged, exitFailed, "again"},
		{keys.ErrWrongPassphrase, exitFailed, envPassphraseFile},
		{keys.ErrNoPassphrase, exitFailed, envPassphraseFile},
		{keys.ErrNoItem, exitFailed, "nothing opens the key any more"},
		{keys.ErrNoKeychain, exitFailed, "unlock the keychain"},
		{&keychain.UnavailableError{Reason: "it is locked", Locked: true}, exitFailed, "unlock the keychain"},
		{&keychain.TimeoutError{Limit: time.Second}, exitFailed, "regkey protect NAME --passphrase"},
		{sshkeys.ErrNoAgent, exitFailed, "ssh-add"},
		{sshkeys.ErrNotHeld, exitFailed, "ssh-add -X"},
		{os.ErrPermission, exitFailed, "belongs to somebody else"},
		{keyExists(keys.OpenStore("/k"), "laptop"), exitFailed, "it was not touched"},
		{hardware.ErrNotBuilt, exitFailed, "built without hardware support"},
		{&twinError{"error while loading shared libraries: libpcsclite.so.1"}, exitFailed, "apt install libpcsclite1 pcscd"},
		{&twinError{"exec format error"}, exitFailed, "install both from one build"},
		{&hardware.NotFoundError{Serial: 7}, exitFailed, "plug it in"},
		{&hardware.AmbiguousError{Serials: []uint32{1, 2}}, exitFailed, "give --serial"},
		{&hardware.BusyError{Reader: "r"}, exitFailed, "end that program"},
		{&hardware.RemovedError{Serial: 7, Err: errors.New("x")}, exitFailed, "completes what was begun"},
		{&hardware.UnfinishedError{Serial: 7, Slot: 0x82, Err: &hardware.RemovedError{Serial: 7, Err: errors.New("x")}}, exitFailed,
			"regkey init NAME --hardware --adopt --serial 7 --slot 82"},
		{&hardware.OccupiedError{Slot: hardware.SlotInfo{Slot: 0x9a}}, exitFailed, "--overwrite-slot 9a"},
		{&hardware.KeyChangedError{}, exitFailed, "nothing was signed"},
		{&hardware.FullError{Serial: 7}, exitFailed, "regkey hardware list"},
		{&hardware.PINError{Retries: 0}, exitFailed, "regkey hardware unblock"},
		{&hardware.PINError{Retries: 1}, exitFailed, envPINFile},
		{&hardware.PUKError{Retries: 0}, exitFailed, "only a reset helps"},
		{&hardware.PUKError{Retries: 1}, exitFailed, envPUKFile},
		{&hardware.FewTriesError{Retries: 2}, exitFailed, "run this on a terminal"},
		{&hardware.FormatError{OTP: true}, exitFailed, "cost no try"},
		{hardware.ErrPINNeeded, exitFailed, envPINFile},
		{&hardware.TouchTimeoutError{Serial: 7}, exitFailed, "while it blinks"},
		{&hardware.ManagementKeyError{Default: true}, exitFailed, envManagementFile},
		{&hardware.ManagementKeyError{}, exitFailed, envManagementFile},
		{&policyError{"lab", "that are round"}, exitFailed, "regkey init NAME --hardware"},
		{errors.New("something else"), exitFailed, ""},
	} {
		err := fmt.Errorf("doing something: %w", test.err)
		if code := exitCode(t.Context(), err); code != test.code {
			t.Errorf("%v: exit code %d instead of %d", test.err, code, test.code)
		}
		lines := hints(err)
		if got := strings.Join(lines, "\n"); test.hint == "" && got != "" || !strings.Contains(got, test.hint) {
			t.Errorf("%v: hint %q lacks %q", test.err, got, test.hint)
		}
		for _, line := range lines {
			if strings.HasSuffix(line, ".") {
				t.Errorf("%v: the hint ends in a full stop: %q", test.err, line)
			}
		}
	}
	if code := exitCode(ended, fmt.Errorf("fetching: %w", context.Canceled)); code != exitCancelled {
		t.Errorf("a run that was interrupted: exit code %d", code)
	}
}

// Who interrupts the making of a key is told of the slot that may hold it now.
func TestInterruptedKeyIsTold(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	var b strings.Builder
	a := newApp()
	a.stderr = &b
	code := a.finish(ended, &hardware.UnfinishedError{Serial: 7, Slot: 0x82, Err: context.Canceled})
	if code != exitCancelled || !strings.Contains(b.String(), "slot 82 of token 7 may hold a new key") || !strings.Contains(b.String(), "--adopt") {
		t.Errorf("exit code %d: %s", code, b.String())
	}
}

// What others have written can't steer the terminal, nor begin a line of its own.
func TestErrorsArePrintable(t *testing.T) {
	a := newApp()
	var b strings.Builder
	a.stderr = &b
	a.finish(t.Context(), &registryclient.Error{Code: "x", Detail: "red \x1b[31m\rregkey: all is well"})
	if strings.ContainsAny(b.String(), "\x1b\r") {
		t.Errorf("%q", b.String())
	}
}

func TestLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	unlock, err := home.Lock(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	a := newApp()
	a.stdout, a.stderr, a.terminal, a.lockLimit = io.Discard, &stderr, false, 10*time.Millisecond
	a.home = func() (string, error) { return dir, nil }
	args := []string{"regkey", "init", "laptop", "--no-passphrase"}
	if code := a.run(t.Context(), args); code != exitFailed || !strings.Contains(stderr.String(), "another regkey has been changing") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	unlock()
	a.lockLimit = time.Minute // from here on it is for a machine that does something else
	if code := a.run(t.Context(), args); code != 0 {
		t.Errorf("exit code %d once the lock is free: %s", code, stderr.String())
	}
}

func TestParseUntil(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 12, 0, 500, time.UTC)
	for text, want := range map[string]string{
		"":                          "",
		"30d":                       "2026-12-22T09:12:00Z",
		"12h":                       "2026-11-22T21:12:00Z",
		"2027-01-31":                "2027-01-31T00:00:00Z",
		"2027-01-31T12:00:00+01:00": "2027-01-31T11:00:00Z",
	} {
		got, err := parseUntil(text, now)
		if err != nil || moment(got) != want {
			t.Errorf("%q: %q, %v, want %q", text, moment(got), err, want)
		}
	}
	for _, text := range []string{"soon", "0h", "-1h", "-3d", "d", "2026-11-22", "2027-13-01", "300000d", "-300000d"} {
		if got, err := parseUntil(text, now); err == nil {
			t.Errorf("%q became %v", text, got)
		}
	}
}

func TestSuggestedNameCanBeUsed(t *testing.T) {
	if name := suggestedName(); keys.CheckName(name) != nil {
		t.Errorf("%q: %v", name, keys.CheckName(name))
	}
}

func TestShellQuote(t *testing.T) {
	if got, want := shellQuote("it's $HOME"), `'it'\''s $HOME'`; got != want {
		t.Errorf("%s instead of %s", got, want)
	}
}
