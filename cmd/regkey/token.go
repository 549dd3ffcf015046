// regkey token: what the credential provider runs where a key is in a hardware token.

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/urfave/cli/v2"

	"github.com/cargo-regkey/regkey/cargo"
	"github.com/cargo-regkey/regkey/enroll"
	"github.com/cargo-regkey/regkey/hardware"
	"github.com/cargo-regkey/regkey/internal/terminal"
	"github.com/cargo-regkey/regkey/keys"
	"github.com/cargo-regkey/regkey/token"
)

// tokenAge is how old a token may be when it is done: who needs longer than that for PIN and touch
// gets one with a new time.
const tokenAge = time.Minute

func (a *app) tokenCommand() *cli.Command {
	return &cli.Command{
		Name:   "token",
		Usage:  "sign one token",
		Hidden: true,
		Description: `Reads one line of JSON from standard input ("operation", "name", "vers", "cksum" and
"challenge") and prints a token for it, signed with the key that is enrolled.
cargo-credential-regkey runs it where the key is in a hardware token. PIN and touch are
asked for on the terminal itself, or the PIN is read from the file that REGKEY_PIN_FILE
names. Where it fails, standard output says why.

With --check it prints a line if the token is not plugged in, and does nothing else.

Example:
   regkey token --index sparse+https://crates.example.com/index/ < request`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "index", Usage: "the `URL` of the registry's index"},
			&cli.BoolFlag{Name: "check", Usage: "say whether the token is missing"},
		},
		Action: func(c *cli.Context) error {
			a.complaints = a.stdout
			if err := noArguments(c); err != nil {
				return err
			}
			return a.runToken(c.Context, c.String("index"), c.Bool("check"))
		},
	}
}

// A tokenRequest is the line on standard input.
type tokenRequest struct {
	Operation string `json:"operation"`
	Name      string `json:"name"`
	Version   string `json:"vers"`
	Checksum  string `json:"cksum"`
	Challenge string `json:"challenge"`
}

const maxTokenRequest = 64 << 10

func (a *app) readTokenRequest() (r tokenRequest, err error) {
	line, err := bufio.NewReader(io.LimitReader(a.stdin, maxTokenRequest)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return r, fmt.Errorf("reading the request: %w", err)
	}
	if err := json.Unmarshal(line, &r, json.RejectUnknownMembers(true)); err != nil {
		return r, usage("reading the request on standard input: not one line of JSON with operation, name, vers and cksum")
	}
	if _, err := token.ParseOperation(r.Operation); err != nil {
		return r, usage("reading the request on standard input: %w", err)
	}
	return r, nil
}

func (a *app) runToken(ctx context.Context, index string, check bool) error {
	if err := enroll.CheckIndex(index); err != nil {
		return usage("reading --index: %w", err)
	}
	home, err := a.home()
	if err != nil {
		return err
	}
	e, err := enroll.LookupEnrolment(home, index)
	if errors.Is(err, fs.ErrNotExist) {
		return notEnrolled(index, nil)
	}
	if err != nil {
		return err
	}
	if check {
		return a.checkPresence(ctx, home, e)
	}
	r, err := a.readTokenRequest()
	if err != nil {
		return err
	}
	text, err := a.mintOnTerminal(ctx, home, e, r)
	if err != nil {
		return err
	}
	return a.printLine("%s", text)
}

func (a *app) mintOnTerminal(ctx context.Context, home string, e *enroll.Enrolment, r tokenRequest) (string, error) {
	defer a.takeTerminal()()
	a.purpose = r.purpose(label(e))
	if text := a.mintByAgent(ctx, home, e, r); text != "" {
		return text, nil
	}
	return a.mint(ctx, home, e, r)
}

// checkPresence says so where the next change will need a token that is not plugged in. It waits
// for nobody.
func (a *app) checkPresence(ctx context.Context, home string, e *enroll.Enrolment) error {
	record, err := a.store(home).Lookup(e.KeyFor(string(token.Publish)))
	if err != nil || record.Token == nil || a.agentHas(ctx, record.Token.Serial) {
		return err
	}
	_, err = a.openToken(ctx, record.Token.Serial)
	var absent *hardware.NotFoundError
	if errors.As(err, &absent) {
		return a.printLine("YubiKey %d is not plugged in: to publish or yank at %s it is needed", record.Token.Serial, label(e))
	}
	return err
}

// takeTerminal has everything asked and shown on the controlling terminal, until the function that
// it returns is called: standard input and output are the provider's pipes. Secrets and a yes are
// asked for through package terminal then, which gives the terminal back also when cargo or the
// provider was killed.
func (a *app) takeTerminal() func() {
	a.linewise, a.terminal = true, false
	in, out, err := terminal.Open()
	if err != nil {
		return func() {}
	}
	stdin, stderr := a.stdin, a.stderr
	a.stdin, a.stderr, a.terminal = in, out, true
	return func() {
		a.stdin, a.stderr, a.terminal = stdin, stderr, false
		_ = in.Close()
		if out != in {
			_ = out.Close()
		}
	}
}

// mint signs the token. The PIN is asked for first, so that the time in the token is that of the
// signature.
func (a *app) mint(ctx context.Context, home string, e *enroll.Enrolment, r tokenRequest) (string, error) {
	signer, err := a.tokenKey(ctx, home, e, token.Operation(r.Operation))
	if err != nil {
		return "", err
	}
	if s, ok := isToken(signer); ok {
		if err := s.prepare(ctx); err != nil {
			return "", err
		}
	}
	request := token.Request{
		Index: e.Index, Subject: e.Subject, Operation: token.Operation(r.Operation),
		Name: r.Name, Version: r.Version, Checksum: r.Checksum, Challenge: r.Challenge,
	}
	for {
		if request.Challenge, err = a.challengeFor(ctx, home, e, r); err != nil {
			return "", err
		}
		now := a.now()
		text, err := token.Mint(ctx, signer, request, now)
		if err != nil || a.now().Sub(now) < tokenAge {
			return text, err
		}
	}
}

// challengeFor is the request's own challenge, or a new one where the registry wants one.
func (a *app) challengeFor(ctx context.Context, home string, e *enroll.Enrolment, r tokenRequest) (string, error) {
	if !e.Challenge || r.Challenge != "" || !token.Operation(r.Operation).IsMutation() {
		return r.Challenge, nil
	}
	_, client := a.lifecycle(home, e.Index, e.Insecure)
	challenge, err := client.Challenge(ctx)
	if err != nil {
		return "", fmt.Errorf("fetching a challenge: %w", err)
	}
	return challenge, nil
}

// tokenKey is the key that signs. A read waits for no token and for no finger.
func (a *app) tokenKey(ctx context.Context, home string, e *enroll.Enrolment, operation token.Operation) (keys.Signer, error) {
	name := e.KeyFor(string(operation))
	a.hurry = a.hurry || operation == token.Read
	if name == "" {
		return nil, fmt.Errorf("no key of this machine signs for %s any more", label(e))
	}
	a.signer = name
	store := a.store(home)
	record, err := store.Lookup(name)
	if err != nil {
		return nil, err
	}
	if operation == token.Read && record.Token != nil && record.Token.Touch != string(hardware.TouchNever) {
		return nil, advised(errNeedsTouch, fmt.Sprintf("\"regkey enroll --registry %s --key %s\" makes a key that can only read", label(e), name))
	}
	return a.unlock(ctx, store, name)
}

// purpose says what is signed, to the person who has to touch the token. The crate's name and
// version come from the project at hand, and push nothing else off the screen.
func (r tokenRequest) purpose(registry string) string {
	crate := cargo.Printable(fmt.Sprintf("%.200s", strings.TrimSpace(r.Name+" "+r.Version)))
	switch r.Operation {
	case "read":
		return "read from " + registry
	case "owners":
		return "see or change who owns " + crate + " at " + registry
	case "publish":
		return fmt.Sprintf("publish %s (sha256 %.4s…) to %s", crate, r.Checksum, registry)
	}
	return r.Operation + " " + crate + " at " + registry
}
