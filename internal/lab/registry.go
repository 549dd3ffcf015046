// A registry on loopback, as its operator runs it.

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/go-json-experiment/json"
)

// A Registry is a running regkey-registry.
type Registry struct {
	URL   string `json:"url"`
	Index string `json:"index"`
	Data  string `json:"-"`

	lab     *Lab
	process *exec.Cmd
	log     lockedBuffer
}

// lockedBuffer is written by the process's copier while a test reads it.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Serve starts a registry whose data lie in the folder data (below the lab's), on a free port
// unless args say otherwise, and waits until it listens.
func (l *Lab) Serve(ctx context.Context, data string, args ...string) (*Registry, error) {
	r := &Registry{Data: filepath.Join(l.Dir, data), lab: l}
	arguments := append([]string{"serve", "--listen", "127.0.0.1:0", "--data", r.Data}, args...)
	r.process = l.Command(ctx, "", "regkey-registry", arguments...)
	r.process.Stderr = &r.log
	output, err := r.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.process.Start(); err != nil {
		return nil, fmt.Errorf("starting the registry: %w", err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		_ = r.process.Wait()
		return nil, fmt.Errorf("starting the registry: %w: %s", err, r.log.String())
	}
	return r, json.Unmarshal([]byte(line), r)
}

// Log is what the registry has written to standard error so far.
func (r *Registry) Log() string { return r.log.String() }

// Stop asks the registry to end, and waits for it.
func (r *Registry) Stop() error {
	if err := r.process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return r.process.Wait()
}

// Invite makes a code for an account.
func (r *Registry) Invite(ctx context.Context, account string) (string, error) {
	result, err := r.lab.Run(ctx, "", "", "regkey-registry", "invite", "--data", r.Data, account)
	if err != nil {
		return "", err
	}
	if result.Exit != 0 {
		return "", fmt.Errorf("inviting %s: %s", account, result.Stderr)
	}
	return strings.TrimSpace(result.Stdout), nil
}

// Name makes cargo call the registry by name, as a user would before enrolling.
func (r *Registry) Name(name string) error {
	path := filepath.Join(r.lab.CargoHome(), "config.toml")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "[registries.%s]\nindex = %q\n", name, r.Index)
	return errors.Join(err, file.Close())
}
