//go:build linux

// Who can reach the agent, and what comes of it: another user, and a build script.

package e2e

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"

	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

const nobody = 65534

// TestAgentServesNoOtherUser opens every folder on the way, and the socket, and has another user try.
func TestAgentServesNoOtherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	eachKind(t, func(t *testing.T, u *lockedUser) {
		y := newYanker(t, u)
		s := u.openShell(t, "xterm-256color")
		s.asks(1, y.dir, y.line())
		before, _ := u.status(t)
		if len(before.Keys)+len(before.Tokens) == 0 {
			t.Fatalf("the agent holds nothing: %+v", before)
		}
		openWide(t, u)
		for _, line := range askFor(u.registry.Index) {
			if heard := asUser(t, u, os.Getuid(), `{"v":1,"request":"status"}`); !strings.Contains(heard, `"pid"`) {
				t.Fatalf("the user itself hears %q", heard)
			}
			if heard := asUser(t, u, nobody, line); heard != "" {
				t.Errorf("another user asks %s and hears %q", line, heard)
			}
		}
		for _, args := range [][]string{{"regkey", "agent", "status", "--json"}, {"regkey", "agent", "lock"}, {"regkey", "agent", "stop"}} {
			out := y.asNobody(t, "", args...)
			if !strings.Contains(out, "not running") && !strings.Contains(out, `"running": false`) {
				t.Errorf("%q tells another user %q", args, out)
			}
		}
		request := fmt.Sprintf(`{"v":1,"kind":"get","registry":{"index-url":%q},"operation":"yank","name":"one","vers":"0.1.0"}`, u.registry.Index)
		out := y.asNobody(t, request+"\n", providerProgram, "--cargo-plugin")
		if strings.Contains(out, ".public.") || !strings.Contains(out, `"Err"`) {
			t.Errorf("the provider tells another user %q", out)
		}
		if after, _ := u.status(t); after.PID != before.PID || len(after.Keys) != len(before.Keys) || len(after.Tokens) != len(before.Tokens) {
			t.Errorf("before it was\n%+v, and now it is\n%+v", before, after)
		}
	})
}

// askFor is everything that an agent does.
func askFor(index string) []string {
	return []string{
		`{"v":1,"request":"status"}`, `{"v":1,"request":"release"}`, `{"v":1,"request":"lock"}`, `{"v":1,"request":"stop"}`,
		`{"v":1,"request":"token","index":"` + index + `","operation":"read"}`,
		`{"v":1,"request":"token","index":"` + index + `","operation":"yank","name":"one","vers":"0.1.0"}`,
		`{"v":1,"request":"add","serial":12345678,"secret":"MDAwMDAw"}`,
	}
}

// openWide lets everybody into all folders, start the programs, and read all but the keys themselves.
func openWide(t *testing.T, u *lockedUser) {
	t.Helper()
	programs, err := filepath.Glob(filepath.Join(bin, "*"))
	if err != nil || len(programs) == 0 {
		t.Fatalf("no programs: %v", err)
	}
	for _, path := range append(programs, bin) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, below := range []string{filepath.Dir(bin), u.Dir} {
		for dir := below; dir != os.TempDir() && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = filepath.WalkDir(u.RegkeyHome(), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir(), entry.Type() == fs.ModeSocket:
			return os.Chmod(path, 0o777)
		case filepath.Ext(path) == ".age", filepath.Ext(path) == ".key":
			return nil // which would be refused
		}
		return os.Chmod(path, 0o644)
	})
	for dir := u.RegkeyHome(); err == nil && dir != u.Dir; dir = filepath.Dir(dir) {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// asUser sends a line to the socket from a thread that is of another user, and returns what it hears.
func asUser(t *testing.T, u *lockedUser, uid int, line string) string {
	t.Helper()
	type heard struct {
		text string
		err  error
	}
	result := make(chan heard)
	go func() {
		runtime.LockOSThread() // and never unlocked, so that the thread ends with this
		text, err := "", error(nil)
		if uid != os.Getuid() {
			if _, _, failed := syscall.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); failed != 0 {
				err = failed
			}
		}
		if err == nil {
			text, err = sendLine(agent.PlaceOf(u.RegkeyHome()).Socket, line)
		}
		result <- heard{text, err}
	}()
	r := <-result
	if r.err != nil {
		t.Fatalf("user %d: %v", uid, r.err)
	}
	return r.text
}

// sendLine makes the connection on this very thread, and waits until the other side hangs up.
func sendLine(socket, line string) (string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	file := os.NewFile(uintptr(fd), "agent")
	defer func() { _ = file.Close() }()
	limit := unix.NsecToTimeval(int64(shellLimit / time.Nanosecond))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return "", err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		return "", fmt.Errorf("connecting: %w", err)
	}
	if err := unix.Send(fd, []byte(line+"\n"), unix.MSG_NOSIGNAL); err != nil && !errors.Is(err, unix.EPIPE) {
		return "", err
	}
	text, err := io.ReadAll(file)
	if errors.Is(err, unix.ECONNRESET) { // it was shown the door before it was heard
		err = nil
	}
	return string(text), err
}

// asNobody runs a program as another user, and returns all that it says.
func (y *yanker) asNobody(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	c := y.Command(t.Context(), "/", args[0], args[1:]...)
	c.Stdin = strings.NewReader(stdin)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, _ := c.CombinedOutput() // how it fails is its own affair
	return string(out)
}

// buildScript asks the agent for each line of one file, and writes the answers to another.
const buildScript = `use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
fn main() {
    let lines = std::fs::read_to_string(std::env::var("TEST_LINES").unwrap()).unwrap();
    let socket = std::env::var("TEST_SOCKET").unwrap();
    let mut answers = String::new();
    for line in lines.lines() {
        let mut agent = UnixStream::connect(&socket).unwrap();
        agent.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = agent.read_to_string(&mut answer);
        answers.push_str(answer.lines().last().unwrap_or("nothing"));
        answers.push('\n');
    }
    std::fs::write(std::env::var("TEST_ANSWERS").unwrap(), answers).unwrap();
}
`

// TestBuildScriptAsksTheAgent has the build script of a crate that is published try what it can: it
// gets cargo tokens for the enrolled registry, each exactly what it asked for, and nothing else. That
// is no secret of the design: see the package comment of keeper.
func TestBuildScriptAsksTheAgent(t *testing.T) {
	needCargo(t)
	for _, algorithm := range []string{"ed25519", "p384"} {
		t.Run(algorithm, func(t *testing.T) {
			u := withCheapPassphrase(t, algorithm)
			dir := sample(t, u.Lab, "one", "0.1.0")
			lines, answers := filepath.Join(u.Dir, "lines"), filepath.Join(u.Dir, "answers")
			tries := scriptTries(u.registry.Index)
			var text strings.Builder
			for _, try := range tries {
				text.WriteString(try.line + "\n")
			}
			for path, content := range map[string]string{filepath.Join(dir, "build.rs"): buildScript, lines: text.String()} {
				if err := u.WriteFile(path, content); err != nil {
					t.Fatal(err)
				}
			}
			socket := agent.PlaceOf(u.RegkeyHome()).Socket // how long the path of a temporary folder is decides where
			u.Env = append(u.Env, "TEST_LINES="+lines, "TEST_ANSWERS="+answers, "TEST_SOCKET="+socket)
			s := u.openShell(t, "xterm-256color")
			s.asks(1, dir, "cargo publish --registry lab")
			heard := strings.Split(strings.TrimSuffix(read(t, answers), "\n"), "\n")
			if len(heard) != len(tries) {
				t.Fatalf("%d answers to %d requests:\n%s", len(heard), len(tries), heard)
			}
			public := u.public(t)
			for n, try := range tries {
				try.judge(t, heard[n], u.registry.Index, public)
			}
		})
	}
}

func (u *lockedUser) public(t *testing.T) keys.PublicKey {
	t.Helper()
	record, err := keys.OpenStore(filepath.Join(u.RegkeyHome(), "keys")).Lookup("laptop")
	if err != nil {
		t.Fatal(err)
	}
	return record.Public
}

// A scriptTry is a request, and the operation of the token that comes of it; "" if none may come.
type scriptTry struct{ line, operation string }

func scriptTries(index string) []scriptTry {
	text := "regkey keyset v1\\nregistry: " + index + "\\n"
	sum := strings.Repeat("ab", 32)
	ask := func(members string) string {
		return `{"v":1,"request":"token","index":"` + index + `",` + members + `}`
	}
	tries := []scriptTry{
		{ask(`"operation":"read"`), "read"},
		{ask(`"operation":"publish","name":"one","vers":"6.6.6","cksum":"` + sum + `"`), "publish"},
		{ask(`"operation":"owners","name":"one"`), "owners"},
		{strings.ReplaceAll(ask(`"operation":"read"`), index, "sparse+https://other.example.com/"), ""},
		{strings.ReplaceAll(ask(`"operation":"read"`), index, index+"/"), ""},
		{ask(`"operation":"publish","name":"one","vers":"6.6.6","cksum":"` + text + `"`), ""},
		{ask(`"operation":"publish","name":"` + text + `","vers":"6.6.6","cksum":"` + sum + `"`), ""},
		{ask(`"operation":"read","message":"` + text + `"`), ""},
		{ask(`"operation":"read","key":"laptop"`), ""},
		{`{"v":1,"request":"add","key":"laptop","secret":""}`, ""},
	}
	for _, word := range []string{"", "manage", "keyset", "revocation", "enroll", "rotate", "revoke", "approve", "login"} {
		tries = append(tries, scriptTry{ask(`"operation":"` + word + `","name":"one","vers":"1.0.0"`), ""})
	}
	for _, word := range []string{"sign", "keyset", "revocation", "enroll", "rotate", "revoke", "mint", "unlock", "key", "secret", "export", "raw"} {
		tries = append(tries,
			scriptTry{`{"v":1,"request":"` + word + `"}`, ""},
			scriptTry{`{"v":1,"request":"` + word + `","key":"laptop","message":"` + text + `"}`, ""})
	}
	return tries
}

// judge holds an answer against what may come.
func (try scriptTry) judge(t *testing.T, heard, index string, public keys.PublicKey) {
	t.Helper()
	var a agent.Answer
	if err := json.Unmarshal([]byte(heard), &a); err != nil {
		t.Errorf("%s: %q: %v", try.line, heard, err)
		return
	}
	if try.operation == "" {
		if a.Kind != agent.SayRefused || a.Token != "" || a.Detail == "" {
			t.Errorf("%s: the answer is %s", try.line, heard)
		}
		return
	}
	made, err := token.Verify(a.Token, public)
	if err != nil {
		t.Errorf("%s: %v: %s", try.line, err, heard)
		return
	}
	if made.Index() != index || string(made.Claims().Operation) != try.operation {
		t.Errorf("%s: the token is for %s, %+v", try.line, made.Index(), made.Claims())
	}
}
