// What the provider answers, in every state that a user's machine can be in.

package main_test

import (
	"os"
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
	if want := "regkey: " + index + " is not enrolled, and REGKEY_KEY_FILE serves only the registry that REGKEY_REGISTRY names exactly; REGKEY_REGISTRY is not set\n"; r.failure(t) != "url-not-supported\n" || r.stderr != want {
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
