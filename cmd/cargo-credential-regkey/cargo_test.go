// The provider under the real cargo, with a small sparse registry on loopback that keeps what it was sent.

package main_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/realcargo"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

// A world is a registry, cargo's home and a project.
type world struct {
	t       *testing.T
	user    *user
	url     string
	index   string
	project string
	home    string // CARGO_HOME

	mu   sync.Mutex
	sent []sent
	line string // of the index, once foo is published
}

type sent struct{ method, path, authorization string }

// newWorld needs cargo; where there is none the test says so and is skipped.
func newWorld(t *testing.T, authRequired bool) *world {
	t.Helper()
	if _, _, err := realcargo.Find(); err != nil {
		t.Skipf("what cargo makes of the answers is not tested: %v", err)
	}
	w := &world{t: t, user: newUser(t), project: filepath.Join(t.TempDir(), "project"), home: filepath.Join(t.TempDir(), "cargo")}
	server := httptest.NewServer(w.handler(authRequired))
	t.Cleanup(server.Close)
	w.url, w.index = server.URL, "sparse+"+server.URL+"/index/"
	w.write(filepath.Join(w.home, "config.toml"), fmt.Sprintf("[registries.lab]\nindex = %q\ncredential-provider = [%q]\n", w.index, program))
	w.write(filepath.Join(w.project, "Cargo.toml"), "[package]\nname = \"foo\"\nversion = \"1.2.3\"\nedition = \"2021\"\ndescription = \"x\"\nlicense = \"MIT\"\n")
	w.write(filepath.Join(w.project, "src", "lib.rs"), "")
	return w
}

func (w *world) write(path, content string) {
	w.t.Helper()
	check(w.t, os.MkdirAll(filepath.Dir(path), 0o700))
	check(w.t, os.WriteFile(path, []byte(content), 0o600))
}

// handler is as much of a registry as the test needs; it accepts whatever it is sent.
func (w *world) handler(authRequired bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /index/config.json", func(out http.ResponseWriter, r *http.Request) {
		if authRequired && r.Header.Get("Authorization") == "" {
			out.Header().Set("WWW-Authenticate", fmt.Sprintf(`Cargo login_url="%s/me"`, w.url))
			http.Error(out, "", http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprintf(out, `{"dl":"%s/dl","api":"%s","auth-required":%t}`, w.url, w.url, authRequired)
	})
	mux.HandleFunc("PUT /api/v1/crates/new", func(out http.ResponseWriter, r *http.Request) {
		// A length, the metadata, a length, the crate (Cargo Book, "Registry Web API").
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) < 8 {
			http.Error(out, "", http.StatusBadRequest)
			return
		}
		crate := body[8+binary.LittleEndian.Uint32(body):]
		w.mu.Lock()
		w.line = fmt.Sprintf(`{"name":"foo","vers":"1.2.3","deps":[],"features":{},"yanked":false,"cksum":"%x"}`+"\n", sha256.Sum256(crate))
		w.mu.Unlock()
		_, _ = io.WriteString(out, `{"warnings":{}}`)
	})
	mux.HandleFunc("GET /index/3/f/foo", func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.line == "" {
			http.NotFound(out, r)
			return
		}
		_, _ = io.WriteString(out, w.line)
	})
	mux.HandleFunc("GET /api/v1/crates/foo/owners", func(out http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(out, `{"users":[{"id":1,"login":"crates-team","name":null}]}`)
	})
	mux.HandleFunc("/api/v1/crates/foo/", func(out http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(out, `{"ok":true,"msg":"done"}`)
	})
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.sent = append(w.sent, sent{r.Method, r.URL.Path, r.Header.Get("Authorization")})
		w.mu.Unlock()
		mux.ServeHTTP(out, r)
	})
}

// cargo runs a command without a terminal and returns what it wrote and whether it succeeded.
func (w *world) cargo(stdin string, args ...string) (said string, ok bool) {
	w.t.Helper()
	w.mu.Lock()
	w.sent = nil
	w.mu.Unlock()
	cmd := exec.Command("cargo", args...)
	cmd.Dir = w.project
	cmd.Stdin = strings.NewReader(stdin)
	cmd.SysProcAttr = withoutTerminal()
	cmd.Env = append([]string{"CARGO_HOME=" + w.home, "CARGO_TERM_COLOR=never"}, w.user.env...)
	for _, name := range []string{"HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "TMPDIR"} {
		if value, set := os.LookupEnv(name); set {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	out, err := cmd.CombinedOutput()
	w.t.Logf("cargo %s\n%s", strings.Join(args, " "), out)
	return string(out), err == nil
}

func (w *world) enrol() *keys.SoftwareKey {
	return w.user.enrol(w.t, lab(w.index), keys.Ed25519, "")
}

// mutation is the claims of the only request with that method and path; every token sent is checked
// to be by key, and every other one to be a read token.
func (w *world) mutation(key *keys.SoftwareKey, method, path string) token.Claims {
	w.t.Helper()
	var found []token.Claims
	for _, s := range w.sent {
		if s.authorization == "" {
			continue
		}
		made, err := token.Verify(s.authorization, key.Public())
		if err != nil || made.Index() != w.index {
			w.t.Fatalf("%s %s: %v", s.method, s.path, err)
		}
		if s.method == method && s.path == path {
			found = append(found, made.Claims())
		} else if made.Claims().Operation != token.Read {
			w.t.Errorf("%s %s carries a %s token", s.method, s.path, made.Claims().Operation)
		}
	}
	if len(found) != 1 {
		w.t.Fatalf("%d requests %s %s with a token among %+v", len(found), method, path, w.sent)
	}
	return found[0]
}

func TestCargoTakesTheTokens(t *testing.T) {
	for _, authRequired := range []bool{false, true} {
		t.Run(fmt.Sprintf("auth-required=%t", authRequired), func(t *testing.T) {
			w := newWorld(t, authRequired)
			key := w.enrol()
			const crate = "/api/v1/crates/foo"
			for _, test := range []struct {
				args         []string
				method, path string
				operation    token.Operation
			}{
				{[]string{"publish", "--registry", "lab", "--no-verify", "--allow-dirty"}, "PUT", "/api/v1/crates/new", token.Publish},
				{[]string{"yank", "--registry", "lab", "foo@1.2.3"}, "DELETE", crate + "/1.2.3/yank", token.Yank},
				{[]string{"yank", "--registry", "lab", "foo@1.2.3", "--undo"}, "PUT", crate + "/1.2.3/unyank", token.Unyank},
				{[]string{"owner", "--registry", "lab", "foo", "--list"}, "GET", crate + "/owners", token.Owners},
				{[]string{"owner", "--registry", "lab", "foo", "--add", "somebody"}, "PUT", crate + "/owners", token.Owners},
				{[]string{"owner", "--registry", "lab", "foo", "--remove", "somebody"}, "DELETE", crate + "/owners", token.Owners},
			} {
				if said, ok := w.cargo("", test.args...); !ok {
					t.Fatalf("cargo failed:\n%s", said)
				}
				claims := w.mutation(key, test.method, test.path)
				if claims.Operation != test.operation || claims.Name != "foo" || claims.Version == "" != (test.operation == token.Owners) {
					t.Errorf("%v: claims are %+v", test.args, claims)
				}
				if test.operation == token.Publish && !strings.Contains(w.line, claims.Checksum) {
					t.Errorf("%v: the token is for %s, and what came is %s", test.args, claims.Checksum, w.line)
				}
			}
		})
	}
}

func TestCargoLoginAndLogout(t *testing.T) {
	const pasted = "cio-pasted-by-mistake"
	for _, authRequired := range []bool{false, true} {
		w := newWorld(t, authRequired)
		hint := map[string]string{
			"login":  "regkey: " + w.index + " is not enrolled: run regkey enroll --registry " + w.index,
			"logout": "regkey: " + w.index + " is not enrolled: there is nothing to log out of",
		}
		for _, args := range [][]string{{"login", "--registry", "lab"}, {"logout", "--registry", "lab"}} {
			said, ok := w.cargo("", args...)
			if ok || !strings.Contains(said, hint[args[0]]) || !strings.Contains(said, "no credential providers could handle the request") {
				t.Errorf("not enrolled, %s: %s", args[0], said)
			}
		}
		w.enrol()
		if said, ok := w.cargo("", "login", "--registry", "lab"); !ok || !strings.Contains(said, `regkey: lab needs no login: each request is signed with key "laptop"`) {
			t.Errorf("login: %s", said)
		}
		if said, ok := w.cargo(pasted+"\n", "login", "--registry", "lab"); ok || strings.Contains(said, pasted) ||
			!strings.Contains(said, `lab needs no token: regkey signs each request with key "laptop"; the token that you gave was not kept`) {
			t.Errorf("login with a token: %s", said)
		}
		if said, ok := w.cargo("", "logout", "--registry", "lab"); !ok || !strings.Contains(said, "no token is kept for lab") {
			t.Errorf("logout: %s", said)
		}
		if _, err := os.Stat(filepath.Join(w.home, "credentials.toml")); err == nil {
			t.Error("cargo has stored credentials")
		}
	}
}

// Cargo shows the sentence of a failure, and the hint of a registry that is not enrolled.
func TestCargoShowsWhatIsWrong(t *testing.T) {
	w := newWorld(t, true)
	publish := []string{"publish", "--registry", "lab", "--no-verify", "--allow-dirty"}
	hint := "regkey: " + w.index + " is not enrolled: run regkey enroll --registry " + w.index
	if said, ok := w.cargo("", append(publish, "-q")...); ok || !strings.Contains(said, hint) {
		t.Errorf("not enrolled: %s", said)
	}
	w.user.enrol(t, lab(w.index), keys.Ed25519, "correct horse")
	if said, ok := w.cargo("", publish...); ok || !strings.Contains(said, `key "laptop" needs a passphrase and there is no terminal to ask on: set REGKEY_PASSPHRASE_FILE to a file that holds it`) {
		t.Errorf("no terminal: %s", said)
	}
	check(t, os.Remove(filepath.Join(w.user.home, "keys", "laptop.age")))
	if said, ok := w.cargo("", publish...); ok || !strings.Contains(said, `key "laptop", which signs for lab, is not here: bring its file back`) {
		t.Errorf("no key: %s", said)
	}
	for _, s := range w.sent {
		if s.authorization != "" {
			t.Errorf("a token was sent: %+v", s)
		}
	}
}

// A project's own configuration cannot choose the key, move the home or pass arguments.
func TestProjectCannotSteer(t *testing.T) {
	w := newWorld(t, true)
	key := w.enrol()
	other := newUser(t)
	other.enrol(t, enroll.Enrolment{Index: w.index, Name: "lab", Key: "laptop", Since: lab("").Since}, keys.Ed25519, "")
	w.write(filepath.Join(w.project, ".cargo", "config.toml"), fmt.Sprintf(`
[registries.lab]
credential-provider = [%q, "--key", "other"]

[env]
REGKEY_HOME = { value = %q, force = true }
REGKEY_KEY_FILE = { value = %q, force = true }
REGKEY_REGISTRY = { value = %q, force = true }
`, program, other.home, filepath.Join(other.home, "keys", "laptop.key"), w.index))
	if said, ok := w.cargo("", "yank", "--registry", "lab", "foo@1.2.3"); !ok {
		t.Fatalf("cargo failed: %s", said)
	}
	if claims := w.mutation(key, "DELETE", "/api/v1/crates/foo/1.2.3/yank"); claims.Operation != token.Yank {
		t.Errorf("claims are %+v", claims)
	}
}
