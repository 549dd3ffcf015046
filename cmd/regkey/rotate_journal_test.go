// Rotations against the real registry that are interrupted, given up, and overtaken by another machine.

package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// enrolledUser is a user with the key laptop at a registry that can be made to fail.
func enrolledUser(t *testing.T) (user, *unreliable) {
	t.Helper()
	data, dir := t.TempDir(), t.TempDir()
	registry := startUnreliable(t, data)
	code, err := exec.Command(filepath.Join(programs, "regkey-registry"), "invite", "--data", data, "team").Output()
	if err != nil {
		t.Fatal(err)
	}
	u := user{t, []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "REGKEY_HOME=" + dir + "/home", "CARGO_HOME=" + dir + "/cargo", "REGKEY_AGENT=off",
	}}
	u.want(0, "", "init", "laptop", "--no-passphrase")
	if out, exit := u.run(string(code), "enroll", "--registry", registry.index, "--name", "lab", "--account", "team", "--code-stdin"); exit != 0 {
		t.Fatal(out)
	}
	return u, registry
}

// want runs a command that exits so and prints that.
func (u user) want(exit int, text string, args ...string) {
	u.t.Helper()
	out, got := u.run("", args...)
	if got != exit || !strings.Contains(out, text) {
		u.t.Fatalf("regkey %q: exit code %d instead of %d, or %q is not in\n%s", args, got, exit, text, out)
	}
}

// elsewhere is the same user on another machine with a copy of the home folder.
func (u user) elsewhere() user {
	u.t.Helper()
	dir := u.t.TempDir()
	for _, v := range u.environ {
		if home, found := strings.CutPrefix(v, "HOME="); found {
			if err := exec.Command("cp", "-r", home+"/.", dir).Run(); err != nil {
				u.t.Fatal(err)
			}
		}
	}
	return user{u.t, []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "REGKEY_HOME=" + dir + "/home", "CARGO_HOME=" + dir + "/cargo", "REGKEY_AGENT=off",
	}}
}

// replay sends the keyset that came last once more, as somebody who caught it would.
func (r *unreliable) replay(t *testing.T, caught []byte) int {
	t.Helper()
	url := strings.TrimSuffix(strings.TrimPrefix(r.index, "sparse+"), "index/") + "api/regkey/v1/accounts/team/keysets"
	answer, err := http.Post(url, "application/json", bytes.NewReader(caught))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// What was sent and did not arrive is given up: a version with the keys as they were takes its place,
// and what was caught on the way never stands. The key that was made for it is gone.
func TestAbandonWhatNeverArrived(t *testing.T) {
	u, registry := enrolledUser(t)
	registry.swallows.Store(true)
	u.want(exitLeft, "", "rotate", "--registry", "lab", "--yes")
	caught := *registry.posted.Load()
	u.want(0, "not complete", "status")
	u.want(exitLeft, "left", "rotate", "--abandon", "--yes")
	u.want(0, "is being given up", "status")
	registry.swallows.Store(false)
	u.want(0, "by keyset version 2 with the keys as they were", "rotate", "--abandon", "--yes")
	if code := registry.replay(t, caught); code != http.StatusConflict {
		t.Errorf("what was caught is answered with %d", code)
	}
	out, _ := u.run("", "status", "--online", "--json")
	if !strings.Contains(out, `"key": "laptop"`) || strings.Contains(out, `"laptop-2"`) || strings.Contains(out, "not complete") || !strings.Contains(out, `"version": 2`) {
		t.Error(out)
	}
	u.want(0, "lab to laptop-2", "rotate", "--registry", "lab", "--yes")
}

// What arrived stands, whoever gives up: that is said, and this machine signs with the new key.
func TestAbandonWhatStands(t *testing.T) {
	u, registry := enrolledUser(t)
	registry.drops.Store(true)
	u.want(exitLeft, "", "rotate", "--registry", "lab", "--yes")
	registry.drops.Store(false)
	u.want(0, "that can't be undone from here", "rotate", "--abandon", "--yes")
	out, _ := u.run("", "status", "--online", "--json")
	if !strings.Contains(out, `"key": "laptop-2"`) || strings.Contains(out, "not complete") {
		t.Error(out)
	}
	u.want(0, "no rotation waits", "rotate", "--abandon", "--yes")
}

// Whatever was signed goes out again as it is, with no secret asked for.
func TestResumeNeedsNoPassphrase(t *testing.T) {
	u, registry := enrolledUser(t)
	file := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(file, []byte("nimble otters juggle quartz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bare := u.environ
	u.environ = append(bare, "REGKEY_PASSPHRASE_FILE="+file)
	u.want(0, "", "rotate", "--registry", "lab", "--passphrase", "--to", "safe", "--yes")
	registry.swallows.Store(true)
	u.want(exitLeft, "", "rotate", "--registry", "lab", "--yes")
	sent := *registry.posted.Load()
	registry.swallows.Store(false)
	u.environ = bare
	u.want(0, "lab to safe-2, keyset version 3", "rotate", "--resume", "--yes")
	if again := *registry.posted.Load(); !bytes.Equal(sent, again) {
		t.Errorf("sent was\n%s\nand then\n%s", sent, again)
	}
}

// Two machines rotate at once. The second one is told what the first has done, whatever it is.
func TestTwoMachinesRotate(t *testing.T) {
	u, registry := enrolledUser(t)
	u.want(0, "", "init", "ci", "--no-passphrase")
	u.want(0, "", "init", "desk", "--no-passphrase")
	other := u.elsewhere()
	overtake := func(args ...string) {
		do := func() { other.want(0, "", args...) }
		registry.meanwhile.Store(&do)
	}
	// Another key came: with --yes the rotation goes on upon that.
	overtake("enroll", "--registry", "lab", "--key", "ci", "--yes")
	u.want(0, "version 3", "rotate", "--registry", "lab", "--to", "second", "--yes")
	u.want(0, "ci ", "status")

	// The key itself changed: that yes does not count, and the next one does.
	u.want(0, "", "enroll", "--registry", "lab", "--key", "desk", "--can", "manage,publish", "--yes")
	other = u.elsewhere()
	overtake("rotate", "--registry", "lab", "--key", "second", "--to", "theirs-too", "--overlap", "24h", "--yes")
	out, exit := u.run("", "rotate", "--registry", "lab", "--key", "second", "--to", "third", "--yes")
	if exit != exitFailed || out != "" {
		t.Fatalf("exit code %d: %s", exit, out)
	}
	u.want(0, "lab to third", "rotate", "--registry", "lab", "--key", "second", "--to", "third", "--yes")

	// The key was replaced by the other machine: nothing is left to do there.
	other = u.elsewhere()
	overtake("rotate", "--registry", "lab", "--key", "third", "--to", "theirs", "--yes")
	out, exit = u.run("", "rotate", "--registry", "lab", "--key", "third", "--to", "mine", "--yes")
	if exit != exitFailed || out != "" {
		t.Fatalf("exit code %d: %s", exit, out)
	}
	out, _ = u.run("", "status", "--json")
	if strings.Contains(out, "not complete") || !strings.Contains(out, `"name": "mine"`) {
		t.Errorf("the new key is gone, or something is left:\n%s", out)
	}
}

// Where another machine has replaced or ended the key meanwhile, the one that comes too late is told what
// happened, and what is of use now; also when it tries again.
func TestTooLateIsTold(t *testing.T) {
	for how, c := range map[string]struct {
		overtake             []string
		changed, first, then string
	}{
		"replaced": {
			[]string{"rotate", "--registry", "lab", "--key", "laptop", "--to", "theirs", "--yes"},
			"removed  laptop (k4.pid.", "version 3 of the keyset took it out", "version 3 of the keyset took it out",
		},
		"revoked": {
			[]string{"revoke", "--registry", "lab", "laptop", "--reason", "lost", "--yes"},
			"revoked  laptop (k4.pid.", "it is revoked", "it is revoked",
		},
	} {
		t.Run(how, func(t *testing.T) {
			u, registry := enrolledUser(t)
			u.want(0, "", "init", "desk", "--no-passphrase")
			u.want(0, "", "enroll", "--registry", "lab", "--key", "desk", "--can", "manage,publish", "--yes")
			other := u.elsewhere()
			do := func() { other.want(0, "", c.overtake...) }
			registry.meanwhile.Store(&do)
			rotate := []string{"rotate", "--registry", "lab", "--key", "laptop", "--to", "mine", "--yes"}
			_, said, exit := u.talk("", rotate...)
			for _, want := range []string{"another machine has changed the keys at lab", c.changed, c.first, "key mine was made", "--join"} {
				if exit != exitFailed || !strings.Contains(said, want) {
					t.Errorf("exit code %d, and %q is not in\n%s", exit, want, said)
				}
			}
			if strings.Contains(said, "the same command takes it up") {
				t.Errorf("the same command can't:\n%s", said)
			}
			if _, said, exit = u.talk("", rotate...); exit != exitFailed || !strings.Contains(said, c.then) {
				t.Errorf("again: exit code %d, and %q is not in\n%s", exit, c.then, said)
			}
		})
	}
}
