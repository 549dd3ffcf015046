// Keys that this program does not reach, in hardware, behind the keychain, in an ssh-agent: regkey
// signs, and what it hands over is checked like a stranger's.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/internal/terminal"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

const (
	// maxTokenLine bounds what regkey may print, in bytes: a token of 8 KiB and its line end.
	maxTokenLine = 8<<10 + 2
	// absenceLimit is how long a read waits to hear whether the token is plugged in.
	absenceLimit = 300 * time.Millisecond
	// iatSlack is for a clock that was set while regkey waited for a person.
	iatSlack = time.Second
)

// order is what regkey is told on its standard input, as one line of JSON.
type order struct {
	Operation token.Operation `json:"operation"`
	Name      string          `json:"name,omitempty"`
	Version   string          `json:"vers,omitempty"`
	Checksum  string          `json:"cksum,omitempty"`
	Challenge string          `json:"challenge,omitempty"`
}

// throughRegkey has the regkey beside this program make the token: "regkey token --index URL", the
// order on its standard input. It asks for PIN and touch on the terminal or on standard error,
// which is this program's own, and prints the token, alone on a line, on standard output. If it
// fails, that line is the sentence for the user, and others below it say what to do. For a read it
// waits for no token that is not plugged in.
func (p *provider) throughRegkey(ctx context.Context, id *identity, request token.Request) (string, time.Time, error) {
	record, err := id.lookup()
	if err != nil {
		return "", time.Time{}, refuse(err, "%s, which signs for %s, cannot be opened", id.key, id.registry)
	}
	if request, err = p.challenged(ctx, id, request); err != nil {
		return "", time.Time{}, err
	}
	stdin, err := json.Marshal(order{request.Operation, request.Name, request.Version, request.Checksum, request.Challenge})
	if err != nil {
		return "", time.Time{}, refuse(err, "what is to be signed cannot be written down")
	}
	begun := p.now()
	out, err := p.regkey(ctx, append(stdin, '\n'), p.stderr, "token", "--index", request.Index)
	if err != nil {
		return "", time.Time{}, regkeyFailure(id, record.Protection, out, err)
	}
	made, err := token.Verify(out, record.Public)
	issued := begun
	if err == nil {
		issued, err = checkToken(made, request, record.Public, begun.Add(-iatSlack), p.now().Add(iatSlack))
	}
	if err != nil {
		return "", time.Time{}, refuse(err, "what regkey made with %s is not the token that was asked for, and is not used", id.key)
	}
	return out, issued, nil
}

// places are where regkey reaches keys and this program does not.
var places = map[keys.Protection]string{
	keys.Hardware: "in a hardware token", keys.Keychain: "locked by the system's keychain", keys.SSHAgent: "in an ssh-agent",
}

// regkeyFailure takes what regkey says of its failure.
func regkeyFailure(id *identity, protection keys.Protection, said string, err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(nil, "nothing was signed: %s was not used in time", id.key)
	case errors.Is(err, context.Canceled):
		return refuse(nil, "nothing was signed: cancelled")
	}
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		return refuse(err, "%s is %s, which regkey reaches: it must lie beside cargo-credential-regkey", id.key, places[protection])
	}
	var lines []string
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return refuse(err, "nothing was signed: regkey could not use %s", id.key)
	}
	return &cargo.ProviderError{Message: strings.TrimPrefix(lines[0], "regkey: "), CausedBy: lines[1:]}
}

// checkToken holds a token against what was asked for, and says when it was signed.
func checkToken(made *token.Token, asked token.Request, by keys.PublicKey, earliest, latest time.Time) (time.Time, error) {
	claims := made.Claims()
	issued := claims.IssuedAt
	claims.IssuedAt, claims.JTI = time.Time{}, ""
	want := token.Claims{
		Subject: asked.Subject, Operation: asked.Operation, Name: asked.Name,
		Version: asked.Version, Checksum: asked.Checksum, Challenge: asked.Challenge,
	}
	switch {
	case made.KeyID() != by.ID():
		return issued, fmt.Errorf("it names the key %v", made.KeyID())
	case made.Index() != asked.Index:
		return issued, fmt.Errorf("it is for the registry %.200q", made.Index())
	case claims != want:
		return issued, errors.New("it is for another operation, crate, version or content")
	case issued.Before(earliest) || issued.After(latest):
		return issued, fmt.Errorf("it says that it was signed at %s", issued.Format(time.RFC3339))
	}
	return issued, nil
}

// watch begins to find out whether the token that changes will need is plugged in, and returns what
// says so, in a line, once the read is signed. "regkey token --check" finds out, and waits for
// nobody; where it fails, or takes its time, nothing is said.
func (p *provider) watch(ctx context.Context, id *identity, index string) (tell func()) {
	if id.attends == nil || !id.attends() {
		return func() {}
	}
	heard := make(chan string, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, absenceLimit)
		defer cancel()
		out, err := p.regkey(ctx, nil, io.Discard, "token", "--check", "--index", index)
		if err != nil {
			out = ""
		}
		heard <- out
	}()
	return func() {
		if line, _, _ := strings.Cut(<-heard, "\n"); line != "" {
			p.say("%s", strings.TrimPrefix(line, "regkey: "))
		}
	}
}

// twin is what regkey becomes to reach a token, and lies beside it. Started at once it saves a start.
const twin = "regkey-hardware"

// exitLoader is with what the system ends a program whose libraries are missing: none of it ran.
const exitLoader = 127

// runRegkey runs the regkey beside this program, best as its twin, and returns what it prints. Where
// the twin does not start, regkey itself says why.
func runRegkey(ctx context.Context, stdin []byte, stderr io.Writer, args ...string) (string, error) {
	path, err := sibling()
	if err != nil {
		return "", err
	}
	direct := filepath.Join(filepath.Dir(path), twin)
	if _, err := os.Stat(direct); err == nil {
		out, err := runProgram(ctx, direct, stdin, stderr, args...)
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != exitLoader {
			return out, err
		}
	}
	return runProgram(ctx, path, stdin, stderr, args...)
}

// runProgram runs a program and returns what it prints, without the last line
// end. It goes when ctx ends, and when nobody waits for the answer any more.
func runProgram(ctx context.Context, path string, stdin []byte, stderr io.Writer, args ...string) (string, error) {
	ctx, stop := terminal.UntilReaderGoes(ctx)
	defer stop()
	out := limitedBuffer{limit: maxTokenLine}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, stderr
	cmd.Cancel = func() error { return interrupt(cmd.Process) } // so that it puts the terminal and the token in order
	cmd.WaitDelay = 2 * time.Second                             // then it is killed
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case out.cut && err == nil:
		err = fmt.Errorf("regkey printed more than %d bytes", maxTokenLine)
	}
	return strings.TrimRight(string(out.kept), "\r\n"), err
}
