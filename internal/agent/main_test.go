// The test program is also what the tests start: the agent itself, and programs that use one.

//go:build unix

package agent_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/internal/agent"
	"github.com/cargo-regkey/regkey/internal/agent/keeper"
	"github.com/cargo-regkey/regkey/keys"
)

func TestMain(m *testing.M) {
	// "agent serve" is what Start gives; the other words are the tests' own.
	switch home := os.Getenv("REGKEY_HOME"); {
	case slices.Equal(os.Args[1:], []string{"agent", "serve"}):
		os.Exit(serve(home))
	case len(os.Args) == 2 && os.Args[1] == "start":
		os.Exit(report(agent.Start(context.Background(), home)))
	case len(os.Args) == 2 && os.Args[1] == "use":
		os.Exit(use(home))
	case len(os.Args) == 2 && os.Args[1] == "shout":
		os.Exit(shout(home))
	case len(os.Args) == 3 && os.Args[1] == "bad":
		os.Exit(beBad(home, os.Args[2]))
	case len(os.Args) == 2 && os.Args[1] == "flood":
		flood(home)
	case len(os.Args) == 2 && os.Args[1] == "prompt":
		os.Exit(holdPrompt(home))
	}
	if err := os.Unsetenv("REGKEY_AGENT"); err != nil { // the user's own wishes
		os.Exit(report(err))
	}
	os.Exit(m.Run())
}

func report(err error) int {
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// patrolFile in a home folder says how often its agent looks whether it is still one: Start hands no
// variables of the tests on.
const patrolFile = "patrol"

// serve is the agent, as cmd/regkey is one.
func serve(home string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	debug.SetGCPercent(25)
	o := keeper.Options{Home: home, Idle: debug.FreeOSMemory}
	if text, err := os.ReadFile(filepath.Join(home, patrolFile)); err == nil {
		if o.Patrol, err = time.ParseDuration(string(text)); err != nil {
			return 1
		}
	}
	keeper.CloseInherited()
	if err := keeper.Serve(ctx, o); err != nil && !errors.Is(err, keeper.ErrTaken) {
		return 1
	}
	return 0
}

// use tries everything that a client can ask, and tells what came of it.
func use(home string) int {
	ctx := context.Background()
	client, err := agent.Dial(ctx, home)
	if err != nil {
		return report(err)
	}
	if _, err := client.Status(ctx); err != nil {
		return report(err)
	}
	fmt.Println("served")
	return 0
}

// shout asks for each thing without looking whom, and prints what it hears.
func shout(home string) int {
	for _, line := range []string{
		`{"v":1,"request":"status"}`, `{"v":1,"request":"lock"}`, `{"v":1,"request":"stop"}`,
		`{"v":1,"request":"token","index":"` + index + `","operation":"read"}`,
	} {
		conn, err := net.Dial("unix", agent.PlaceOf(home).Socket)
		if err != nil {
			return report(err)
		}
		if os.Getuid() == 0 {
			line = `{"v":1,"request":"status"}` // of what the others ask nothing would be left
		}
		_, _ = fmt.Fprintln(conn, line)
		heard, _ := io.ReadAll(conn)
		if _ = conn.Close(); len(heard) > 0 {
			fmt.Printf("served %s", heard)
		}
	}
	return 0
}

// flood opens connections, as fast as it can, until it is killed, and keeps the last few hundred.
func flood(home string) {
	for range 4 {
		go func() {
			var conns []net.Conn
			for {
				conn, err := net.Dial("unix", agent.PlaceOf(home).Socket)
				if err != nil {
					continue
				}
				if conns = append(conns, conn); len(conns) == 100 {
					fmt.Println("flooding")
				}
				if len(conns) > 100 {
					_ = conns[0].Close()
					conns = conns[1:]
				}
			}
		}()
	}
	select {}
}

// holdPrompt has the prompt lock until it is killed, or its input ends.
func holdPrompt(home string) int {
	if _, err := agent.AwaitPrompt(context.Background(), home, "laptop"); err != nil {
		return report(err)
	}
	fmt.Println("asking")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// programs is a folder with this program as regkey, and once more as one that starts an agent.
func programs(t testing.TB) string {
	t.Helper()
	bin := t.TempDir()
	if err := os.Chmod(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"regkey", "client"} {
		path := filepath.Join(bin, name)
		if err := errors.Join(os.WriteFile(path, program, 0o755), os.Chmod(path, 0o755)); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
	return bin
}

const index = "sparse+https://crates.example.com/index/"

var publish = agent.TokenRequest{
	Index: index, Operation: "publish", Name: "sample", Version: "1.0.0",
	Checksum: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
}

// enrolled is a home folder with the key laptop, which is enrolled, and a short path.
func enrolled(t testing.TB) (home string, laptop *keys.SoftwareKey) {
	t.Helper()
	home, err := os.MkdirTemp("", "regkey-agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	if laptop, err = keys.Generate(keys.Ed25519); err != nil {
		t.Fatal(err)
	}
	record := keys.Record{Name: "laptop", Created: time.Now()}
	if _, err := keys.OpenStore(filepath.Join(home, "keys")).Create(t.Context(), record, laptop, keys.NoLock()); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(index))
	folder := filepath.Join(home, "registries", hex.EncodeToString(sum[:16]))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	text, err := toml.Marshal(enroll.Enrolment{Index: index, Name: "lab", Key: "laptop", Since: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "enrolment.toml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return home, laptop
}

// start starts the agent of home, which is gone when the test ends.
func start(t testing.TB, home, bin string) agent.Status {
	t.Helper()
	if err := agent.StartFrom(t.Context(), home, bin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, home) })
	return status(t, home)
}

// stop ends whatever agent home has.
func stop(t testing.TB, home string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	client, err := agent.Reach(ctx, home)
	if err == nil {
		err = client.Stop(ctx)
	}
	if err != nil && !errors.Is(err, agent.ErrNoAgent) {
		t.Errorf("stopping the agent: %v", err)
	}
}

func dial(t testing.TB, home string) *agent.Client {
	t.Helper()
	client, err := agent.Dial(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func status(t testing.TB, home string) agent.Status {
	t.Helper()
	s, err := dial(t, home).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func add(t testing.TB, home string, key *keys.SoftwareKey) {
	t.Helper()
	if err := dial(t, home).Add(t.Context(), "laptop", key.Secret()); err != nil {
		t.Fatal(err)
	}
}

// awaitEnd waits until a process is gone.
func awaitEnd(t testing.TB, pid int) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
		if err := syscall.Kill(pid, 0); err != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d does not end", pid)
		}
	}
}
