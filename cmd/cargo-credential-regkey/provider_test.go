// What the provider answers, in every state that a user's machine can be in.

package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

func TestTokens(t *testing.T) {
	for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.P384} {
		u := newUser(t)
		enrolment := lab(index)
		enrolment.Subject = "user-7"
		key := u.enrol(t, enrolment, algorithm, "")
		for operation, request := range requests(index) {
			t.Run(algorithm.String()+" "+operation, func(t *testing.T) {
				before := time.Now()
				r := u.talk(t, request)
				made, err := token.Verify(r.token(t), key.Public())
				if err != nil {
					t.Fatal(err)
				}
				claims := made.Claims()
				if claims.JTI == "" || claims.IssuedAt.Before(before.Add(-time.Second)) || claims.IssuedAt.After(time.Now()) {
					t.Errorf("claims are %+v", claims)
				}
				claims.JTI, claims.IssuedAt = "", time.Time{}
				if want := wantClaims(operation); claims != want || made.Index() != index || made.KeyID() != key.Public().ID() {
					t.Errorf("claims are %+v at %s instead of %+v", claims, made.Index(), want)
				}
				checkCache(t, r, operation, before)
				if r.stderr != "" {
					t.Errorf("stderr says %s", r.stderr)
				}
			})
		}
	}
}

func wantClaims(operation string) token.Claims {
	claims := token.Claims{Operation: token.Operation(operation), Subject: "user-7"}
	switch operation {
	case "publish":
		claims.Checksum = sum
		fallthrough
	case "yank", "unyank":
		claims.Version = "1.2.3"
		fallthrough
	case "owners":
		claims.Name = "foo"
	}
	return claims
}

// checkCache holds an answer to what cargo does with it: a read token is used again until 60 s before
// its expiration, which has to lie within the 5 minutes that a registry takes it.
func checkCache(t *testing.T, r reply, operation string, before time.Time) {
	t.Helper()
	ok := r.answers[0].Ok
	if ok.Independent == nil || *ok.Independent {
		t.Errorf("operation_independent is not false in %s", r.out)
	}
	if operation != "read" {
		if !strings.Contains(r.out, `"cache":"never"`) || strings.Contains(r.out, "expiration") {
			t.Errorf("a %s token may be used again: %s", operation, r.out)
		}
		return
	}
	expires := time.Unix(ok.Expiration, 0)
	if ok.Cache != "expires" || expires.Before(before.Add(61*time.Second)) || expires.After(time.Now().Add(5*time.Minute-30*time.Second)) {
		t.Errorf("a read token is kept as %s until %v", ok.Cache, expires)
	}
}

// The key is that of the exact index URL; nothing that a project can set leads to another.
func TestKeyIsChosenByIndexAlone(t *testing.T) {
	u := newUser(t)
	key := u.enrol(t, lab(index), keys.Ed25519, "")
	other := lab("sparse+https://other.example.com/")
	other.Key = "other"
	u.enrol(t, other, keys.Ed25519, "")

	steered := `{"v":1,"registry":{"index-url":"` + index + `","name":"other","headers":["WWW-Authenticate: Cargo challenge=\"x\""]},` +
		`"kind":"get","operation":"read","args":["--key","other","--registry","` + other.Index + `"]}` + "\n"
	if _, err := token.Verify(u.talk(t, steered).token(t), key.Public()); err != nil {
		t.Error(err)
	}
	for _, near := range []string{
		strings.TrimPrefix(index, "sparse+"), strings.TrimSuffix(index, "/"), index + "/", strings.ToUpper(index), index + "?",
		strings.Replace(index, "https", "http", 1), strings.Replace(index, "crates", "%63rates", 1), "lab", "laptop", "../" + index,
	} {
		for operation, request := range requests(near) {
			r := u.talk(t, request)
			if got := r.failure(t); got != "url-not-supported\n" || r.out != "{\"v\":[1]}\n"+`{"Err":{"kind":"url-not-supported"}}`+"\n" {
				t.Errorf("%s at %q: %q", operation, near, got)
			}
			if want := "regkey: " + near + " is not enrolled: run regkey enroll --registry " + near + "\n"; near != index+"?" && r.stderr != want {
				t.Errorf("%s at %q: stderr is %q instead of %q", operation, near, r.stderr, want)
			}
		}
	}
}

func TestHintIsHarmless(t *testing.T) {
	u := newUser(t)
	for url, want := range map[string]string{
		"https://x.example/a;b$(c)":            "regkey: 'https://x.example/a;b$(c)' is not enrolled: run regkey enroll --registry 'https://x.example/a;b$(c)'\n",
		`https://x.example/\u001b[2Jx`:         `regkey: no key is enrolled at "https://x.example/\x1b[2Jx"` + "\n",
		`https://x.example/\r\nroot# `:         `regkey: no key is enrolled at "https://x.example/\r\nroot# "` + "\n",
		"https://x.example/\u202egpj":          `regkey: no key is enrolled at "https://x.example/\u202egpj"` + "\n",
		"https://x.example/';id;'":             `regkey: no key is enrolled at "https://x.example/';id;'"` + "\n",
		"--help":                               `regkey: no key is enrolled at "--help"` + "\n",
		"https://" + strings.Repeat("x", 4000): `regkey: no key is enrolled at "https://` + strings.Repeat("x", 192) + `..."` + "\n",
	} {
		if r := u.talk(t, requests(url)["read"]); r.stderr != want {
			t.Errorf("stderr is %q instead of %q", r.stderr, want)
		}
	}
}

func TestFailures(t *testing.T) {
	const read = "read"
	tests := []struct {
		name    string
		prepare func(t *testing.T) *user
		request string
		want    string // kind, message and causes; HOME stands for the home
	}{
		{"key is gone", func(t *testing.T) *user {
			u := newUser(t)
			u.record(t, lab(index))
			return u
		}, read, `other
key "laptop", which signs for lab, is not here: bring its file back, or enrol another key with regkey enroll --registry lab --key NAME
unlocking key "laptop": reading "HOME/keys/laptop.key": no such file or directory`},
		{"no key is left", func(t *testing.T) *user {
			u := newUser(t)
			e := lab(index)
			e.Key, e.Name = "", ""
			u.record(t, e)
			return u
		}, read, "other\nno key of this machine is enrolled at " + index + " any more: run regkey enroll --registry " + index},
		{"key file is open to others", func(t *testing.T) *user {
			u := newUser(t)
			u.enrol(t, lab(index), keys.Ed25519, "")
			check(t, os.Chmod(filepath.Join(u.home, "keys", "laptop.key"), 0o644))
			return u
		}, read, `other
key "laptop", which signs for lab, cannot be opened
unlocking key "laptop": reading "HOME/keys/laptop.key": its mode is 0644, so that others may read or write it: chmod 600 makes it yours alone`},
		{"damaged enrolment", func(t *testing.T) *user {
			u := newUser(t)
			u.enrol(t, lab(index), keys.Ed25519, "")
			check(t, os.WriteFile(u.enrolmentFile(index), []byte("key = 'x'\nmore = 1\n"), 0o600))
			return u
		}, read, "other\nwhat regkey keeps about this registry cannot be read: repair or remove the file, then enrol again\n…"},
		{"relative home", func(t *testing.T) *user { return newUser(t).set("REGKEY_HOME", "here") }, read,
			"other\nregkey does not know where its keys are: set REGKEY_HOME to an absolute path\n…"},
		{"passphrase and no terminal", func(t *testing.T) *user {
			u := newUser(t)
			u.enrol(t, lab(index), keys.Ed25519, "correct horse")
			return u
		}, read, "other\n" + `key "laptop" needs a passphrase and there is no terminal to ask on: set REGKEY_PASSPHRASE_FILE to a file that holds it` + "\n…"},
		{"wrong passphrase in the file", func(t *testing.T) *user {
			u := newUser(t)
			u.enrol(t, lab(index), keys.Ed25519, "correct horse")
			return u.set("REGKEY_PASSPHRASE_FILE", file(t, "battery staple\n"))
		}, read, "other\n" + `REGKEY_PASSPHRASE_FILE does not hold the passphrase of key "laptop"`},
		{"no passphrase file", func(t *testing.T) *user {
			u := newUser(t)
			u.enrol(t, lab(index), keys.Ed25519, "correct horse")
			return u.set("REGKEY_PASSPHRASE_FILE", "/nowhere/passphrase")
		}, read, "other\n" + `REGKEY_PASSPHRASE_FILE cannot be read` + "\n" + `reading passphrase file "/nowhere/passphrase": no such file or directory`},
		{"checksum that is none", func(t *testing.T) *user {
			u := newUser(t)
			u.enrol(t, lab(index), keys.Ed25519, "")
			return u
		}, `{"v":1,"registry":{"index-url":"` + index + `"},"kind":"get","operation":"publish","name":"foo","vers":"1.2.3","cksum":"E3B0"}` + "\n",
			"other\nno token could be made to publish foo 1.2.3 to lab\nminting token: cksum is not a SHA-256 of 64 lower-case hex digits"},
		{"challenge and no regkey beside", func(t *testing.T) *user {
			u := newUser(t)
			e := lab(index)
			e.Challenge = true
			u.enrol(t, e, keys.Ed25519, "")
			return u
		}, "yank", "other\nlab wants a challenge in each token, and fetching one failed: try again, or run regkey status\n…"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			u := test.prepare(t)
			request := test.request
			if known, ok := requests(index)[request]; ok {
				request = known
			}
			cmd := u.command("--cargo-plugin")
			cmd.SysProcAttr = withoutTerminal()
			r := finish(t, cmd, request)
			got := strings.ReplaceAll(r.failure(t), u.home, "HOME")
			want, open := strings.CutSuffix(test.want, "…")
			if !strings.HasPrefix(got, want) || !open && got != want {
				t.Errorf("failure is\n%s\ninstead of\n%s", got, test.want)
			}
			if strings.Contains(r.out+r.stderr, "battery") || strings.Contains(r.out+r.stderr, "correct") {
				t.Errorf("the passphrase is told: %s%s", r.out, r.stderr)
			}
		})
	}
}

func TestPassphraseFile(t *testing.T) {
	u := newUser(t)
	key := u.enrol(t, lab(index), keys.P384, "correct horse")
	r := u.set("REGKEY_PASSPHRASE_FILE", file(t, "correct horse\n")).talk(t, requests(index)["publish"])
	if _, err := token.Verify(r.token(t), key.Public()); err != nil {
		t.Error(err)
	}
}

// A job has a key file and no home.
func TestKeyFileFromEnvironment(t *testing.T) {
	key, err := keys.Generate(keys.Ed25519)
	check(t, err)
	keyFile := file(t, string(key.Secret().Reveal())+"\n")
	job := &user{env: []string{"REGKEY_KEY_FILE=" + keyFile, "REGKEY_REGISTRY=" + index, "REGKEY_SUBJECT=robot"}}

	r := job.talk(t, requests(index)["publish"])
	made, err := token.Verify(r.token(t), key.Public())
	check(t, err)
	if made.Claims().Subject != "robot" {
		t.Errorf("claims are %+v", made.Claims())
	}

	// It serves no other registry: that is looked for among the enrolments.
	u := newUser(t)
	enrolled := u.enrol(t, lab(index), keys.Ed25519, "")
	for _, elsewhere := range []string{"", "lab", strings.TrimSuffix(index, "/")} {
		mixed := u.set("REGKEY_KEY_FILE", keyFile).set("REGKEY_REGISTRY", elsewhere).set("REGKEY_SUBJECT", "robot")
		made, err := token.Verify(mixed.talk(t, requests(index)["read"]).token(t), enrolled.Public())
		check(t, err)
		if made.Claims().Subject != "" {
			t.Errorf("the job's subject is in a token of the enrolled key: %+v", made.Claims())
		}
	}
	r = newUser(t).set("REGKEY_KEY_FILE", keyFile).talk(t, requests(index)["read"])
	if want := "regkey: " + index + " is not enrolled, and REGKEY_KEY_FILE serves it only where REGKEY_REGISTRY is exactly that\n"; r.failure(t) != "url-not-supported\n" || r.stderr != want {
		t.Errorf("failure is %q, stderr %q", r.failure(t), r.stderr)
	}

	missing := &user{env: []string{"REGKEY_KEY_FILE=/nowhere/key", "REGKEY_REGISTRY=" + index}}
	if got := missing.talk(t, requests(index)["read"]).failure(t); got != `other
key file "/nowhere/key", which signs for `+index+`, is not here: set REGKEY_KEY_FILE to the file that holds the key
reading key file "/nowhere/key": no such file or directory` {
		t.Errorf("failure is %s", got)
	}
	spoiled := file(t, "k4.secret.c3BvaWxlZA\n")
	r = (&user{env: []string{"REGKEY_KEY_FILE=" + spoiled, "REGKEY_REGISTRY=" + index}}).talk(t, requests(index)["read"])
	if got := r.failure(t); !strings.HasPrefix(got, "other\nkey file ") || strings.Contains(r.out+r.stderr, "c3BvaWxlZA") {
		t.Errorf("failure is %s, stderr %s", got, r.stderr)
	}
}

func TestLoginAndLogout(t *testing.T) {
	const pasted = "cio-pasted-by-mistake"
	enrolled, fresh := newUser(t), newUser(t)
	enrolled.enrol(t, lab(index), keys.Ed25519, "")
	tests := []struct {
		name                 string
		user                 *user
		request, out, stderr string
	}{
		{"login", enrolled, login(index, `,"login-url":"https://crates.example.com/me"`), `{"Ok":{"kind":"login"}}`,
			`lab needs no login: each request is signed with key "laptop"`},
		{"login with a token", enrolled, login(index, `,"token":"`+pasted+`"`),
			`{"Err":{"kind":"other","message":"lab needs no token: regkey signs each request with key \"laptop\"; the token that you gave was not kept","caused-by":[]}}`, ""},
		{"logout", enrolled, logout(index), `{"Ok":{"kind":"logout"}}`,
			`no token is kept for lab, so there is none to forget; key "laptop" can still sign: to end that, run regkey revoke`},
		{"login, not enrolled", fresh, login(index, `,"token":"`+pasted+`"`), `{"Err":{"kind":"url-not-supported"}}`,
			index + " is not enrolled: run regkey enroll --registry " + index},
		{"logout, not enrolled", fresh, logout(index), `{"Err":{"kind":"url-not-supported"}}`,
			index + " is not enrolled: there is nothing to log out of"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := test.user.talk(t, test.request)
			if want := "{\"v\":[1]}\n" + test.out + "\n"; r.out != want {
				t.Errorf("answer is %s instead of %s", r.out, want)
			}
			if want := strings.TrimSuffix("regkey: "+test.stderr+"\n", "regkey: \n"); r.stderr != want {
				t.Errorf("stderr is %q instead of %q", r.stderr, want)
			}
			if strings.Contains(r.out+r.stderr, pasted) {
				t.Error("the token is told")
			}
		})
	}
	err := filepath.WalkDir(filepath.Dir(enrolled.home), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), pasted) {
			t.Errorf("%s holds the token", path)
		}
		return err
	})
	check(t, err)
}

// Bad requests are answered and leave the process alive and well for the next.
func TestBadInput(t *testing.T) {
	u := newUser(t)
	key := u.enrol(t, lab(index), keys.Ed25519, "")
	good := requests(index)["read"]
	for name, bad := range map[string]string{
		"truncated": good[:40] + "\n", "empty line": "\n", "not UTF-8": strings.Replace(good, "lab", "l\xe4b", 1),
		"duplicate": strings.Replace(good, `"v":1`, `"v":1,"v":1`, 1), "wrong type": strings.Replace(good, `"read"`, `["read"]`, 1),
		"oversized": strings.Repeat("x", 1<<20) + "\n", "array": "[]\n",
	} {
		r := u.talk(t, bad+good)
		if len(r.answers) != 2 || r.answers[0].Err == nil || r.answers[0].Err.Kind != "other" || r.answers[1].Ok == nil {
			t.Fatalf("%s: answers are %s", name, r.out)
		}
		if _, err := token.Verify(r.answers[1].Ok.Token, key.Public()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r := u.talk(t, ""); r.out != "{\"v\":[1]}\n" || r.stderr != "" {
		t.Errorf("end of input: %q, %q", r.out, r.stderr)
	}
	crlf := strings.Replace(good, "\n", "\r\n", 1)
	if _, err := token.Verify(u.talk(t, crlf).token(t), key.Public()); err != nil {
		t.Errorf("CRLF: %v", err)
	}
}

// Nothing of a key or a passphrase leaves the process, whatever it is asked.
func TestNoSecretLeaves(t *testing.T) {
	for _, passphrase := range []string{"", "correct horse"} {
		u := newUser(t)
		key := u.enrol(t, lab(index), keys.Ed25519, passphrase)
		u = u.set("REGKEY_PASSPHRASE_FILE", file(t, "correct horse"))
		all := login(index, `,"token":"x"`) + logout(index) + "nonsense\n" + requests("sparse+https://elsewhere.example/")["read"]
		for _, request := range requests(index) {
			all += request
		}
		r := u.talk(t, all)
		if len(r.answers) != 9 {
			t.Fatalf("answers are %s", r.out)
		}
		secret := string(key.Secret().Reveal())
		for what, text := range map[string]string{"key": secret, "half of the key": secret[len("k4.secret."):52], "passphrase": "correct horse"} {
			if strings.Contains(r.out+r.stderr, text) {
				t.Errorf("the %s is told: %s%s", what, r.out, r.stderr)
			}
		}
		if longest := 200; len(r.stderr) > 3*longest {
			t.Errorf("stderr is long: %s", r.stderr)
		}
	}
}

func TestByHand(t *testing.T) {
	u := newUser(t)
	for _, test := range []struct {
		args   []string
		code   int
		stdout string // its beginning
		stderr string // its beginning
	}{
		{nil, 2, "", "cargo-credential-regkey signs what cargo asks"},
		{[]string{"get"}, 2, "", "cargo-credential-regkey signs what cargo asks"},
		{[]string{"--cargo-plugin", "--key", "x"}, 2, "", "cargo-credential-regkey signs what cargo asks"},
		{[]string{"--help"}, 0, "cargo-credential-regkey signs what cargo asks", ""},
		{[]string{"--version"}, 0, "cargo-credential-regkey ", ""},
	} {
		var out, stderr strings.Builder
		cmd := u.command(test.args...)
		cmd.Stdout, cmd.Stderr = &out, &stderr
		err := cmd.Run()
		code := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		} else {
			check(t, err)
		}
		if code != test.code || !strings.HasPrefix(out.String(), test.stdout) || (test.stdout == "") != (out.String() == "") ||
			!strings.HasPrefix(stderr.String(), test.stderr) || (test.stderr == "") != (stderr.String() == "") {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q", test.args, code, out.String(), stderr.String())
		}
		if test.code == 2 && !strings.Contains(stderr.String(), `credential-provider = ["`+program+`"]`) {
			t.Errorf("%q does not say how to configure it: %s", test.args, stderr.String())
		}
	}
}

// What is not linked cannot be attacked and need not be initialised.
func TestStaysLean(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	check(t, err)
	deps := strings.Fields(string(out))
	if len(deps) < 50 {
		t.Fatalf("dependencies are %q", deps)
	}
	for _, dep := range deps {
		for _, unwanted := range []string{"net", "crypto/tls", "runtime/cgo", "text/template", "github.com/urfave", "github.com/charmbracelet", "modernc.org", "github.com/cargo-regkey/regkey/registry"} {
			if dep == unwanted || strings.HasPrefix(dep, unwanted+"/") {
				t.Errorf("%s is linked", dep)
			}
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// file is a new file, readable by its owner alone.
func file(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}
