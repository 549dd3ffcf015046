// Where the agent is, and which folders it won't have.

//go:build unix

package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cargo-regkey/regkey/internal/agent"
)

func TestPlace(t *testing.T) {
	p := agent.PlaceOf("/home/me/.config/regkey")
	if p.Folder != "/home/me/.config/regkey/agent" || p.Socket != "/home/me/.config/regkey/agent/socket" {
		t.Errorf("%+v", p)
	}
	longest := "/" + strings.Repeat("x", agent.MaxSocket-len("//agent/socket"))
	if p := agent.PlaceOf(longest); len(p.Socket) != agent.MaxSocket || !strings.HasPrefix(p.Socket, longest) {
		t.Errorf("the longest path: %+v", p)
	}
	p, other := agent.PlaceOf(longest+"x"), agent.PlaceOf(longest+"y")
	if !strings.HasPrefix(p.Folder, "/tmp/regkey-") || len(p.Socket) > agent.MaxSocket || p == other {
		t.Errorf("too long a path: %+v, %+v", p, other)
	}
}

// TestPlaceThroughLinks: one home has one place, whether the path to it is short or too long.
func TestPlaceThroughLinks(t *testing.T) {
	short, err := os.MkdirTemp("/tmp", "regkey-place") // a test's own folder may have a long path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	long := filepath.Join(short, strings.Repeat("x", 120))
	if err := os.MkdirAll(filepath.Join(long, "home"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(short, "home"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, home := range map[string]string{
		filepath.Join(long, "link"):  filepath.Join(short, "home"),
		filepath.Join(short, "link"): filepath.Join(long, "home"),
	} {
		if err := os.Symlink(home, link); err != nil {
			t.Fatal(err)
		}
		if there, through := agent.PlaceOf(home), agent.PlaceOf(link); there != through {
			t.Errorf("%+v, but through a link %+v", there, through)
		}
	}
}

func TestPrepare(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	for _, home := range []string{t.TempDir(), long} {
		p := agent.PlaceOf(home)
		t.Cleanup(func() { _ = os.RemoveAll(p.Folder) })
		for range 2 {
			if err := p.Prepare(); err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Lstat(p.Folder)
		if err != nil || info.Mode().Perm() != 0o700 || !info.IsDir() {
			t.Errorf("%v, %v", info, err)
		}
		for what, spoil := range map[string]func() error{
			"a mode that lets others in": func() error { return os.Chmod(p.Folder, 0o711) },
			"a link":                     func() error { return os.Symlink(t.TempDir(), p.Folder) },
			"a file":                     func() error { return os.WriteFile(p.Folder, nil, 0o600) },
			"another user's": func() error {
				if os.Getuid() != 0 {
					return os.Symlink("/", p.Folder) // only root can make one that is another's
				}
				if err := os.Mkdir(p.Folder, 0o700); err != nil {
					return err
				}
				return os.Chown(p.Folder, 65534, 65534)
			},
		} {
			if what != "a mode that lets others in" {
				if err := os.RemoveAll(p.Folder); err != nil {
					t.Fatal(err)
				}
			} else if err := os.MkdirAll(p.Folder, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			if err := p.Prepare(); err == nil {
				t.Errorf("%s is taken", what)
			}
			if err := os.RemoveAll(p.Folder); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestLongHome: an agent whose home has too long a path for a socket is found all the same.
func TestLongHome(t *testing.T) {
	short, laptop := enrolled(t)
	home := filepath.Join(short, strings.Repeat("x", 120))
	for _, folder := range []string{"keys", "registries"} {
		if err := os.MkdirAll(home, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(short, folder), filepath.Join(home, folder)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.RemoveAll(agent.PlaceOf(home).Folder) })
	start(t, home, programs(t))
	add(t, home, laptop)
	if _, err := dial(t, home).Token(t.Context(), publish, nil); err != nil {
		t.Error(err)
	}
}
