// Virtual hardware tokens, which whole programs find at a socket as they would find real ones.

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/go-json-experiment/json"
)

// virtualpivd is the program that serves virtual tokens.
const virtualpivd = "virtualpivd"

// BuildTokens builds the program behind [Lab.Plug] into dir. It is no program of the product, so
// dir should not be that of those.
func BuildTokens(ctx context.Context, dir string) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	return build(ctx, root, "0", filepath.Join(dir, virtualpivd), "./internal/virtualpiv/virtualpivd")
}

// Tokens are virtual tokens that are plugged in.
type Tokens struct {
	Socket string // for PCSCLITE_CSOCK_NAME; empty if they are plugged into a real daemon
	// Reader is the address for [StartDaemon] where they are.
	Reader string
	// Authorities is a PEM file: who vouches for these tokens as Yubico does for its own.
	Authorities string

	process *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
	turn    sync.Mutex
}

// A TokenState is what the fixture knows of one token, without asking it.
type TokenState struct {
	Name     string `json:"name"`
	In       bool   `json:"in"`
	PINTries int    `json:"pinTries"`
	PUKTries int    `json:"pukTries"`
	Verified bool   `json:"verified"` // a PIN is left verified
	Managed  bool   `json:"managed"`
	Waiting  bool   `json:"waiting"` // for a finger
	Commands int    `json:"commands"`
	Defaults struct {
		PIN        bool `json:"pin"`
		PUK        bool `json:"puk"`
		Management bool `json:"management"`
	} `json:"defaults"`
	Slots []struct {
		Slot      string `json:"slot"`
		Algorithm byte   `json:"algorithm"`
		PIN       byte   `json:"pin"`
		Touch     byte   `json:"touch"`
		Generated bool   `json:"generated"`
	} `json:"slots"`
}

// Plug starts virtual tokens, each described as virtualpivd's --card wants it, with the program
// that [BuildTokens] put into bin. They need a folder of their own, dir.
func Plug(ctx context.Context, bin, dir string, cards ...string) (*Tokens, error) {
	args := []string{"--dir", dir}
	for _, card := range cards {
		args = append(args, "--card", card)
	}
	return plug(ctx, bin, dir, args)
}

// PlugReal starts one virtual token that waits, on loopback, for the reader of a real daemon to call
// (see [StartDaemon]). It must not be ordered to be removed: the reader's driver aborts the daemon.
func PlugReal(ctx context.Context, bin, dir, card string) (*Tokens, error) {
	return plug(ctx, bin, dir, []string{"--dir", dir, "--vpcd-listen", "--card", card})
}

func plug(ctx context.Context, bin, dir string, args []string) (*Tokens, error) {
	t := &Tokens{Authorities: filepath.Join(dir, "authorities.pem")}
	t.process = exec.CommandContext(ctx, filepath.Join(bin, virtualpivd), args...)
	t.process.Stderr = os.Stderr
	var err error
	if t.orders, err = t.process.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := t.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := t.process.Start(); err != nil {
		return nil, fmt.Errorf("starting virtual tokens: %w", err)
	}
	t.answers = bufio.NewReader(output)
	line, err := t.answers.ReadBytes('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting virtual tokens: %w", err), t.Close())
	}
	var first struct {
		Socket        string `json:"socket"`
		VPCD          string `json:"vpcd"`
		Roots         string `json:"roots"`
		Intermediates string `json:"intermediates"`
	}
	if err := json.Unmarshal(line, &first); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	t.Socket, t.Reader = first.Socket, first.VPCD
	var all []byte
	for _, file := range []string{first.Roots, first.Intermediates} {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
		all = append(all, text...)
	}
	return t, os.WriteFile(t.Authorities, all, 0o600)
}

// Order gives one order, as virtualpivd's control.go lists them.
func (t *Tokens) Order(words string) error {
	_, err := t.order(words)
	return err
}

func (t *Tokens) order(words string) ([]TokenState, error) {
	t.turn.Lock()
	defer t.turn.Unlock()
	if _, err := io.WriteString(t.orders, words+"\n"); err != nil {
		return nil, fmt.Errorf("ordering %q: %w", words, err)
	}
	line, err := t.answers.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("ordering %q: %w", words, err)
	}
	var answer struct {
		Error string       `json:"error"`
		Cards []TokenState `json:"cards"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return nil, fmt.Errorf("ordering %q: %w", words, err)
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("ordering %q: %s", words, answer.Error)
	}
	return answer.Cards, nil
}

// State tells of the token with that name.
func (t *Tokens) State(name string) (TokenState, error) {
	cards, err := t.order("state")
	if err != nil {
		return TokenState{}, err
	}
	for _, card := range cards {
		if card.Name == name {
			return card, nil
		}
	}
	return TokenState{}, fmt.Errorf("there is no token %s", name)
}

// Close pulls all tokens out and ends the program.
func (t *Tokens) Close() error {
	_ = t.orders.Close()
	return t.process.Wait()
}
