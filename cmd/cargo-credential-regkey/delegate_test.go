// Keys in hardware: what the regkey beside the provider is asked, and what of its answers is handed on.

//go:build unix

package main_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

// enrolHardware records a hardware key as enrolled; its private half is in the file returned.
func (u *user) enrolHardware(t *testing.T, e enroll.Enrolment, a keys.Algorithm) (public keys.PublicKey, secret string) {
	t.Helper()
	key, err := keys.Generate(a)
	check(t, err)
	_, err = keys.OpenStore(filepath.Join(u.home, "keys")).CreateHardware(keys.Record{
		Name: e.Key, Public: key.Public(), Created: time.Now(),
		Token: &keys.Token{Serial: 12345678, Slot: "9a", Firmware: "5.7.4", PIN: "once", Touch: "cached"},
	})
	check(t, err)
	u.record(t, e)
	secret = filepath.Join(t.TempDir(), "secret")
	check(t, os.WriteFile(secret, key.Secret().Reveal(), 0o600))
	return key.Public(), secret
}

// signing is the provider with a regkey beside it that signs, and the file that tells what that was asked.
func signing(t *testing.T, u *user, secret string, environment ...string) (run func(request string) reply, log string) {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	provider, path := beside(t, `exec "`+self+`" "$@"`)
	log = filepath.Join(t.TempDir(), "log")
	return func(request string) reply {
		t.Helper()
		cmd := u.command("--cargo-plugin")
		cmd.Path, cmd.Args[0] = provider, provider
		cmd.Env = append(cmd.Env, "PATH="+path+":"+os.Getenv("PATH"), envFakeKey+"="+secret, envFakeLog+"="+log)
		cmd.Env = append(cmd.Env, environment...)
		return finish(t, cmd, request)
	}, log
}

func TestHardwareTokens(t *testing.T) {
	orders := map[string]string{
		"read":    `{"operation":"read"}`,
		"publish": `{"operation":"publish","name":"foo","vers":"1.2.3","cksum":"` + sum + `"}`,
		"yank":    `{"operation":"yank","name":"foo","vers":"1.2.3"}`,
		"unyank":  `{"operation":"unyank","name":"foo","vers":"1.2.3"}`,
		"owners":  `{"operation":"owners","name":"foo"}`,
	}
	for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.P384} {
		u := newUser(t)
		e := lab(index)
		e.Key, e.Subject = "yk", "user-7"
		public, secret := u.enrolHardware(t, e, algorithm)
		run, log := signing(t, u, secret)
		for operation, request := range requests(index) {
			before := time.Now()
			r := run(request)
			made, err := token.Verify(r.token(t), public)
			check(t, err)
			claims := made.Claims()
			claims.JTI, claims.IssuedAt = "", time.Time{}
			if claims != wantClaims(operation) {
				t.Errorf("claims are %+v", claims)
			}
			checkCache(t, r, operation, before)
			asked, err := os.ReadFile(log)
			check(t, err)
			if want := fmt.Sprintf("%q\n%s\n", []string{"token", "--index", index}, orders[operation]); string(asked) != want {
				t.Errorf("regkey was asked %s, want %s", asked, want)
			}
			if r.stderr != "touch your YubiKey\n" {
				t.Errorf("stderr is %q", r.stderr)
			}
		}
	}
}

// Whatever is not exactly the token that was asked for goes no further.
func TestHardwareTokensAreChecked(t *testing.T) {
	u := newUser(t)
	e := lab(index)
	e.Key, e.Subject = "yk", "user-7"
	_, secret := u.enrolHardware(t, e, keys.Ed25519)
	other := newUser(t)
	_, anotherKey := other.enrolHardware(t, e, keys.Ed25519)
	const refused = "other\nwhat regkey made with key \"yk\" is not the token that was asked for, and is not used\n"
	for lie, cause := range map[string]string{
		"registry":  `it is for the registry "sparse+https://evil.example.com/index/"`,
		"subject":   "it is for another operation, crate, version or content",
		"crate":     "it is for another operation, crate, version or content",
		"version":   "it is for another operation, crate, version or content",
		"content":   "it is for another operation, crate, version or content",
		"operation": "it is for another operation, crate, version or content",
		"challenge": "it is for another operation, crate, version or content",
		"past":      "it says that it was signed at ",
		"future":    "it says that it was signed at ",
		"two lines": "",
		"signature": "",
		"key":       "",
	} {
		t.Run(lie, func(t *testing.T) {
			secret := secret
			if lie == "key" {
				secret = anotherKey
			}
			run, _ := signing(t, u, secret, envFakeLies+"="+lie)
			r := run(requests(index)["publish"])
			if got := r.failure(t); !strings.HasPrefix(got, refused+cause) || strings.Contains(r.out, "v4.public") {
				t.Errorf("the answer is %q", got)
			}
		})
	}
}

// The challenge is fetched by the same regkey, and is part of what is asked.
func TestHardwareChallenge(t *testing.T) {
	u := newUser(t)
	e := lab(index)
	e.Key, e.Subject, e.Challenge = "yk", "user-7", true
	public, secret := u.enrolHardware(t, e, keys.Ed25519)
	self, err := os.Executable()
	check(t, err)
	provider, path := beside(t, `if [ "$1" = challenge ]; then echo c-123; else exec "`+self+`" "$@"; fi`)
	cmd := u.command("--cargo-plugin")
	cmd.Path, cmd.Args[0] = provider, provider
	cmd.Env = append(cmd.Env, "PATH="+path+":"+os.Getenv("PATH"), envFakeKey+"="+secret, envFakeLog+"="+filepath.Join(t.TempDir(), "log"))
	made, err := token.Verify(finish(t, cmd, requests(index)["publish"]).token(t), public)
	check(t, err)
	if made.Claims().Challenge != "c-123" {
		t.Errorf("claims are %+v", made.Claims())
	}
}

func TestHardwareFailures(t *testing.T) {
	u := newUser(t)
	e := lab(index)
	e.Key = "yk"
	u.enrolHardware(t, e, keys.Ed25519)
	for name, test := range map[string]struct{ script, failure, stderr string }{
		"a sentence": {`echo 'YubiKey 12345678 is not plugged in'; exit 1`, "YubiKey 12345678 is not plugged in", ""},
		"what to do": {
			`echo regkey: the PIN is blocked; echo '    regkey hardware unblock'; echo; echo prompt >&2; exit 1`,
			"the PIN is blocked\nregkey hardware unblock", "prompt\n",
		},
		"in control":       {`printf 'no\033[2J\n'; exit 3`, `no\x1b[2J`, ""},
		"in silence":       {`echo on stderr >&2; exit 127`, "nothing was signed: regkey could not use key \"yk\"\nexit status 127", "on stderr\n"},
		"nothing":          {`true`, "what regkey made with key \"yk\" is not the token that was asked for, and is not used\n…", ""},
		"endless":          {`yes | head -c 100000`, "key \"yk\" is in a hardware token, which regkey reaches: it must lie beside cargo-credential-regkey\nregkey printed more than 8194 bytes", ""},
		"no regkey beside": {"", "key \"yk\" is in a hardware token, which regkey reaches: it must lie beside cargo-credential-regkey\n…", ""},
	} {
		t.Run(name, func(t *testing.T) {
			provider, path := beside(t, test.script)
			for _, operation := range []string{"publish", "read"} {
				cmd := u.command("--cargo-plugin")
				cmd.Path, cmd.Args[0] = provider, provider
				cmd.Env = append(cmd.Env, "PATH="+path+":"+os.Getenv("PATH"))
				r := finish(t, cmd, requests(index)[operation])
				want, more := strings.CutSuffix("other\n"+test.failure, "…")
				if got := r.failure(t); got != want && (!more || !strings.HasPrefix(got, want)) {
					t.Errorf("%s: %q, want %q", operation, got, want)
				}
				if r.stderr != test.stderr {
					t.Errorf("%s: stderr is %q", operation, r.stderr)
				}
			}
		})
	}
}

// With a read key, reads need no token, and say so where it is missing.
func TestReadKey(t *testing.T) {
	u := newUser(t)
	e := lab(index)
	e.Key = "yk-read"
	reader := u.enrol(t, e, keys.Ed25519, "")
	e.Key, e.ReadKey = "yk", "yk-read"
	u.enrolHardware(t, e, keys.P384)
	log := filepath.Join(t.TempDir(), "log")
	asked := `echo "$*" > ` + log + "\n"
	for name, test := range map[string]struct{ script, stderr string }{
		"plugged in": {asked, ""},
		"missing":    {asked + `echo 'YubiKey 12345678 is not plugged in: publishing needs it'`, "regkey: YubiKey 12345678 is not plugged in: publishing needs it\n"},
		"in control": {asked + `printf 'regkey: x\033[2J\nmore\n'`, `regkey: x\x1b[2J` + "\n"},
		"failing":    {asked + `echo no; echo no >&2; exit 1`, ""},
		"slow":       {asked + `exec sleep 60`, ""},
		"no regkey":  {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			provider, path := beside(t, test.script)
			said, was := "", ""
			// On a machine that does something else, regkey may not come to say it in time: then nothing is said.
			for late := time.Now().Add(time.Minute); time.Now().Before(late); {
				said = u.reads(t, provider, path, reader.Public())
				text, _ := os.ReadFile(log)
				if was = string(text); (said != "") == (test.stderr != "") && (was != "") == (test.script != "") {
					break
				}
			}
			if said != test.stderr {
				t.Errorf("stderr is %q, want %q", said, test.stderr)
			}
			if test.script != "" && was != "token --check --index "+index+"\n" {
				t.Errorf("regkey was asked %q", was)
			}
			_ = os.Remove(log)
		})
	}
	// A software key beside it changes nothing: nobody is asked.
	e.Key = "laptop"
	soft := u.enrol(t, e, keys.Ed25519, "")
	provider, _ := beside(t, asked)
	for operation, signer := range map[string]keys.PublicKey{"read": reader.Public(), "publish": soft.Public()} {
		cmd := u.command("--cargo-plugin")
		cmd.Path, cmd.Args[0] = provider, provider
		if _, err := token.Verify(finish(t, cmd, requests(index)[operation]).token(t), signer); err != nil {
			t.Error(err)
		}
	}
	if got, err := os.ReadFile(log); err == nil {
		t.Errorf("regkey was asked %q", got)
	}
	check(t, os.Remove(filepath.Join(u.home, "keys", "yk-read.key")))
	if got := u.talk(t, requests(index)["read"]).failure(t); !strings.Contains(got, `key "yk-read", which signs for lab, is not here: run regkey enroll --registry lab, which makes another`) {
		t.Errorf("without the read key: %q", got)
	}
}

// reads has a provider read, wants a token of that key without waiting for regkey, and returns what shows.
func (u *user) reads(t *testing.T, provider, path string, key keys.PublicKey) (stderr string) {
	t.Helper()
	cmd := u.command("--cargo-plugin")
	cmd.Path, cmd.Args[0] = provider, provider
	cmd.Env = append(cmd.Env, "PATH="+path+":"+os.Getenv("PATH"))
	begun := time.Now()
	r := finish(t, cmd, requests(index)["read"])
	if _, err := token.Verify(r.token(t), key); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("reading took %v", took)
	}
	return r.stderr
}

// regkey goes when cargo does: nobody touches a token for an answer that nobody reads.
func TestRegkeyGoesWithCargo(t *testing.T) {
	for _, signal := range []os.Signal{nil, syscall.SIGTERM, os.Interrupt} {
		t.Run(fmt.Sprint(signal), func(t *testing.T) {
			u := newUser(t)
			e := lab(index)
			e.Key = "yk"
			u.enrolHardware(t, e, keys.Ed25519)
			// It is killed when it takes too long, which on a machine that stands still it may do once.
			ended, killed := u.goesWithCargo(t, signal)
			for try := 1; try < 5 && ended == "" && killed; try++ {
				ended, killed = u.goesWithCargo(t, signal)
			}
			if ended != "in order\n" {
				t.Errorf("regkey ended with %q, killed: %v", ended, killed)
			}
		})
	}
}

// goesWithCargo has the provider wait for regkey, ends that by a signal or, if it is nil, by reading no answer, and
// returns what regkey said at its end, and whether it was given all the time that there is for that.
func (u *user) goesWithCargo(t *testing.T, signal os.Signal) (ended string, killed bool) {
	t.Helper()
	dir := t.TempDir()
	started, end := filepath.Join(dir, "started"), filepath.Join(dir, "ended")
	check(t, exec.Command("mkfifo", started).Run())
	provider, _ := beside(t, `sleep 60 >/dev/null 2>&1 &
trap "kill $!; echo in order > `+end+`; exit 1" TERM
echo x > `+started+`
wait`)
	cmd := u.command("--cargo-plugin")
	cmd.Path, cmd.Args[0] = provider, provider
	cmd.Stdin = strings.NewReader(requests(index)["publish"])
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	_, err = os.ReadFile(started) // waits until regkey runs
	check(t, err)
	begun := time.Now()
	if signal == nil {
		check(t, out.Close())
	} else {
		check(t, cmd.Process.Signal(signal))
		said, err := io.ReadAll(out)
		check(t, err)
		if !strings.Contains(string(said), "nothing was signed: cancelled") {
			t.Errorf("the provider says %s", said)
		}
	}
	_ = cmd.Wait() // for regkey, too
	killed = time.Since(begun) > time.Second
	text, err := os.ReadFile(end)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	return string(text), killed
}
