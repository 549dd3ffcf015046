// Where the folder is, and that only one holds its lock.

package home_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cargo-regkey/regkey/internal/home"
)

const holdVariable = "REGKEY_TEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdVariable); dir != "" {
		os.Exit(hold(dir))
	}
	os.Exit(m.Run())
}

// hold takes the lock, says so and keeps it until the process is killed.
func hold(dir string) int {
	if _, err := home.Lock(context.Background(), dir); err != nil {
		return 1
	}
	fmt.Println("held")
	select {}
}

func TestDir(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		t.Skip("the paths below are not absolute there")
	}
	const unset = "unset"
	set := func(name, value string) {
		t.Setenv(name, value) // restores it afterwards
		if value == unset {
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	platform := "/u/.config/regkey"
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		platform = "/u/Library/Application Support/regkey"
	}
	for _, c := range []struct{ regkeyHome, xdg, home, want string }{
		{"/r", "/x", "/u", "/r"},
		{"/r/../s//t/", "/x", "/u", "/s/t"},
		{"/r", "x", unset, "/r"},
		{unset, "/x", "/u", "/x/regkey"},
		{unset, unset, "/u", platform},
		{unset, "", "/u", platform},
		{"", "/x", "/u", ""},
		{"r", "/x", "/u", ""},
		{"./r", "/x", "/u", ""},
		{"~/r", "/x", "/u", ""},
		{unset, "x", "/u", ""},
		{unset, unset, unset, ""},
	} {
		set("REGKEY_HOME", c.regkeyHome)
		set("XDG_CONFIG_HOME", c.xdg)
		set("HOME", c.home)
		if got, err := home.Dir(); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

func TestLockExcludes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	var inside atomic.Int32 // the race detector knows nothing of file locks
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			unlock, err := home.Lock(context.Background(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			if n := inside.Add(1); n != 1 {
				t.Errorf("%d hold the lock", n)
			}
			runtime.Gosched()
			inside.Add(-1)
		})
	}
	group.Wait()
	if info, err := os.Stat(dir); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
}

func TestLockGivesUp(t *testing.T) {
	dir := t.TempDir()
	unlock, err := home.Lock(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	past, cancel := context.WithDeadline(context.Background(), time.Now())
	defer cancel()
	if _, err := home.Lock(past, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("past the deadline: %v", err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := home.Lock(ended, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	unlock()
	again, err := home.Lock(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := home.Lock(context.Background(), file); err == nil {
		t.Error("a file is locked as a folder")
	}
}

// TestLockOfAnotherProcess: it excludes this one, and its death frees it.
func TestLockOfAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), holdVariable+"="+dir)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process says %q (%v)", line, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := home.Lock(ctx, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while another process holds it: %v", err)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // it was killed, and says so
	unlock, err := home.Lock(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

// Whoever takes the lock removes what the dead have left, where it was told to, and nothing else.
func TestLockTidies(t *testing.T) {
	dir := t.TempDir()
	here := map[string]bool{ // whether it stays
		"a/.x.toml.1.tmp": false, "a/b/c/.y.2.tmp": false, "a/x.toml": true, "a/.x.toml": true, "a/.tmp": true,
		".x.toml.1.tmp": true, "other/.x.1.tmp": true,
	}
	for name := range here {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	unlock, err := home.Lock(t.Context(), dir, "a", "none")
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	for name, stays := range here {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != stays {
			t.Errorf("%s: %v, want it to stay: %v", name, err, stays)
		}
	}
}
