// The agent as a process: how it starts, what it is started with, and how it comes back after any end.

//go:build unix

package agent_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cargo-regkey/regkey/internal/agent"
)

func TestStartDetaches(t *testing.T) {
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		t.Skip("there is no /proc to look at")
	}
	t.Setenv("REGKEY_TEST_SECRET", "not for the agent")
	t.Setenv("LANG", "C.UTF-8")
	// Whoever starts an agent may itself have been started with files that it knows nothing of.
	inherited := filepath.Join(t.TempDir(), "inherited")
	if err := os.WriteFile(inherited, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(inherited, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	home, _ := enrolled(t)
	proc := fmt.Sprintf("/proc/%d/", start(t, home, programs(t)).PID)
	environ, err := os.ReadFile(proc + "environ")
	if err != nil {
		t.Fatal(err)
	}
	for variable := range bytes.SplitSeq(bytes.TrimSuffix(environ, []byte{0}), []byte{0}) {
		name, _, _ := strings.Cut(string(variable), "=")
		if name != "REGKEY_HOME" && name != "GODEBUG" && !slices.Contains(agent.Passed, name) {
			t.Errorf("the agent's environment has %s", name)
		}
	}
	if !bytes.Contains(environ, []byte("LANG=C.UTF-8\x00")) || !bytes.Contains(environ, []byte("REGKEY_HOME="+home+"\x00")) {
		t.Errorf("its environment is %q", environ)
	}
	if folder, err := os.Readlink(proc + "cwd"); folder != "/" {
		t.Errorf("its folder is %q (%v)", folder, err)
	}
	files, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		target, _ := os.Readlink(proc + "fd/" + file.Name())
		if fd, _ := strconv.Atoi(file.Name()); fd <= 2 && target != "/dev/null" || target == inherited {
			t.Errorf("its file %d is %q", fd, target)
		}
	}
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		t.Fatal(err)
	}
	// proc_pid_stat(5): after the name come state, parent, group, session, terminal.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if pid := strings.Split(proc, "/")[2]; fields[2] != pid || fields[3] != pid || fields[4] != "0" {
		t.Errorf("its group, session and terminal are %q, and it is %s", fields[2:5], pid)
	}
}

// TestManyStarts: whoever starts one at the same time, there is one in the end, and all have it.
func TestManyStarts(t *testing.T) {
	bin := programs(t)
	for range 5 {
		home, laptop := enrolled(t)
		var group sync.WaitGroup
		for n := range 8 {
			group.Go(func() {
				if n%2 == 0 {
					if err := agent.StartFrom(t.Context(), home, bin); err != nil {
						t.Error(err)
					}
					return
				}
				cmd := exec.Command(filepath.Join(bin, "client"), "start") // finds the regkey beside it
				cmd.Env = append(os.Environ(), "REGKEY_HOME="+home, "REGKEY_AGENT=")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
		group.Wait()
		pid := status(t, home).PID
		add(t, home, laptop)
		awaitAgents(t, filepath.Join(bin, "regkey"), pid)
		if again := status(t, home); again.PID != pid || len(again.Keys) != 1 {
			t.Errorf("first %d, then %+v", pid, again)
		}
		stop(t, home)
		awaitAgents(t, filepath.Join(bin, "regkey"))
	}
}

// awaitAgents waits until those and no other processes run a program.
func awaitAgents(t *testing.T, program string, want ...int) {
	t.Helper()
	if _, err := os.Stat("/proc/self/exe"); err != nil {
		return // they can't be counted
	}
	var found []int
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		found = nil
		entries, err := os.ReadDir("/proc")
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			pid, err := strconv.Atoi(entry.Name())
			if target, _ := os.Readlink("/proc/" + entry.Name() + "/exe"); err == nil && target == program {
				found = append(found, pid)
			}
		}
		if slices.Equal(found, want) {
			return
		}
	}
	t.Errorf("agents: %v instead of %v", found, want)
}

// TestKilled: at whatever moment an agent is killed, the next one starts, and works.
func TestKilled(t *testing.T) {
	home, laptop := enrolled(t)
	bin := programs(t)
	t.Cleanup(func() { stop(t, home) })
	for n := range 30 {
		// Some die while they start.
		cmd := exec.Command(filepath.Join(bin, "regkey"), "agent", "serve")
		cmd.Env = append(os.Environ(), "REGKEY_HOME="+home)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(12_000)) * time.Microsecond)
		if n%2 == 0 { // and some while they work
			if err := agent.StartFrom(t.Context(), home, bin); err != nil {
				t.Fatal(err)
			}
			go func() { _ = dialQuietly(t, home) }()
			time.Sleep(time.Duration(rand.IntN(2_000)) * time.Microsecond)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed, and says so
		if err := agent.StartFrom(t.Context(), home, bin); err != nil {
			t.Fatalf("after a kill: %v", err)
		}
		s := status(t, home)
		add(t, home, laptop)
		if _, err := dial(t, home).Token(t.Context(), publish, nil); err != nil {
			t.Fatalf("after a kill: %v", err)
		}
		if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		awaitEnd(t, s.PID)
		// One that was starting may have taken over, and then it serves.
		if client, err := agent.Dial(t.Context(), home); err == nil {
			_, err = client.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, agent.ErrNoAgent) {
			t.Fatalf("dialling the dead: %v", err)
		}
	}
	if err := agent.StartFrom(t.Context(), home, bin); err != nil {
		t.Fatal(err)
	}
	awaitAgents(t, filepath.Join(bin, "regkey"), status(t, home).PID)
}

// dialQuietly asks for a token of an agent that may die meanwhile.
func dialQuietly(t *testing.T, home string) error {
	client, err := agent.Dial(t.Context(), home)
	if err == nil {
		_, err = client.Token(t.Context(), publish, nil)
	}
	return err
}

// TestTerminated: SIGTERM takes the socket away.
func TestTerminated(t *testing.T) {
	home, _ := enrolled(t)
	s := start(t, home, programs(t))
	if err := syscall.Kill(s.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, s.PID)
	if _, err := os.Lstat(agent.PlaceOf(home).Socket); err == nil {
		t.Error("the socket is still there")
	}
}

// TestLosesItsPlace: an agent whose socket is gone, or another's, ends, and another can take over.
func TestLosesItsPlace(t *testing.T) {
	bin := programs(t)
	for what, take := range map[string]func(home string) error{
		"the home is removed":     os.RemoveAll,
		"the folder is removed":   func(home string) error { return os.RemoveAll(agent.PlaceOf(home).Folder) },
		"the socket is removed":   func(home string) error { return os.Remove(agent.PlaceOf(home).Socket) },
		"the lock is removed":     func(home string) error { return os.Remove(agent.PlaceOf(home).Lock()) },
		"the folder is replaced":  replaceFolder,
		"the socket is another's": replaceSocket,
	} {
		home, laptop := enrolled(t)
		if err := os.WriteFile(filepath.Join(home, patrolFile), []byte("20ms"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := agent.StartFrom(t.Context(), home, bin); err != nil {
			t.Fatal(err)
		}
		s := status(t, home)
		if err := take(home); err != nil {
			t.Fatal(err)
		}
		awaitEnd(t, s.PID)
		if _, err := os.Stat(filepath.Join(home, "keys")); err != nil {
			continue
		}
		if place := agent.PlaceOf(home); what == "the socket is another's" {
			if _, err := os.Lstat(place.Socket); err != nil {
				t.Errorf("%s: it took the other's socket away: %v", what, err)
			}
		}
		start(t, home, bin)
		add(t, home, laptop)
		if _, err := dial(t, home).Token(t.Context(), publish, nil); err != nil {
			t.Errorf("%s: the next one: %v", what, err)
		}
		stop(t, home)
	}
}

func replaceFolder(home string) error {
	place := agent.PlaceOf(home)
	if err := os.Rename(place.Folder, place.Folder+"-before"); err != nil {
		return err
	}
	return place.Prepare()
}

func replaceSocket(home string) error {
	place := agent.PlaceOf(home)
	if err := os.Remove(place.Socket); err != nil {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: place.Socket, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return l.Close()
}

// TestOtherUser: with every mode opened wide, another user gets no word out of the agent.
func TestOtherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	home, laptop := enrolled(t)
	bin := programs(t)
	start(t, home, bin)
	add(t, home, laptop)
	place := agent.PlaceOf(home)
	for path, mode := range map[string]os.FileMode{home: 0o777, place.Folder: 0o777, place.Socket: 0o777, filepath.Dir(bin): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	as := func(uid uint32, what string) (string, error) {
		cmd := exec.Command(filepath.Join(bin, "client"), what)
		cmd.Env = []string{"REGKEY_HOME=" + home}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, what := range []string{"use", "shout"} {
		if out, err := as(0, what); err != nil || !strings.HasPrefix(out, "served") {
			t.Fatalf("the user itself: %q, %v", out, err)
		}
	}
	const nobody = 65534
	if out, err := as(nobody, "use"); err == nil || !strings.Contains(out, "belongs to user 0") {
		t.Errorf("another user, who looks whose agent it is: %q, %v", out, err)
	}
	if out, err := as(nobody, "shout"); err != nil || out != "" {
		t.Errorf("another user, who does not, hears %q (%v)", out, err)
	}
	if s := status(t, home); len(s.Keys) != 1 {
		t.Errorf("after that: %+v", s)
	}
}
