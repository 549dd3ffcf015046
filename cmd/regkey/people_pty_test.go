//go:build unix

// People before terminals: a backup that is printed, and machines that let each other in.

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/cargo-regkey/regkey/internal/lab"
)

// An office is a registry and the first machine of an account there, which manages it.
type office struct {
	*lab.Lab
	r *lab.Registry
}

func newOffice(t *testing.T, args ...string) *office {
	t.Helper()
	l, err := lab.New(t.TempDir(), programs)
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Serve(t.Context(), "registry", args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Stop() })
	o := &office{l, r}
	o.must(t, "", "init", "laptop", "--none")
	code, err := r.Invite(t.Context(), "team")
	if err != nil {
		t.Fatal(err)
	}
	o.must(t, code, "enroll", "--registry", r.Index, "--account", "team", "--code-stdin", "--no-cargo-config")
	return o
}

// must runs regkey without a terminal, and returns its standard output.
func (o *office) must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	result, err := o.Run(t.Context(), "", stdin, "regkey", args...)
	if err != nil {
		t.Fatal(err)
	}
	if result.Exit != 0 {
		t.Fatalf("regkey %q: exit code %d\n%s%s", args, result.Exit, result.Stdout, result.Stderr)
	}
	return result.Stdout
}

// seat is regkey on a terminal of that size, in a home.
func seat(t *testing.T, home string, columns, rows uint16, environ []string, args ...string) *session {
	t.Helper()
	s := newSession(t, environ, args...).at(home)
	if err := pty.Setsize(s.terminal, &pty.Winsize{Rows: rows, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.tty, s.tty, s.tty
	s.start()
	return s
}

// intact fails if the terminal is not as it was.
func (s *session) intact() {
	s.t.Helper()
	settings, err := unix.IoctlGetTermios(int(s.tty.Fd()), termiosRequest)
	if err != nil {
		s.t.Fatal(err)
	}
	if settings.Lflag&unix.ECHO == 0 || settings.Lflag&unix.ICANON == 0 {
		s.t.Error("the terminal is not as it was")
	}
}

func (s *session) ends(code int) {
	s.t.Helper()
	if got := s.exit(); got != code {
		s.t.Fatalf("exit code %d instead of %d: %q", got, code, s.shown())
	}
	s.intact()
}

var armored = regexp.MustCompile(`(?s)-----BEGIN AGE ENCRYPTED FILE-----.*-----END AGE ENCRYPTED FILE-----\r?\n`)

// What is printed can be scanned on terminals with any colours, and opens the account again.
func TestPrintedBackup(t *testing.T) {
	const passphrase = "pelican harbour quilt 94 thunder"
	for _, test := range []struct {
		name          string
		columns, rows uint16
		environ       []string
		drawn         bool
		says          string
	}{
		{"80 columns", 80, 60, []string{"TERM=xterm-256color"}, true, ""},
		{"few lines", 100, 24, []string{"TERM=xterm-256color"}, true, "make it higher"},
		{"narrow", 60, 40, []string{"TERM=xterm-256color"}, false, "this terminal has 60 columns"},
		{"no colours", 100, 60, []string{"TERM=xterm-256color", "NO_COLOR=1"}, true, "drawn for a dark terminal"},
		{"dumb", 100, 60, []string{"TERM=dumb"}, true, "drawn for a dark terminal"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			s := seat(t, o.RegkeyHome(), test.columns, test.rows, test.environ, "init", "safe", "--backup", "--yes")
			s.expect("Passphrase for the backup safe")
			s.typed(passphrase + "\r")
			s.expect("The same again")
			s.typed(passphrase + "\r")
			s.expect("keyset version 2")
			s.ends(0)
			text := strings.ReplaceAll(armored.FindString(s.shown()), "\r", "")
			drawing := s.shown()[:strings.Index(s.shown(), "-----BEGIN")]
			if strings.ContainsAny(drawing, "█▀▄") != test.drawn || !strings.Contains(s.shown(), test.says) {
				t.Fatalf("drawn: %v, and said:\n%q", !test.drawn, s.shown())
			}
			if test.drawn {
				if got, err := scan(t, drawing[strings.Index(drawing, "█")-len(colourOf(drawing)):], dark); got != text {
					t.Errorf("the code reads %q (%v) instead of %q", got, err, text)
				}
			}
			if strings.Contains(s.shown(), passphrase) {
				t.Error("the passphrase shows")
			}
			if test.says == "" { // once is enough
				o.restore(t, text, passphrase)
			}
		})
	}
}

// colourOf is the escape sequence before each line of the drawing; "" if there is none.
func colourOf(drawing string) string {
	if strings.Contains(drawing, qrColours) {
		return qrColours
	}
	return ""
}

// restore lets a new machine in with nothing but the backup, which then ends the lost one's key.
func (o *office) restore(t *testing.T, backup, passphrase string) {
	t.Helper()
	fresh, err := lab.New(t.TempDir(), programs)
	if err != nil {
		t.Fatal(err)
	}
	f := &office{fresh, o.r}
	for name, content := range map[string]string{"paper.age": backup, "passphrase": passphrase + "\n"} {
		if err := os.WriteFile(filepath.Join(f.Dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.Env = []string{"REGKEY_PASSPHRASE_FILE=" + filepath.Join(f.Dir, "passphrase")}
	f.must(t, "", "init", "new", "--none")
	f.must(t, "", "enroll", "--registry", o.r.Index, "--account", "team", "--key", "new", "--can", "manage,publish,read", "--with-file", "paper.age", "--yes", "--no-cargo-config")
	f.must(t, "", "rotate", "--registry", o.r.Index, "--key", "new", "--none", "--yes")
	laptop := strings.TrimSpace(o.must(t, "", "export", "public", "--json"))
	id := regexp.MustCompile(`k4\.pid\.[0-9A-Za-z_-]{44}`).FindString(laptop)
	f.must(t, "", "revoke", id, "--reason", "lost", "--yes")
	if shown := f.must(t, "", "keyset", "show"); strings.Contains(shown, "laptop ") || !strings.Contains(shown, "revoked  "+id) {
		t.Errorf("the lost key is not revoked:\n%s", shown)
	}
}

// Ctrl-C at each question and while it waits costs nothing: the same command goes on.
func TestSecondMachineOnTerminals(t *testing.T) {
	o := newOffice(t, "--auth-required")
	second := filepath.Join(t.TempDir(), "second")
	xterm := []string{"TERM=xterm-256color"}
	sit := func(home string, args ...string) *session { return seat(t, home, 200, 40, xterm, args...) }
	cancelled := func(s *session, question string) {
		t.Helper()
		s.expect(question)
		s.typed("\x03")
		s.ends(exitCancelled)
	}
	sit(second, "init", "desk", "--none").ends(0)
	enroll := []string{"enroll", "--registry", o.r.Index, "--account", "team", "--no-cargo-config"}
	show := o.must(t, "", "keyset", "show")
	code := regexp.MustCompile(`(?m)^code +(\S+)$`).FindStringSubmatch(show)[1]

	cancelled(sit(second, enroll...), "Invite code (leave it empty")
	s := sit(second, enroll...)
	s.expect("Invite code (leave it empty")
	s.typed("\r")
	cancelled(s, "Code of the keyset")
	joining := sit(second, append(enroll, "--join")...) // which says that there is no invite code
	joining.expect("Code of the keyset")
	joining.typed("hello\r")
	joining.expect("not 20 characters")
	joining.typed("\x03")
	joining.ends(exitCancelled)
	s = sit(second, enroll...)
	s.expect("Invite code (leave it empty")
	s.typed("\r")
	s.expect("Code of the keyset")
	s.typed(code + "\r")
	cancelled(s, "Have another machine of yours let this key in?")
	s = sit(second, append(enroll, "--keyset-code", code)...)
	s.expect("after Ctrl-C the same command goes on")
	s.typed("\x03")
	s.ends(exitCancelled)
	s.expect("the code serves until")
	proposal := regexp.MustCompile(`regkey approve (\S+)`).FindStringSubmatch(s.shown())[1]
	waiting := sit(second, enroll...) // it needs no code any more
	waiting.expect("regkey approve " + proposal)

	first := o.RegkeyHome()
	cancelled(sit(first, "approve", proposal), "Let this key in?")
	s = sit(first, "approve", proposal)
	s.expect("Let this key in?")
	s.typed("n")
	s.ends(exitCancelled)
	s = sit(first, "approve", proposal)
	s.expect("Let this key in?")
	s.typed("y")
	s.ends(0)
	s.expect("--label NAME")
	waiting.expect("enrolled")
	waiting.ends(0)
}

// The approver, whose own key is in a token, sees where the other one is, and is asked for the PIN.
func TestApproveBetweenTokens(t *testing.T) {
	one := plug(t, "name=yk1,serial=11111111,firmware=5.7.4")
	two := plug(t, "name=yk1,serial=22222222,firmware=4.3.5")
	authorities := filepath.Join(t.TempDir(), "authorities.pem")
	var all []byte
	for _, tokens := range []*lab.Tokens{one, two} {
		text, err := os.ReadFile(tokens.Authorities)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	if err := os.WriteFile(authorities, all, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := lab.New(t.TempDir(), programs)
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Serve(t.Context(), "registry", "--require-hardware", "--attestation-roots", authorities)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Stop() })
	invite, err := r.Invite(t.Context(), "team")
	if err != nil {
		t.Fatal(err)
	}
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	sit := func(home string, tokens *lab.Tokens, args ...string) *session {
		return seat(t, home, 200, 60, environOf(tokens, "xterm-256color"), args...)
	}
	pin := func(s *session, serial string) {
		t.Helper()
		s.expect("PIN of YubiKey " + serial)
		s.typed("123456\r")
	}
	for home, tokens := range map[string]*lab.Tokens{first: one, second: two} {
		s := sit(home, tokens, "init", "yk", "--hardware", "--touch", "never")
		pin(s, "")
		s.ends(0)
	}
	enroll := []string{"enroll", "--registry", r.Index, "--account", "team", "--no-cargo-config"}
	s := sit(first, one, enroll...)
	s.expect("Enrol this key there?")
	s.typed("y")
	s.expect("Invite code of team")
	s.typed(invite + "\r")
	pin(s, "11111111")
	s.ends(0)

	// Pulled the plug on the person: nothing was asked for, and the same command asks again.
	s = sit(second, two, enroll...)
	s.expect("let this key in?")
	s.typed("y")
	s.expect("PIN of YubiKey 22222222")
	s.typed("\x03")
	s.ends(exitCancelled)
	waiting := sit(second, two, append(enroll, "--join")...)
	pin(waiting, "22222222")
	waiting.expect("regkey approve ")
	waiting.expect("goes on")
	code := regexp.MustCompile(`regkey approve (\S+)`).FindStringSubmatch(waiting.shown())[1]

	s = sit(first, one, "approve", code)
	s.expect("but its attestation leads to no maker that is trusted here")
	s.expect("Let this key in?")
	s.typed("n")
	s.ends(exitCancelled)
	s = sit(first, one, "approve", code, "--roots", authorities)
	s.expect("in YubiKey 22222222, slot 9a, firmware 4.3.5, PIN once, touch never: its maker vouches for that")
	s.expect("and along with it:")
	s.expect("Let this key in?")
	s.typed("y")
	s.expect("PIN of YubiKey 11111111")
	s.typed("\x03")
	s.ends(exitCancelled)
	s = sit(first, one, "approve", code, "--roots", authorities, "--yes", "--label", "desk")
	pin(s, "11111111")
	s.ends(0)
	waiting.expect("reads with")
	waiting.ends(0)
}
