//go:build unix

// Rotations that are stopped before the first signature: nothing was begun, and nothing is said of going on.

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRotateStoppedBeforeTheFirstSignature(t *testing.T) {
	u, _ := enrolledUser(t)
	right, wrong := filepath.Join(t.TempDir(), "right"), filepath.Join(t.TempDir(), "wrong")
	for path, text := range map[string]string{right: "nimble otters juggle quartz\n", wrong: "something else entirely\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bare := u.environ
	u.environ = append(bare, "REGKEY_NEW_PASSPHRASE_FILE="+right)
	u.want(0, "", "protect", "laptop", "--passphrase", "--yes")
	u.want(0, "", "init", "desk", "--none")
	u.environ = append(bare, "REGKEY_PASSPHRASE_FILE="+wrong)
	for _, c := range []struct {
		flags []string
		said  string
	}{
		{[]string{"--all", "--to", "desk"}, "this command changed nothing\n"},
		{[]string{"--registry", "lab", "--to", "desk"}, "this command changed nothing\n"},
		{[]string{"--all", "--to", "fresh", "--none"}, "this command changed nothing at any registry\n"},
	} {
		out, said, exit := u.talk("", append([]string{"rotate", "--key", "laptop", "--yes"}, c.flags...)...)
		if exit != exitFailed || !strings.Contains(said, c.said) || !strings.Contains(said, "check REGKEY_PASSPHRASE_FILE") {
			t.Errorf("%q: exit code %d, %q is not in\n%s", c.flags, exit, c.said, said)
		}
		hasNoAdvice(t, out+said)
	}
	u.want(0, "no rotation waits", "rotate", "--resume")

	for _, at := range []string{"--all", "--registry=lab"} {
		s := seat(t, u.home(), 200, 40, append(bare, "TERM=xterm-256color"), "rotate", at, "--key", "laptop", "--to", "desk", "--yes")
		s.expect("Passphrase of")
		s.typed("\x03")
		s.ends(exitCancelled)
		s.expect("this command changed nothing")
		hasNoAdvice(t, s.shown())
	}
}

// hasNoAdvice fails where something is said to be left.
func hasNoAdvice(t *testing.T, said string) {
	t.Helper()
	for _, words := range []string{"planned", "--resume", "would not complete"} {
		if strings.Contains(said, words) {
			t.Errorf("%q is in\n%s", words, said)
		}
	}
}
