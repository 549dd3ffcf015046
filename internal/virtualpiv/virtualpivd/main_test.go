// Tests of the program: its first line, its orders, and its refusals.

package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
)

// process is the program, run in this one.
type process struct {
	*testing.T
	first announcement
	in    io.WriteCloser
	out   *bufio.Scanner
	ended chan error
}

// launch runs the program and reads its first line.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	inRead, inWrite := io.Pipe()
	outRead, outWrite := io.Pipe()
	p := &process{T: t, in: inWrite, out: bufio.NewScanner(outRead), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		err := run(ctx, args, inRead, outWrite)
		outWrite.CloseWithError(io.EOF)
		inRead.CloseWithError(io.ErrClosedPipe)
		p.ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-p.ended; err != nil {
			t.Errorf("the program ended with %v", err)
		}
	})
	if err := json.Unmarshal([]byte(p.line()), &p.first, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("first line: %v", err)
	}
	return p
}

func (p *process) line() string {
	p.Helper()
	if !p.out.Scan() {
		p.Fatalf("no line: %v", p.out.Err())
	}
	return p.out.Text()
}

// order gives one order and reads the answer.
func (p *process) order(text string) answer {
	p.Helper()
	if _, err := io.WriteString(p.in, text+"\n"); err != nil {
		p.Fatal(err)
	}
	var a answer
	if line := p.line(); json.Unmarshal([]byte(line), &a) != nil {
		p.Fatalf("answer %q", line)
	}
	return a
}

// do gives an order that must succeed.
func (p *process) do(text string) answer {
	p.Helper()
	a := p.order(text)
	if !a.OK || a.Error != "" {
		p.Fatalf("%s: %s", text, a.Error)
	}
	return a
}

func TestFirstLine(t *testing.T) {
	p := launch(t, "--card", "name=yk1,serial=12345678,firmware=5.4.3", "--card", "name=yk2,reader=Another,finger=no,out")
	want := []about{
		{"yk1", "Yubico YubiKey OTP+FIDO+CCID yk1", 12345678, "5.4.3"},
		{"yk2", "Another", 1, "5.7.4"},
	}
	if len(p.first.Cards) != 2 || p.first.Cards[0] != want[0] || p.first.Cards[1] != want[1] {
		t.Errorf("cards %+v", p.first.Cards)
	}
	if _, err := os.Stat(p.first.Socket); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]*x509.Certificate{p.first.Roots: virtualpiv.Root(), p.first.Intermediates: virtualpiv.Intermediate()} {
		text, err := os.ReadFile(path)
		if block, _ := pem.Decode(text); err != nil || block == nil || string(block.Bytes) != string(want.Raw) {
			t.Errorf("%s: %v", path, err)
		}
	}
	state := p.do("state").Cards
	if len(state) != 2 || !state[0].In || state[1].In || state[0].PINTries != 3 || !state[0].Defaults.PUK {
		t.Errorf("state %+v", state)
	}
}

func TestOrders(t *testing.T) {
	p := launch(t, "--card", "name=yk1", "--card", "name=yk2")
	for _, good := range []string{
		"finger no", "finger yk1 wait", "finger yk1 yes", "remove yk1", "insert yk1", "eject yk1", "insert yk1",
		"powerdown yk1", "occupy yk1 3", "fault yk2 pulled-before instruction=47 nth=2 always",
		"fault yk2 answer status=6f00", "forgive yk2", "log yk1", "clearlog yk1", "state",
	} {
		p.do(good)
	}
	for _, bad := range []string{
		"", "state now", "finger", "finger maybe", "finger yk1 maybe", "remove yk3", "dance yk1", "remove", "occupy yk1 x",
		"fault yk1", "fault yk1 nothing", "fault yk1 answer status=x", "fault yk1 answer when=1", "remove yk1 now",
	} {
		if a := p.order(bad); a.OK || a.Error == "" {
			t.Errorf("%q was obeyed", bad)
		}
	}
	if _, err := io.WriteString(p.in, "quit\n"); err != nil {
		t.Fatal(err)
	}
}

func TestEndOfInputEndsIt(t *testing.T) {
	p := launch(t, "--card", "name=yk1")
	if err := p.in.Close(); err != nil {
		t.Fatal(err)
	}
	if p.out.Scan() {
		t.Errorf("said %q", p.out.Text())
	}
	if _, err := os.Stat(p.first.Socket); err == nil {
		t.Error("the socket is left")
	}
}

func TestBadFlags(t *testing.T) {
	for _, args := range [][]string{
		{}, {"--card", "serial=1"}, {"--card", "name=a,serial=x"}, {"--card", "name=a,firmware=5"}, {"--card", "name=a,colour=red"},
		{"--card", "name=a,finger=maybe"}, {"--card", "name=a", "more"},
		{"--card", "name=a", "--card", "name=b", "--vpcd-listen"},
	} {
		if err := run(t.Context(), args, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
