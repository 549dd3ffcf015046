// The built program as cargo starts it: a process with pipes, for a user with a home.

package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/go-json-experiment/json"
	"github.com/pelletier/go-toml/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/keys"
)

const index = "sparse+https://crates.example.com/index/"

// program is the built provider; it lies in a folder of its own, without a regkey beside it.
var program string

func TestMain(m *testing.M) {
	if os.Getenv(envFakeKey) != "" {
		os.Exit(fakeRegkey())
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "provider")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		program = filepath.Join(dir, "cargo-credential-regkey")
		if out, err := buildCommand(program, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// buildCommand builds as a release does.
func buildCommand(to, from string) *exec.Cmd {
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", to, from)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd
}

// A user is a home of regkey's and an environment, of which nothing comes from the tester's own.
type user struct {
	home string
	env  []string
}

func newUser(t testing.TB) *user {
	home := filepath.Join(t.TempDir(), "home")
	return &user{home, []string{"REGKEY_HOME=" + home, "REGKEY_AGENT=off", "PATH=" + os.Getenv("PATH")}}
}

// enrol makes a key, protected if there is a passphrase, and records it as enrolled.
func (u *user) enrol(t testing.TB, e enroll.Enrolment, a keys.Algorithm, passphrase string) *keys.SoftwareKey {
	t.Helper()
	key, err := keys.Generate(a)
	check(t, err)
	_, err = keys.OpenStore(filepath.Join(u.home, "keys")).Create(t.Context(), keys.Record{Name: e.Key, Created: time.Now()}, key, keys.NoLock())
	check(t, err)
	if passphrase != "" {
		u.protect(t, e.Key, passphrase)
	}
	u.record(t, e)
	return key
}

// protect encrypts a stored key as the store would, but cheaply: the store's own scrypt takes a second.
func (u *user) protect(t testing.TB, name, passphrase string) {
	t.Helper()
	path := filepath.Join(u.home, "keys", name)
	text, err := os.ReadFile(path + ".key")
	check(t, err)
	recipient, err := age.NewScryptRecipient(passphrase)
	check(t, err)
	recipient.SetWorkFactor(10)
	var sealed bytes.Buffer
	armored := armor.NewWriter(&sealed)
	plain, err := age.Encrypt(armored, recipient)
	check(t, err)
	_, err = plain.Write(text)
	check(t, errors.Join(err, plain.Close(), armored.Close()))
	check(t, os.WriteFile(path+".age", sealed.Bytes(), 0o600))
	check(t, os.Remove(path+".key"))

	facts, err := os.ReadFile(path + ".toml")
	check(t, err)
	changed := strings.Replace(string(facts), "'none'", "'passphrase'", 1)
	if changed == string(facts) {
		t.Fatalf("the record has no protection to change: %s", facts)
	}
	check(t, os.WriteFile(path+".toml", []byte(changed), 0o600))
}

// record writes an enrolment to where the provider looks for it.
func (u *user) record(t testing.TB, e enroll.Enrolment) {
	t.Helper()
	text, err := toml.Marshal(e)
	check(t, err)
	check(t, os.MkdirAll(filepath.Dir(u.enrolmentFile(e.Index)), 0o700))
	check(t, os.WriteFile(u.enrolmentFile(e.Index), text, 0o600))
	if _, err := enroll.LookupEnrolment(u.home, e.Index); err != nil {
		t.Fatalf("the enrolment is not where it is looked for: %v", err)
	}
}

func (u *user) enrolmentFile(index string) string {
	sum := sha256.Sum256([]byte(index))
	return filepath.Join(u.home, "registries", hex.EncodeToString(sum[:16]), "enrolment.toml")
}

func lab(index string) enroll.Enrolment {
	return enroll.Enrolment{Index: index, Name: "lab", Account: "crates-team", Key: "laptop", Since: time.Now().UTC().Truncate(time.Second)}
}

// set is the user with one more variable in the environment.
func (u *user) set(name, value string) *user {
	return &user{u.home, append(append([]string(nil), u.env...), name+"="+value)}
}

func (u *user) command(args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Env = u.env
	return cmd
}

// A reply is what one conversation came to.
type reply struct {
	out, stderr string
	answers     []answer
}

type answer struct {
	Ok *struct {
		Kind        string
		Token       string
		Cache       string
		Expiration  int64
		Independent *bool `json:"operation_independent"`
	}
	Err *struct {
		Kind     string
		Message  string
		CausedBy []string `json:"caused-by"`
	}
}

// talk starts the provider, sends input, and expects a hello and the exit code 0.
func (u *user) talk(t testing.TB, input string) reply {
	t.Helper()
	return finish(t, u.command("--cargo-plugin"), input)
}

func finish(t testing.TB, cmd *exec.Cmd, input string) reply {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("the provider failed: %v\n%s", err, stderr.String())
	}
	return parse(t, out.String(), stderr.String())
}

// parse takes a conversation apart.
func parse(t testing.TB, out, stderr string) reply {
	t.Helper()
	r := reply{out: out, stderr: stderr}
	lines := strings.SplitAfter(r.out, "\n")
	if lines[0] != "{\"v\":[1]}\n" || lines[len(lines)-1] != "" {
		t.Fatalf("the conversation is %q", r.out)
	}
	for _, line := range lines[1 : len(lines)-1] {
		var a answer
		if err := json.Unmarshal([]byte(line), &a, json.RejectUnknownMembers(true), json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatalf("the answer %s: %v", line, err)
		}
		r.answers = append(r.answers, a)
	}
	return r
}

// token is that of the only answer, which must be one.
func (r reply) token(t testing.TB) string {
	t.Helper()
	if len(r.answers) != 1 || r.answers[0].Ok == nil || r.answers[0].Ok.Kind != "get" {
		t.Fatalf("no token, but %s\n%s", r.out, r.stderr)
	}
	return r.answers[0].Ok.Token
}

// failure is the only answer's kind, message and causes.
func (r reply) failure(t testing.TB) string {
	t.Helper()
	if len(r.answers) != 1 || r.answers[0].Err == nil {
		t.Fatalf("no failure, but %s\n%s", r.out, r.stderr)
	}
	e := r.answers[0].Err
	return strings.Join(append([]string{e.Kind, e.Message}, e.CausedBy...), "\n")
}

const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// requests are what cargo sends, by operation.
func requests(index string) map[string]string {
	get := func(rest string) string {
		return `{"v":1,"registry":{"index-url":"` + index + `","name":"lab"},"kind":"get","operation":` + rest + "}\n"
	}
	return map[string]string{
		"read":    get(`"read"`),
		"publish": get(`"publish","name":"foo","vers":"1.2.3","cksum":"` + sum + `"`),
		"yank":    get(`"yank","name":"foo","vers":"1.2.3"`),
		"unyank":  get(`"unyank","name":"foo","vers":"1.2.3"`),
		"owners":  get(`"owners","name":"foo"`),
	}
}

func login(index, rest string) string {
	return `{"v":1,"registry":{"index-url":"` + index + `"},"kind":"login"` + rest + "}\n"
}

func logout(index string) string {
	return `{"v":1,"registry":{"index-url":"` + index + `"},"kind":"logout"}` + "\n"
}
