// Challenges: fetched by regkey, so that this program needs no HTTP.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

const (
	challengeLimit = 30 * time.Second
	// maxChallenge bounds what is taken for a challenge, in bytes: it travels in a token of 8 KiB.
	maxChallenge = 1 << 10
	// maxComplaint bounds what is shown of what regkey says about a failure.
	maxComplaint = 500
)

// challengeFromSibling runs "regkey challenge --index URL" with the regkey that lies beside this
// program, never one found on PATH, which a project can influence, and takes its output as
// the challenge.
func challengeFromSibling(ctx context.Context, index string) (string, error) {
	regkey, err := sibling()
	if err != nil {
		return "", err
	}
	return fetchChallenge(ctx, regkey, index)
}

// sibling is the path of the regkey that lies beside this program.
func sibling() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding regkey: %w", err)
	}
	name := "regkey"
	if runtime.GOOS == "windows" {
		name = "regkey.exe"
	}
	return filepath.Join(filepath.Dir(self), name), nil
}

func fetchChallenge(ctx context.Context, regkey, index string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, challengeLimit)
	defer cancel()
	out, complaint := limitedBuffer{limit: maxChallenge}, limitedBuffer{limit: maxComplaint}
	cmd := exec.CommandContext(ctx, regkey, "challenge", "--index", index)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.WaitDelay = time.Second // for a grandchild that keeps the pipes open
	if err := cmd.Run(); err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return "", errors.New("fetching challenge: no answer in time")
		}
		if told := bytes.TrimSpace(complaint.kept); len(told) > 0 {
			return "", fmt.Errorf("fetching challenge: %s", told)
		}
		return "", fmt.Errorf("fetching challenge: %w", err)
	}
	challenge := bytes.TrimRight(out.kept, "\r\n")
	if len(challenge) == 0 || out.cut {
		return "", fmt.Errorf("fetching challenge: regkey printed nothing, or more than %d bytes", maxChallenge)
	}
	for _, c := range challenge {
		if c <= ' ' || c > '~' {
			return "", errors.New("fetching challenge: what regkey printed is not one word of printable ASCII")
		}
	}
	return string(challenge), nil
}

// A limitedBuffer keeps the first bytes of what is written to it and drops the others. It embeds no
// bytes.Buffer, whose ReadFrom would go round the limit.
type limitedBuffer struct {
	kept  []byte
	limit int
	cut   bool
}

func (b *limitedBuffer) Write(data []byte) (int, error) {
	room := min(b.limit-len(b.kept), len(data))
	b.kept = append(b.kept, data[:room]...)
	b.cut = b.cut || room < len(data)
	return len(data), nil
}
