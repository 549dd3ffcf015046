//go:build linux

// What the processes of a run show of themselves: their arguments and their environment.

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A sampler reads /proc/*/cmdline and /proc/*/environ, again and again, of every process whose arguments or
// environment mention mark.
type sampler struct {
	mark []byte
	stop chan struct{}
	done chan struct{}

	ending   sync.Once
	mu       sync.Mutex
	samples  map[string]bool
	programs map[string]bool // names of what was seen
	grown    chan struct{}
}

// watchProcesses runs until the test ends, or [sampler.end].
func watchProcesses(t *testing.T, mark string) *sampler {
	t.Helper()
	s := &sampler{
		mark: []byte(mark), stop: make(chan struct{}), done: make(chan struct{}),
		samples: map[string]bool{}, programs: map[string]bool{}, grown: make(chan struct{}, 1),
	}
	go func() {
		defer close(s.done)
		for {
			select {
			case <-s.stop:
				return
			case <-time.After(time.Millisecond): // no process of ours lives shorter than two
				s.sweep()
			}
		}
	}()
	t.Cleanup(s.end)
	return s
}

// end stops the sampling; it may be called twice.
func (s *sampler) end() {
	s.ending.Do(func() { close(s.stop) })
	<-s.done
}

func (s *sampler) sweep() {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err != nil || pid == os.Getpid() {
			continue
		}
		dir := filepath.Join("/proc", entry.Name())
		// A process may end meanwhile, and nobody else's can be read.
		arguments, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		environment, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if bytes.Contains(arguments, s.mark) || bytes.Contains(environment, s.mark) {
			s.keep(arguments, environment)
		}
	}
}

func (s *sampler) keep(arguments, environment []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	program, _, _ := bytes.Cut(arguments, []byte{0})
	s.programs[filepath.Base(string(program))] = true
	both := string(arguments) + "\x00\x00" + string(environment)
	if s.samples[both] {
		return
	}
	s.samples[both] = true
	select {
	case s.grown <- struct{}{}:
	default:
	}
}

// all is everything that was seen.
func (s *sampler) all() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all bytes.Buffer
	for text := range s.samples {
		all.WriteString(text)
		all.WriteByte('\n')
	}
	return all.Bytes()
}

func (s *sampler) saw(program string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.programs[program]
}

// TestSamplerFinds shows that arguments and variables of other processes are seen, and found.
func TestSamplerFinds(t *testing.T) {
	value := []byte("wharf lantern 3 cobalt")
	planted := newSecret(t, "planted", value)
	for _, f := range planted.forms {
		for _, where := range []string{"arguments", "environment"} {
			mark := t.TempDir()
			s := watchProcesses(t, mark)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			c := exec.CommandContext(ctx, "cat")
			c.Dir, c.Env = mark, []string{"MARK=" + mark}
			if where == "arguments" {
				c = exec.CommandContext(ctx, "cat", "-", string(f.text))
				c.Env = []string{"MARK=" + mark}
			} else {
				c.Env = append(c.Env, "PLANTED=x"+string(f.text))
			}
			input, err := c.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			found := func() bool {
				for {
					// In the middle of its start a process can show the one and not yet the other.
					if len((hoard{"processes": s.all()}).search([]secret{planted})) > 0 && s.saw("cat") {
						return true
					}
					select {
					case <-s.grown:
					case <-ctx.Done():
						return false
					}
				}
			}()
			_ = input.Close()
			_ = c.Wait() // there is no file of that name
			s.end()
			if !found {
				t.Errorf("%s in the %s was not found", f.name, where)
			}
		}
	}
}

// everyStart has strace write down the arguments and environment of every program that c starts: the
// sampler can miss those that live for a few milliseconds. It returns the file, or "" without strace.
func everyStart(t *testing.T, c *exec.Cmd) string {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil || exec.CommandContext(t.Context(), strace, "-f", "-o", "/dev/null", "true").Run() != nil {
		return ""
	}
	trace := filepath.Join(t.TempDir(), "trace")
	c.Args = append([]string{strace, "-f", "-qq", "-v", "-s", fmt.Sprint(1 << 20), "-e", "trace=execve", "-o", trace, c.Path}, c.Args[1:]...)
	c.Path = strace
	return trace
}
