// Virtualpivd serves virtual PIV tokens to whole programs under test. It stands in for pcscd
// at a socket, for which the programs are started with PCSCLITE_CSOCK_NAME:
//
//	virtualpivd --card name=yk1,serial=12345678,firmware=5.7.4 --card name=yk2,serial=2
//
// or it plugs one card into vsmartcard's reader under a real pcscd, by calling it, or by being
// called ("vpcd" in the first line is then the address to configure; see package vpcd for why
// such a card is never to be removed):
//
//	virtualpivd --card name=yk1 --vpcd 127.0.0.1:35963
//	virtualpivd --card name=yk1 --vpcd-listen
//
// Its first line on standard output is one JSON object: "socket", or "vpcd"; "roots" and
// "intermediates", the PEM files of the fixture's attestation authorities; and "cards", each
// with "name", "reader", "serial" and "firmware". Then it obeys the lines of standard input,
// and answers each with one line of JSON (see control.go); it ends when that input ends.
//
// It is a test fixture, and keeps no secret.
package main

import (
	"bufio"
	"context"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-json-experiment/json"

	"github.com/cargo-regkey/regkey/internal/virtualpiv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "virtualpivd:", err)
		stop()
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	tokens []*token
	dir    string
	vpcd   string
	listen bool
}

// parseOptions reads the flags.
func parseOptions(args []string) (o options, err error) {
	flags := flag.NewFlagSet("virtualpivd", flag.ContinueOnError)
	flags.StringVar(&o.dir, "dir", "", "folder for the socket and the PEM files; default: a temporary one")
	flags.StringVar(&o.vpcd, "vpcd", "", "HOST:PORT of a vpcd reader to call, instead of a socket")
	flags.BoolVar(&o.listen, "vpcd-listen", false, "wait on 127.0.0.1 for the call of a vpcd reader, instead of a socket")
	flags.Func("card", "name=yk1[,serial=N][,firmware=5.7.4][,reader=NAME][,finger=yes|no|wait][,out]; repeat for more", func(text string) error {
		t, err := parseToken(text)
		o.tokens = append(o.tokens, t)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if len(o.tokens) == 0 || flags.NArg() > 0 {
		return options{}, errors.New("reading flags: at least one --card is needed, and nothing but flags")
	}
	return o, nil
}

// run is the whole program.
func run(ctx context.Context, args []string, in io.Reader, out io.Writer) (err error) {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "vpiv"); err != nil {
			return fmt.Errorf("making a folder: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	s, err := start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := announce(out, o.dir, s); err != nil {
		return err
	}
	return obeyAll(ctx, s, in, out)
}

// announcement is the first line.
type announcement struct {
	Socket        string  `json:"socket,omitzero"`
	VPCD          string  `json:"vpcd,omitzero"`
	Roots         string  `json:"roots"`
	Intermediates string  `json:"intermediates"`
	Cards         []about `json:"cards"`
}

// about is what the first line says of one card.
type about struct {
	Name     string `json:"name"`
	Reader   string `json:"reader"`
	Serial   uint32 `json:"serial"`
	Firmware string `json:"firmware"`
}

// announce writes the PEM files, then the first line.
func announce(out io.Writer, dir string, s *server) error {
	a := announcement{
		VPCD:          s.vpcd,
		Roots:         filepath.Join(dir, "roots.pem"),
		Intermediates: filepath.Join(dir, "intermediates.pem"),
	}
	if s.daemon != nil {
		a.Socket = s.daemon.Socket()
	}
	for path, der := range map[string][]byte{
		a.Roots: virtualpiv.Root().Raw, a.Intermediates: virtualpiv.Intermediate().Raw,
	} {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return fmt.Errorf("writing a certificate: %w", err)
		}
	}
	for _, t := range s.tokens {
		v := t.card.Firmware()
		a.Cards = append(a.Cards, about{t.name, t.reader, t.card.Serial(), fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])})
	}
	return writeLine(out, a)
}

// obeyAll reads orders until input or ctx ends, or "quit".
func obeyAll(ctx context.Context, s *server, in io.Reader, out io.Writer) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(in)
		for scanner.Scan() {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-lines:
			if !ok || strings.TrimSpace(line) == "quit" {
				return nil
			}
			if err := writeLine(out, s.obey(line)); err != nil {
				return err
			}
		}
	}
}

// writeLine writes one line of JSON.
func writeLine(out io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding an answer: %w", err)
	}
	if _, err := out.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("writing an answer: %w", err)
	}
	return nil
}

// parseToken reads the value of one --card.
func parseToken(text string) (*token, error) {
	t := newToken()
	var o virtualpiv.Options
	for _, field := range strings.Split(text, ",") {
		key, value, _ := strings.Cut(field, "=")
		var err error
		switch key {
		case "name":
			t.name = value
		case "reader":
			t.reader = value
		case "serial":
			var n uint64
			n, err = strconv.ParseUint(value, 10, 32)
			o.Serial = uint32(n)
		case "firmware":
			_, err = fmt.Sscanf(value, "%d.%d.%d", &o.Firmware[0], &o.Firmware[1], &o.Firmware[2])
		case "finger":
			err = t.setFinger(value)
		case "out":
			t.out = true
		default:
			err = errors.New("unknown field")
		}
		if err != nil {
			return nil, fmt.Errorf("reading field %q: %w", key, err)
		}
	}
	if t.name == "" {
		return nil, errors.New("a card needs a name")
	}
	if t.reader == "" {
		t.reader = "Yubico YubiKey OTP+FIDO+CCID " + t.name
	}
	o.Finger = t.touch
	t.card = virtualpiv.New(o)
	return t, nil
}
